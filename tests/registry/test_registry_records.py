"""What the registry says: rosters and their confirmations, the beat, and records that cannot be."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eco.core.model import Charter, Origin, RegistryView, Roster, Verdict, Voter
from eco.errors import Bug, Corrupt, Refused, Unavailable
from eco.formats import dump
from eco.registry import Registry
from eco.registry.records import Beat, Confirmation, Greeting, Owner, Record, key
from eco.testing import MemoryStore

VOTERS = (Voter("a", "1f", ("http://127.0.0.1:2380",), incarnation="i-a", volume="v"),)
OWNER = Owner("prod", "registry-id", "production", "a", "t", "n")
FOUNDED = Charter(1, Verdict.FOUNDS, "n1", "token", "cdf8", VOTERS, Origin.NOTHING, "a", "t", "all are here")
BURNT = Charter(2, Verdict.BURNS, "n2", "", "", (), Origin.NOTHING, "b", "t", "it serves again")
ROSTER = Roster(1, 1, "r1", VOTERS, "a", "t", "b joins")


def holding(*records: Record) -> MemoryStore:
    store = MemoryStore()
    store.objects = {f"prod/{key(record)}": dump(record) for record in records}
    return store


def registry(store: MemoryStore) -> Registry:
    return Registry(store, "prod", "a", wall=lambda: "t")


async def look(*records: Record) -> RegistryView:
    return await registry(holding(*records)).look()


# ---------------------------------------------------------------- what is there


async def test_an_empty_store_says_nothing_and_that_is_known() -> None:
    assert await look() == RegistryView()


async def test_the_rosters_are_those_of_the_newest_founded_generation() -> None:
    newest = replace(FOUNDED, number=2)
    burnt = replace(BURNT, number=3)
    old, new = replace(ROSTER, seq=1), replace(ROSTER, generation=2)
    view = await look(OWNER, FOUNDED, newest, burnt, old, new, replace(ROSTER, generation=3))
    assert view.charters == (FOUNDED, newest, burnt)
    assert view.rosters == (new,)


async def test_a_roster_is_confirmed_by_a_second_object() -> None:
    store = holding(OWNER, FOUNDED)
    mine = registry(store)

    assert await mine.write_roster(replace(ROSTER, confirmed=True)) == ROSTER
    assert (await mine.look()).rosters == (ROSTER,)

    await mine.confirm(ROSTER)
    await registry(store).confirm(ROSTER)
    assert (await mine.look()).rosters == (replace(ROSTER, confirmed=True),)
    assert (await registry(store).look()).rosters == (replace(ROSTER, confirmed=True),)


async def test_the_second_writer_of_a_roster_is_given_the_first_ones() -> None:
    mine = registry(holding(OWNER, FOUNDED, ROSTER))
    assert await mine.write_roster(replace(ROSTER, nonce="r2")) == ROSTER


async def test_only_the_roster_that_was_written_is_confirmed() -> None:
    mine = registry(store := holding(OWNER, FOUNDED, ROSTER))
    with pytest.raises(Refused, match="roster 1 of generation 1 is the one of a"):
        await mine.confirm(replace(ROSTER, nonce="r2"))
    with pytest.raises(Unavailable, match=r"no rosters/00000001/00000002\.json"):
        await mine.confirm(replace(ROSTER, seq=2))
    assert store.objects == holding(OWNER, FOUNDED, ROSTER).objects


async def test_the_beat_is_replaced_and_read_at_every_look() -> None:
    mine = registry(store := holding(OWNER, FOUNDED))
    assert (await mine.look()).alive is None
    for counter in (1, 2):
        await registry(store).beat(counter)
        assert (await mine.look()).alive == counter


async def test_snapshots_are_seen_whether_ours_or_the_originals() -> None:
    assert not (await look(OWNER, FOUNDED)).snapshots

    ours = holding()
    ours.objects["prod/snapshots/00000001/00000000000000ff-x.json"] = b"{}"
    assert (await registry(ours).look()).snapshots

    originals = holding()
    originals.objects["a_00000000000000ff_etcd.backup"] = b""
    assert (await registry(originals).look()).snapshots


async def test_a_backup_that_turns_up_before_the_birth_is_seen() -> None:
    mine = registry(store := holding())
    assert not (await mine.look()).snapshots
    store.objects["a_00000000000000ff_etcd.backup"] = b""
    assert (await mine.look()).snapshots


async def test_what_strangers_left_is_passed_over() -> None:
    store = holding(OWNER, FOUNDED)
    for stranger in ("prod/readme", "prod/charters/1.json", "prod/charters/00000001.json.bak", "prod/rosters/x/1.json"):
        store.objects[stranger] = b"not ours"
    assert (await registry(store).look()).charters == (FOUNDED,)


class Counting(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.questions: list[str] = []

    async def read(self, key: str) -> bytes | None:
        self.questions.append(f"read {key}")
        return await super().read(key)

    async def list(self, prefix: str) -> tuple[str, ...]:
        self.questions.append(f"list {prefix}")
        return await super().list(prefix)

    async def foreign(self) -> bool:
        self.questions.append("foreign")
        return await super().foreign()


async def test_a_quiet_look_costs_one_listing_and_one_read() -> None:
    store = Counting()
    confirmation = Confirmation(1, 1, "r1", "a", "t")
    greeting = Greeting("i-a", "n", "a", "t")
    store.objects = holding(OWNER, FOUNDED, ROSTER, confirmation, greeting, Beat(7, "a", "t")).objects
    mine = registry(store)
    first = await mine.look()
    assert first.greetings == {"i-a": "n"}

    store.questions.clear()
    assert await mine.look() == first
    assert store.questions == ["list prod/", "read prod/alive.json"]


async def test_what_vanished_from_the_store_is_not_remembered() -> None:
    mine = registry(store := holding(OWNER, FOUNDED))
    await mine.look()
    store.objects.clear()
    assert await mine.look() == RegistryView()

    others = replace(FOUNDED, nonce="another")
    store.objects = holding(OWNER, others).objects
    assert (await mine.look()).charters == (others,)


# ---------------------------------------------------------------- what cannot be


GARBAGE = {
    "empty": b"",
    "half written": dump(FOUNDED)[:40],
    "no object": b"[]",
    "nothing in it": b"{}",
    "of a newer eco": json.dumps({"version": 2}).encode(),
}
KEYS = [key(record) for record in (OWNER, FOUNDED, ROSTER, Confirmation(1, 1, "r1", "a", "t"), Beat(1, "a", "t"))]


@pytest.mark.parametrize("where", KEYS)
@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
async def test_an_unreadable_record_is_never_passed_over(where: str, garbage: bytes) -> None:
    store = holding(OWNER, FOUNDED, ROSTER)
    store.objects[f"prod/{where}"] = garbage
    with pytest.raises(Corrupt, match=where):
        await registry(store).look()


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
async def test_a_greeting_that_cannot_be_read_is_missing_and_hides_no_other(garbage: bytes) -> None:
    store = holding(OWNER, FOUNDED, Greeting("i-a", "n", "a", "t"))
    store.objects["prod/greetings/x.json"] = garbage
    view = await registry(store).look()
    assert view.charters == (FOUNDED,)
    assert view.greetings == {"i-a": "n"}


async def test_a_record_of_a_newer_eco_asks_for_an_upgrade() -> None:
    store = holding(OWNER, FOUNDED)
    store.objects["prod/charters/00000002.json"] = GARBAGE["of a newer eco"]
    with pytest.raises(Corrupt, match=r"charters/00000002\.json has format version 2; .*upgrade it"):
        await registry(store).look()


async def test_a_record_under_anothers_key_is_corrupt() -> None:
    store = holding(OWNER, FOUNDED)
    store.objects["prod/charters/00000002.json"] = dump(FOUNDED)
    with pytest.raises(Corrupt, match=r"charters/00000002\.json says that it is charters/00000001\.json"):
        await registry(store).look()


@pytest.mark.parametrize(
    ("record", "flaw"),
    [
        (replace(FOUNDED, founders=()), "names no voters"),
        (replace(FOUNDED, token=""), "names no token"),
        (replace(FOUNDED, cluster_id=""), "names no token or no cluster id"),
        (replace(ROSTER, voters=()), "names no voters"),
        (replace(OWNER, registry_id=""), "holds no registry id"),
    ],
)
async def test_a_record_that_means_nothing_is_corrupt(record: Record, flaw: str) -> None:
    store = holding(OWNER, FOUNDED, ROSTER)
    store.objects[f"prod/{key(record)}"] = dump(record)
    with pytest.raises(Corrupt, match=flaw):
        await registry(store).look()


async def test_a_confirmation_of_another_roster_is_corrupt() -> None:
    with pytest.raises(Corrupt, match="roster 1 of generation 1 is not the one that was confirmed"):
        await look(OWNER, FOUNDED, ROSTER, Confirmation(1, 1, "another", "a", "t"))


async def test_a_hole_that_may_hide_a_founding_is_not_looked_over() -> None:
    with pytest.raises(Unavailable, match="has charter 3, but lacks charter 2"):
        await look(OWNER, FOUNDED, replace(BURNT, number=3))
    with pytest.raises(Unavailable, match="has charter 2, but lacks charter 1"):
        await look(OWNER, BURNT)


async def test_a_hole_that_may_hide_a_voter_set_in_force_is_not_looked_over() -> None:
    with pytest.raises(Unavailable, match="has roster 2, but lacks roster 1"):
        await look(OWNER, FOUNDED, replace(ROSTER, seq=2))
    with pytest.raises(Unavailable, match="lacks roster 1 of generation 1, which is confirmed"):
        await look(OWNER, FOUNDED, Confirmation(1, 1, "r1", "a", "t"))


async def test_holes_below_what_settles_them_are_history() -> None:
    latest = replace(ROSTER, generation=7, seq=5)
    view = await look(OWNER, replace(FOUNDED, number=7), latest, Confirmation(7, 5, "r1", "a", "t"))
    assert [charter.number for charter in view.charters] == [7]
    assert view.rosters == (replace(latest, confirmed=True),)


async def test_what_a_stamp_holds_fills_the_hole_and_no_other_roster_does() -> None:
    first, second, third = (replace(ROSTER, seq=seq, nonce=f"r{seq}") for seq in (1, 2, 3))
    store = holding(OWNER, FOUNDED, first, third, Confirmation(1, 1, "r1", "a", "t"))
    mine = registry(store)
    for useless in (first, replace(first, confirmed=True), replace(third, nonce="another", confirmed=True)):
        await mine.restore("registry-id", (useless,))
        with pytest.raises(Unavailable, match="has roster 3, but lacks roster 2"):
            await mine.look()

    await mine.restore("registry-id", (replace(first, confirmed=True), second))

    assert (await mine.look()).rosters == (replace(first, confirmed=True), second, third)


async def test_another_registry_is_not_restored() -> None:
    store = holding(OWNER, FOUNDED)
    before = dict(store.objects)
    with pytest.raises(Refused, match="holds registry registry-id, and not another"):
        await registry(store).restore("another", (ROSTER,))
    with pytest.raises(Unavailable, match=r"no cluster\.json"):
        await registry(empty := holding()).restore("registry-id", (ROSTER,))
    assert (store.objects, empty.objects) == (before, {})


async def test_an_unreachable_store_is_unavailable_in_its_own_words() -> None:
    store = holding(OWNER, FOUNDED)
    store.down = "the file server is on fire"
    with pytest.raises(Unavailable, match="on fire"):
        await registry(store).look()


async def test_a_repair_without_an_id_is_a_bug() -> None:
    with pytest.raises(Bug):
        await registry(holding(FOUNDED)).repair("", "")


FIELDS = st.sampled_from([*json.loads(dump(FOUNDED)), *json.loads(dump(ROSTER)), "version"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "founds", "burns", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
)


@given(st.sampled_from(KEYS), st.binary(max_size=60) | JSON.map(lambda document: json.dumps(document).encode()))
def test_any_bytes_are_a_view_or_a_fault_by_name(where: str, data: bytes) -> None:
    store = holding(OWNER, FOUNDED, ROSTER)
    store.objects[f"prod/{where}"] = data
    try:
        view = asyncio.run(registry(store).look())
    except (Corrupt, Unavailable, Refused):
        return
    assert isinstance(view, RegistryView)


@given(st.sampled_from([FOUNDED, BURNT]), FIELDS, JSON)
def test_one_wrong_field_is_a_fault_by_name_or_harmless(charter: Charter, field: str, value: object) -> None:
    store = holding(OWNER, FOUNDED, BURNT)
    changed = {**json.loads(dump(charter)), field: value}
    store.objects[f"prod/{key(charter)}"] = json.dumps(changed).encode()
    try:
        view = asyncio.run(registry(store).look())
    except (Corrupt, Unavailable):
        return
    assert [held.number for held in view.charters] == [1, 2]

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from eco.agent.chores import BEAT, MOST_PACES, MOST_PATIENT, Pulse, Records, _next_look, watch_provider
from eco.core.model import Exit, Group, RegistryView, Roster
from eco.core.sight import Known, Unknown
from eco.errors import Corrupt, Refused
from tests.support import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from eco.core.model import Charter, Observation
    from tests.agent.world import Node, Site

SOON = 8.0


async def write(node: Node, records: Records, o: Observation | None = None) -> None:
    """One look, and whatever is due after it."""
    seen = o or await node.look()
    async with asyncio.TaskGroup() as tasks:
        records.keep(seen, tasks)


def records_of(node: Node) -> Records:
    return Records(node.world, node.loop.has_news)


@asynccontextmanager
async def beside(work: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """Chores are for ever: this one until the block is left."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def leader_of(site: Site, names: str) -> Node:
    etcd = await site.alive(names)
    return next(node for node in site.nodes.values() if node.child.member == etcd.leader)


# ------------------------------------------------------------------ greeting


async def test_an_empty_node_greets_once_and_tells_its_peers(site: Site) -> None:
    (a,) = site.add("a")
    records = records_of(a)
    a.loop._news = False

    await write(a, records)
    stamp = a.data.look(running=False).stamp
    assert (await a.world.registry.look()).greetings == {stamp.incarnation: stamp.nonce}
    assert a.loop._news

    a.loop._news = False
    await write(a, records)
    assert not a.loop._news


async def test_a_node_with_data_or_a_past_does_not_greet(site: Site) -> None:
    a, b = site.add("ab")
    site.found("a")
    begun = replace(b.data.look(running=False).stamp, started=True)
    b.data.stamp("test", begun)

    for node in (a, b):
        await write(node, records_of(node))

    assert (await a.world.registry.look()).greetings == {}


async def test_a_greeting_that_cannot_be_written_is_a_warning_and_is_tried_again(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    (a,) = site.add("a")
    o, records = await a.look(), records_of(a)

    site.store.down = "access denied"
    await write(a, records, o)
    site.store.down = ""
    await write(a, records, o)

    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "access denied" in caplog.text
    assert len((await a.world.registry.look()).greetings) == 1


async def test_a_disk_that_is_a_copy_of_anothers_is_told(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    a, b = site.add("ab")
    await write(a, records_of(a))
    copied = replace(b.data.look(running=False).stamp, incarnation=a.data.look(running=False).stamp.incarnation)
    b.data.stamp("test", copied)
    unread = replace(await b.look(), registry=Known(RegistryView()))

    await write(b, records_of(b), unread)

    assert "copy" in caplog.text


# ------------------------------------------------------------------ the leader's beat


async def test_the_leader_beats_at_its_pace_and_nobody_else_does(site: Site) -> None:
    leader = await leader_of(site, "abc")
    follower = next(node for node in site.nodes.values() if node is not leader)
    records = records_of(leader)

    async def after(seconds: float) -> int | None:
        site.now.sleep(seconds)
        await write(leader, records)
        await write(follower, records_of(follower))
        return (await leader.world.registry.look()).alive

    assert [await after(s) for s in (0.0, BEAT / 2, BEAT / 2, BEAT)] == [1, 1, 2, 3]


async def test_a_new_leader_goes_on_counting(site: Site) -> None:
    leader = await leader_of(site, "a")
    await leader.world.registry.beat(41)

    await write(leader, records_of(leader))

    assert (await leader.world.registry.look()).alive == 42


async def test_without_a_charter_nothing_is_beaten(site: Site) -> None:
    (a,) = site.add("a")
    site.found("a")

    await write(a, records_of(a))

    assert (await a.world.registry.look()).alive is None


# ------------------------------------------------------------------ repair


async def test_a_lost_owner_object_is_written_again_with_the_id_of_my_stamp(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    leader = await leader_of(site, "a")
    before = json.loads(site.store.objects.pop("k/cluster.json"))["registry_id"]

    await write(leader, records_of(leader))

    assert (await leader.world.registry.look()).registry_id == before
    assert "lost its owner" in caplog.text


async def test_who_does_not_serve_repairs_nothing(site: Site) -> None:
    leader = await leader_of(site, "a")
    del site.store.objects["k/cluster.json"]
    leader.child.end(Exit.CRASHED)

    await write(leader, records_of(leader))

    assert "k/cluster.json" not in site.store.objects


# ------------------------------------------------------------------ rosters in the stamp


async def written(node: Node, charter: Charter, seq: int, *, confirmed: bool) -> Roster:
    roster = Roster(1, seq, f"nonce-{seq}", charter.founders, node.name, "", "")
    await node.world.registry.write_roster(roster)
    if confirmed:
        await node.world.registry.confirm(roster)
    return replace(roster, confirmed=confirmed)


async def test_the_stamp_holds_the_last_confirmed_roster_and_all_since(site: Site) -> None:
    leader = await leader_of(site, "a")
    (charter,) = (await leader.world.registry.look()).charters
    await written(leader, charter, 1, confirmed=True)
    kept = (await written(leader, charter, 2, confirmed=True), await written(leader, charter, 3, confirmed=False))

    await write(leader, records_of(leader))
    site.effects.clear()
    await write(leader, records_of(leader))

    assert leader.data.look(running=True).stamp.rosters == kept
    assert site.effects == []


async def test_a_stamp_that_cannot_be_written_is_a_warning(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    leader = await leader_of(site, "a")
    (charter,) = (await leader.world.registry.look()).charters
    await written(leader, charter, 1, confirmed=True)
    (leader.directory / "eco" / "stamp.json.tmp").mkdir()

    await write(leader, records_of(leader))

    assert "could not be noted in the stamp" in caplog.text


async def test_one_writing_at_a_time_and_a_look_never_waits_for_it(site: Site) -> None:
    (a,) = site.add("a")
    o, records = await a.look(), records_of(a)
    site.store.delay = 60.0

    async with asyncio.TaskGroup() as tasks:
        records.keep(o, tasks)
        first = records._writing
        records.keep(o, tasks)
        assert records._writing is first
        records.end()

    assert first is not None
    assert first.cancelled()


# ------------------------------------------------------------------ the provider's watch


def test_a_provider_that_is_well_is_asked_at_its_pace_jittered() -> None:
    waits = [_next_look(10.0, 0) for _ in range(200)]

    assert 8.0 <= min(waits) < 9.5
    assert 10.5 < max(waits) <= 12.0


@pytest.mark.parametrize(
    ("pace", "bound"),
    [(0.1, MOST_PACES), (1.0, MOST_PACES), (10.0, MOST_PATIENT), (3600.0, MOST_PATIENT)],
)
def test_a_provider_that_fails_is_asked_later_and_later_up_to_a_bound(pace: float, bound: float) -> None:
    waits = [max(_next_look(pace, failures) for _ in range(200)) for failures in range(1, 11)]

    assert all(later > earlier * 0.95 for earlier, later in pairwise(waits))
    assert 0.95 * bound < waits[-1] <= 1.2 * bound
    assert min(_next_look(pace, 1) for _ in range(200)) >= min(1.6, pace)


async def test_a_provider_that_fails_takes_nothing_back_but_its_word(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = site.add("ab")
    await a.look()
    changed: list[object] = []
    a.provider.down = "throttled"

    async with beside(watch_provider(a.world, a.loop.looker, lambda: changed.append(a.loop.looker.group))):
        await wait_until(lambda: changed, SOON, "the silence is noticed")

    assert changed == [Unknown("throttled")]
    assert a.loop.looker.known == (a.instance, b.instance)
    assert a.loop.looker.instance == a.instance
    assert "cannot be asked: throttled. Its last list is kept" in caplog.text


@pytest.mark.parametrize("fault", [Corrupt("not a list"), Refused("access denied")])
async def test_whatever_a_provider_says_instead_of_a_group_is_the_sentence(site: Site, fault: Exception) -> None:
    (a,) = site.add("a")
    await a.look()

    class Moody:
        pace = 0.001

        async def look(self) -> Group:
            raise fault

    world = replace(a.world, provider=Moody())  # type: ignore[arg-type]
    async with beside(watch_provider(world, a.loop.looker, lambda: None)):
        await wait_until(lambda: a.loop.looker.group == Unknown(str(fault)), SOON, "its sentence is known")


async def test_a_provider_that_is_well_again_is_believed_again(site: Site) -> None:
    (a,) = site.add("a")
    await a.look()
    a.provider.down = "throttled"

    async with beside(watch_provider(a.world, a.loop.looker, lambda: None)):
        await wait_until(lambda: isinstance(a.loop.looker.group, Unknown), SOON, "the silence is noticed")
        a.provider.down = ""
        await wait_until(lambda: a.loop.looker.group == Known(a.provider.group), SOON, "it answers again")


async def test_only_another_answer_is_news(site: Site) -> None:
    (a,) = site.add("a")
    await a.look()
    looks: list[None] = []
    changes: list[None] = []

    class Counted:
        pace = 0.001

        async def look(self) -> Group:
            looks.append(None)
            return a.provider.group

    world = replace(a.world, provider=Counted())  # type: ignore[arg-type]
    async with beside(watch_provider(world, a.loop.looker, lambda: changes.append(None))):
        await wait_until(lambda: len(looks) > 3, SOON, "it is asked again and again")

    assert changes == []


# ------------------------------------------------------------------ the pulse


async def test_a_change_of_leader_or_of_health_wakes_the_loop_and_quiet_does_not(site: Site) -> None:
    etcd = await site.alive("abc")
    a, b, c = site.nodes.values()
    await a.look()
    wakes: list[None] = []
    pulse = Pulse(a.world, a.loop.looker, lambda: wakes.append(None), every=0.005)

    async with beside(pulse.run()):
        await wait_until(lambda: pulse.served_at is not None, SOON, "a read is served")
        assert wakes == []
        etcd.leader = next(i for i in etcd.members if i != etcd.leader)
        await wait_until(lambda: len(wakes) == 1, SOON, "another leads")
        b.child.end(Exit.CRASHED)
        c.child.end(Exit.CRASHED)
        await wait_until(lambda: len(wakes) >= 2, SOON, "nobody leads")


async def test_an_etcd_that_does_not_run_has_no_pulse(site: Site) -> None:
    await site.alive("a")
    (a,) = site.nodes.values()
    await a.look()
    a.child.end(Exit.CRASHED)
    wakes: list[None] = []
    pulse = Pulse(a.world, a.loop.looker, lambda: wakes.append(None), every=0.001)

    before = a.child.looks
    async with beside(pulse.run()):
        await wait_until(lambda: a.child.looks > before + 5, SOON, "it feels for a pulse again and again")

    assert (pulse.served_at, wakes) == (None, [])

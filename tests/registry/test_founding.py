"""One winner: generations are founded once, in a registry that is everybody's and nobody else's."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eco.core.model import Charter, Origin, Verdict, Voter
from eco.errors import ConfigError, Refused, Unavailable
from eco.registry import Registry
from eco.testing import MemoryStore, StartingLine, race
from snapshot.file import FileStore

if TYPE_CHECKING:
    from eco.ports import Store

VOTERS = tuple(Voter(name, f"{number}f", (f"http://127.0.0.{number}:2380",)) for number, name in enumerate("abc", 1))


async def found(registry: Registry, nonce: str, *, number: int = 1, owner: str = "") -> Charter:
    return await registry.found(
        number,
        founders=VOTERS,
        token=f"token-{nonce}",
        cluster_id="cdf818194e3a8c32",
        origin=Origin.NOTHING,
        evidence="a, b and c are here and empty",
        owner=owner,
        nonce=nonce,
    )


def registry(store: Store, name: str = "a", cluster: str = "prod") -> Registry:
    return Registry(store, cluster, name, wall=lambda: "2026-01-02T03:04:05+00:00")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


# ---------------------------------------------------------------- one winner


async def test_a_founded_generation_is_seen_by_everyone_as_it_was_written(store: MemoryStore) -> None:
    charter = await found(registry(store), "n1", owner="account/eu/group")

    assert charter == Charter(
        number=1,
        verdict=Verdict.FOUNDS,
        nonce="n1",
        token="token-n1",  # noqa: S106 — etcd's cluster token, no secret
        cluster_id="cdf818194e3a8c32",
        founders=VOTERS,
        origin=Origin.NOTHING,
        by="a",
        at="2026-01-02T03:04:05+00:00",
        evidence="a, b and c are here and empty",
    )
    view = await registry(store, "b").look()
    assert view.charters == (charter,)
    assert (view.cluster, view.owner) == ("prod", "account/eu/group")
    assert len(view.registry_id) == 32


def race_to_found(number: int, line: StartingLine, root: str) -> tuple[str, str, str]:
    async def run() -> tuple[str, str, str]:
        mine = registry(FileStore(Path(root)), f"node-{number}")
        line.wait(60)
        charter = await found(mine, f"nonce-{number}")
        view = await mine.look()
        return charter.nonce, view.charters[0].nonce, view.registry_id

    return asyncio.run(run())


def test_processes_that_race_for_a_generation_all_obey_the_same_charter(tmp_path: Path) -> None:
    outcomes = race(4, race_to_found, str(tmp_path / "store"))

    assert len(set(outcomes)) == 1
    obeyed, seen, registry_id = outcomes[0]
    assert obeyed == seen
    assert obeyed.startswith("nonce-")
    assert registry_id


async def test_the_loser_of_a_number_is_given_the_winners_charter(store: MemoryStore) -> None:
    await found(registry(store), "winner's")
    assert (await found(registry(store, "b"), "loser's")).nonce == "winner's"


async def test_each_number_is_founded_for_itself(store: MemoryStore) -> None:
    mine = registry(store)
    await found(mine, "n1")
    await found(mine, "n2", number=2)
    assert [charter.nonce for charter in (await mine.look()).charters] == ["n1", "n2"]


# ---------------------------------------------------------------- trace 16: replies are lost


async def test_a_create_whose_reply_was_lost_is_known_as_mine_by_its_nonce(store: MemoryStore) -> None:
    store.lost_replies = 2  # that of cluster.json, and that of the charter
    assert (await found(registry(store), "mine")).nonce == "mine"
    assert store.lost_replies == 0


async def test_a_lost_reply_to_a_create_that_lost_is_no_victory(store: MemoryStore) -> None:
    await found(registry(store), "theirs")
    store.lost_replies = 1
    assert (await found(registry(store, "b"), "mine")).nonce == "theirs"


async def test_a_create_that_never_arrived_is_neither_won_nor_lost(store: MemoryStore) -> None:
    mine = registry(store)
    await found(mine, "n1")
    store.lost_requests = 1
    with pytest.raises(Unavailable, match=r"charters/00000002\.json may yet come to be"):
        await found(mine, "n2", number=2)

    assert (await found(mine, "n2", number=2)).nonce == "n2"


class CutOff(MemoryStore):
    """The line is cut while the reply to a create is on its way."""

    async def create(self, key: str, data: bytes) -> bool:
        await super().create(key, data)
        self.down = "the line is cut"
        raise Unavailable(self.down)


async def test_a_create_that_arrived_after_all_is_met_by_its_own_retry(store: MemoryStore) -> None:
    """The retry is refused, and the winner must not think that it lost."""
    await found(registry(store), "n1")
    cut = CutOff()
    cut.objects = store.objects
    with pytest.raises(Unavailable, match="the line is cut"):
        await found(registry(cut), "n2", number=2)

    assert (await found(registry(store), "n2", number=2)).nonce == "n2"
    assert (await found(registry(store, "b"), "n3", number=2)).nonce == "n2"


async def test_a_store_that_hangs_is_unavailable_in_time(store: MemoryStore) -> None:
    store.delay = 60
    hanging = Registry(store, "prod", "a", deadline=0.05)
    with pytest.raises(Unavailable, match=r"gave no answer within 0\.05 s"):
        await hanging.look()
    with pytest.raises(Unavailable, match=r"gave no answer within 0\.05 s"):
        await found(hanging, "n1")


# ---------------------------------------------------------------- traces 3 and 15: whose registry


async def test_another_owners_registry_is_refused(store: MemoryStore) -> None:
    """Staging is pointed at production's bucket."""
    await found(registry(store), "n1", owner="production")
    before = dict(store.objects)

    with pytest.raises(Refused, match="owned by production, and this node belongs to staging"):
        await found(registry(store, "s"), "n2", number=2, owner="staging")

    assert store.objects == before


async def test_an_owner_that_is_not_known_is_no_contradiction(store: MemoryStore) -> None:
    await found(registry(store), "n1", owner="")
    assert (await found(registry(store), "n2", number=2, owner="production")).nonce == "n2"


async def test_a_registry_that_was_copied_from_another_cluster_is_refused(store: MemoryStore) -> None:
    await found(registry(store), "n1")
    store.objects = {key.replace("prod/", "test/"): data for key, data in store.objects.items()}

    with pytest.raises(Refused, match="that of the cluster prod, and this node's is test"):
        await registry(store, cluster="test").look()
    with pytest.raises(Refused, match="that of the cluster prod, and this node's is test"):
        await found(registry(store, cluster="test"), "n2", number=2)


async def test_two_clusters_share_a_store_without_seeing_each_other(store: MemoryStore) -> None:
    await found(registry(store, cluster="one"), "n1")
    assert (await registry(store, cluster="two").look()).charters == ()
    assert (await registry(store, cluster="on").look()).charters == ()


async def test_a_directory_that_is_not_shared_shows_by_the_greetings_that_lack(tmp_path: Path) -> None:
    """Each node would pass the create-if-absent alone; nobody may start before all greetings are read."""
    nodes = {name: registry(FileStore(tmp_path / f"disk-of-{name}"), name) for name in "ab"}
    for name, node in nodes.items():
        await node.greet(f"incarnation-{name}", f"nonce-{name}")

    assert (await nodes["a"].look()).greetings == {"incarnation-a": "nonce-a"}
    assert (await nodes["b"].look()).greetings == {"incarnation-b": "nonce-b"}


async def test_on_a_shared_directory_everyone_reads_every_greeting(tmp_path: Path) -> None:
    nodes = {name: registry(FileStore(tmp_path / "shared"), name) for name in "ab"}
    for name, node in nodes.items():
        await node.greet(f"incarnation-{name}", f"nonce-{name}")
        await node.greet(f"incarnation-{name}", f"nonce-{name}")

    for node in nodes.values():
        assert (await node.look()).greetings == {"incarnation-a": "nonce-a", "incarnation-b": "nonce-b"}


async def test_a_copied_disk_is_found_out_by_its_greeting(store: MemoryStore) -> None:
    await registry(store, "a").greet("incarnation", "nonce-a")
    with pytest.raises(Refused, match="was used by a before"):
        await registry(store, "b").greet("incarnation", "nonce-b")


# ---------------------------------------------------------------- a registry that went backwards


async def test_a_lost_owner_object_is_repaired_with_the_id_it_had(store: MemoryStore) -> None:
    mine = registry(store)
    charter = await found(mine, "n1", owner="production")
    before = (await mine.look()).registry_id

    del store.objects["prod/cluster.json"]
    view = await mine.look()
    assert view.registry_id == ""
    assert view.charters == (charter,)

    await mine.repair(before, "production")
    await registry(store, "b").repair(before, "production")
    view = await registry(store, "c").look()
    assert (view.registry_id, view.owner) == (before, "production")


async def test_nothing_is_founded_while_the_owner_object_is_lost(store: MemoryStore) -> None:
    """A new random id would make strangers of all who carry the old one."""
    mine = registry(store)
    await found(mine, "n1")
    del store.objects["prod/cluster.json"]
    before = dict(store.objects)

    with pytest.raises(Refused, match="repairs it"):
        await found(mine, "n2", number=2)

    assert store.objects == before


async def test_an_owner_object_with_another_id_is_not_overwritten(store: MemoryStore) -> None:
    mine = registry(store)
    await found(mine, "n1")
    held = json.loads(store.objects["prod/cluster.json"])["registry_id"]
    with pytest.raises(Refused, match=f"holds registry {held}, and not another"):
        await mine.repair("another", "")


async def test_a_registry_that_lost_everything_goes_on_with_its_old_id_and_number(store: MemoryStore) -> None:
    mine = registry(store)
    await mine.repair("0123456789abcdef", "")
    await found(mine, "n3", number=3)
    view = await mine.look()
    assert view.registry_id == "0123456789abcdef"
    assert [charter.number for charter in view.charters] == [3]


@pytest.mark.parametrize("cluster", ["", "Prod", "a/b", "a.b", "a_b", "-", "a-", "..", "ä", "a" * 64])
def test_a_cluster_name_is_part_of_every_key(store: MemoryStore, cluster: str) -> None:
    with pytest.raises(ConfigError, match=r"eco\.cluster: .*small letters"):
        registry(store, cluster=cluster)

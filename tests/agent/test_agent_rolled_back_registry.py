"""A registry that went backwards: its stamps bring it forward again, and changes go on."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from eco.agent.act import Actor
from eco.agent.chores import Records
from eco.core import steps as s
from eco.core.model import Exit, Group, RegistryView, Roster
from eco.core.sight import Unknown
from eco.errors import Unavailable
from eco.registry import Registry
from snapshot.file import FileStore
from tests.agent.world import Node, Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from eco.core.model import Charter, Observation


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """One node that serves, over files; its rosters 1 to 3 are confirmed, and its stamp knows."""
    site = Site(tmp_path / "nodes", store=FileStore(tmp_path / "store"))  # type: ignore[arg-type]
    await site.alive("a")
    a = site.nodes["a"]
    for seq in (1, 2, 3):
        await changed(a, seq)
        await kept(a)
    yield site
    for node in site.nodes.values():
        node.data.close()


@pytest.fixture
def a(site: Site) -> Node:
    return site.nodes["a"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store" / "k"


async def kept(node: Node, o: Observation | None = None) -> None:
    """One look, and whatever is due after it."""
    records = Records(node.world, node.loop.has_news)
    async with asyncio.TaskGroup() as tasks:
        records.keep(o or await node.look(), tasks)


async def charter_of(node: Node) -> Charter:
    stamp = node.data.look(running=True).stamp
    voters = tuple(v for r in stamp.rosters for v in r.voters)
    charters = (await node.world.registry.look()).charters
    assert charters or voters
    return charters[0]


async def changed(node: Node, seq: int) -> None:
    """One change of voters: the roster is written, and confirmed."""
    founders = (await charter_of(node)).founders
    actor = Actor(node.world)
    await actor.act(s.WriteRoster(1, seq, founders, f"change {seq}"), await node.look())
    (roster,) = [r for r in (await node.world.registry.look()).rosters if r.seq == seq]
    await actor.act(s.ConfirmRoster(roster, "as etcd says"), await node.look())


async def said(node: Node) -> RegistryView:
    return await node.world.registry.look()


def all_rosters(store: Path) -> None:
    shutil.rmtree(store / "rosters")


def the_last_roster(store: Path) -> None:
    for file in store.glob("rosters/*/00000003*"):
        file.unlink()


def the_first_rosters(store: Path) -> None:
    for file in store.glob("rosters/*/0000000[12]*"):
        file.unlink()


def the_last_confirmation(store: Path) -> None:
    (store / "rosters" / "00000001" / "00000003.confirmed.json").unlink()


def unreadable(store: Path) -> Path:
    shutil.rmtree(store)
    store.write_text("not a directory")
    return store


LOSSES = (all_rosters, the_last_roster, the_last_confirmation)


@pytest.mark.parametrize("lose", LOSSES)
async def test_the_next_look_of_a_serving_node_heals_it_and_changes_go_on(
    a: Node, store: Path, lose: Callable[[Path], None]
) -> None:
    lose(store)

    await kept(a)
    healed = (await said(a)).rosters
    await changed(a, 4)

    assert (healed[-1].seq, healed[-1].confirmed) == (3, True)
    assert [r.seq for r in (await said(a)).rosters if r.confirmed][-2:] == [3, 4]


@pytest.mark.parametrize("lose", LOSSES)
async def test_a_change_made_before_that_look_writes_nothing_above_a_hole(
    a: Node, store: Path, lose: Callable[[Path], None]
) -> None:
    o = await a.look()
    lose(store)
    await said(a)

    founders = (await charter_of(a)).founders
    await Actor(a.world).act(s.WriteRoster(1, 4, founders, "decided before the loss"), o)

    assert [r.seq for r in (await said(a)).rosters if r.seq > 2] == [3, 4]


async def test_a_registry_with_a_hole_is_filled_though_it_cannot_be_looked_at(a: Node, store: Path) -> None:
    founders = (await charter_of(a)).founders
    all_rosters(store)
    await a.world.registry.write_roster(Roster(1, 4, "above the hole", founders, "a", "", ""))
    with pytest.raises(Unavailable, match="has roster 4, but lacks roster 1"):
        await said(a)

    await kept(a)
    await changed(a, 5)

    assert [(r.seq, r.confirmed) for r in (await said(a)).rosters] == [(3, True), (4, False), (5, True)]


async def test_a_loss_in_the_middle_of_the_healing_is_healed_by_the_next_look(a: Node, store: Path) -> None:
    founders = (await charter_of(a)).founders
    all_rosters(store)
    third = a.data.look(running=True).stamp.rosters[-1]
    await a.world.registry.write_roster(third)
    with pytest.raises(Unavailable):
        await said(a)

    await kept(a)

    assert [(r.seq, r.confirmed, r.voters) for r in (await said(a)).rosters] == [(3, True, founders)]


async def test_the_stamp_forgets_nothing_while_the_registry_lacks_it(a: Node, store: Path) -> None:
    before = a.data.look(running=True).stamp.rosters
    the_last_confirmation(store)
    o = await a.look()
    a.child.end(Exit.CRASHED)

    await kept(a, replace(o, mine=Unknown("etcd does not run")))

    assert a.data.look(running=False).stamp.rosters == before
    assert [r.confirmed for r in (await said(a)).rosters] == [True, True, False]


async def test_who_does_not_serve_gives_nothing_back(a: Node, store: Path) -> None:
    all_rosters(store)
    a.child.end(Exit.CRASHED)

    await kept(a)

    assert (await said(a)).rosters == ()


async def test_what_lies_below_the_last_confirmed_roster_is_history(a: Node, store: Path) -> None:
    the_first_rosters(store)

    await kept(a)
    await changed(a, 4)

    assert [r.seq for r in (await said(a)).rosters] == [3, 4]


async def test_a_registry_that_lost_everything_is_registered_with_its_rosters(a: Node, store: Path) -> None:
    """An empty directory is there, as where a mount is gone."""
    (founder,) = (await charter_of(a)).founders
    before = await said(a)
    shutil.rmtree(store)

    o = await a.look()
    await Actor(a.world).act(s.Adopt(1, "token", a.child.cluster, (founder,), "lost"), o)
    await changed(a, 4)

    assert (await said(a)).registry_id == before.registry_id
    assert [(r.seq, r.confirmed) for r in (await said(a)).rosters] == [(3, True), (4, True)]


async def test_the_owner_is_not_written_while_the_provider_has_not_said_who_that_is(a: Node, store: Path) -> None:
    (founder,) = (await charter_of(a)).founders
    shutil.rmtree(store)
    o = await a.look()
    adopt = s.Adopt(1, "token", a.child.cluster, (founder,), "lost")

    with pytest.raises(Unavailable, match="the group cannot be seen"):
        await Actor(a.world).act(adopt, replace(o, group=Unknown("throttled")))
    assert await said(a) == RegistryView()

    a.provider.group = Group(a.provider.group.instances, desired=1, identity="production")
    await Actor(a.world).act(adopt, await a.look())
    assert (await said(a)).owner == "production"


async def test_a_lost_owner_object_awaits_the_provider(a: Node, store: Path) -> None:
    (store / "cluster.json").unlink()
    o = await a.look()

    await kept(a, replace(o, group=Unknown("throttled")))
    assert (await said(a)).registry_id == ""

    await kept(a, o)
    assert (await said(a)).registry_id == a.data.look(running=True).stamp.registry_id


async def test_an_outage_is_told_once(a: Node, store: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = replace(a.world, registry=Registry(FileStore(unreadable(store)), "k", "a"))
    records = Records(world, a.loop.has_news)

    for _ in range(3):
        o = await a.look()
        async with asyncio.TaskGroup() as tasks:
            records.keep(replace(o, registry=Unknown("it does not answer")), tasks)

    assert caplog.text.count("Not written down") == 1

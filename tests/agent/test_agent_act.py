from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from eco.agent.act import Actor, urls_of_voters
from eco.core import steps as s
from eco.core.model import Data, Exit, Origin, Roster, Voter
from eco.core.sight import Known
from eco.errors import Bug, Refused, Unavailable

if TYPE_CHECKING:
    from eco.core.model import Charter, Disk, Observation, RegistryView, Stamp
    from tests.agent.world import Etcd, Node, Site


async def act(node: Node, step: s.Step) -> str:
    """Look, and take the step, whatever a decision would say."""
    return await Actor(node.world).act(step, await node.look())


def disk(node: Node) -> Disk:
    return node.data.look(running=node.child.runs)


def stamp(node: Node) -> Stamp:
    return disk(node).stamp


async def registry(node: Node) -> RegistryView:
    return await node.world.registry.look()


async def founded(node: Node, *founders: Node) -> Charter:
    """A charter of generation 1, as `Found` makes it."""
    voters = tuple(Voter(n.name, "", (), stamp(n).incarnation, n.name) for n in founders)
    await act(node, s.Found(1, voters, "all are empty"))
    return (await registry(node)).charters[0]


def flags(node: Node) -> dict[str, str]:
    """What etcd was started with."""
    return dict(word.removeprefix("--").split("=", 1) for word in node.child.argv[1:])


async def joining(site: Site) -> tuple[Etcd, Node, s.AddSelf, Observation]:
    """A cluster of a and b that serves; c wants to join it."""
    etcd = await site.alive("ab")
    for node in tuple(site.nodes.values()):
        async with node.living():
            await node.decides(lambda d: d.situation.value == "SERVING", "it serves")
    (c,) = site.add("c")
    return etcd, c, s.AddSelf(c.peer_url, 1, "token", "join"), await c.look()


# ------------------------------------------------------------------ birth


async def test_a_founding_names_every_founder_as_etcd_will(site: Site) -> None:
    a, b = site.add("ab")
    charter = await founded(a, a, b)

    for node in (a, b):
        await act(node, s.Start("start", charter=charter))

    assert {v.member_id for v in charter.founders} == {a.child.member, b.child.member}
    assert charter.cluster_id == a.child.cluster == b.child.cluster
    assert [v.peer_urls for v in charter.founders] == [(a.peer_url,), (b.peer_url,)]
    assert (charter.nonce, charter.evidence, charter.by) == (stamp(a).nonce, "all are empty", "a")


async def test_a_create_whose_reply_was_lost_is_settled_by_the_registry(site: Site) -> None:
    (a,) = site.add("a")
    o = await a.look()
    site.store.lost_replies = 2  # the owner object's, and the charter's

    said = await Actor(a.world).act(s.Found(1, (Voter("a", "", (), stamp(a).incarnation),), "empty"), o)

    assert said == "generation 1 is founded"
    assert (await registry(a)).charters[0].nonce == stamp(a).nonce


async def test_a_create_that_cannot_be_settled_is_left_open(site: Site) -> None:
    (a,) = site.add("a")
    o = await a.look()
    site.store.lost_requests = 1

    with pytest.raises(Unavailable, match="may yet come to be"):
        await Actor(a.world).act(s.Found(1, (Voter("a", "", (), stamp(a).incarnation),), "empty"), o)
    assert (await registry(a)).charters == ()


async def test_who_comes_second_hears_who_has_founded(site: Site) -> None:
    a, b = site.add("ab")
    await founded(a, a)

    assert await act(b, s.Found(1, (Voter("b", "", ()),), "empty")) == "a has founded generation 1"


# ------------------------------------------------------------------ etcd


async def test_the_stamp_says_started_before_etcd_is_first_executed(site: Site) -> None:
    (a,) = site.add("a")
    charter = await founded(a, a)
    site.effects.clear()
    a.child.failing = "no such program"

    with pytest.raises(Unavailable, match="no such program"):
        await act(a, s.Start("start", charter=charter))

    assert site.effects == ["start.stamp.write", "start.stamp.rename", "start.stamp.sync", "child.start"]
    assert stamp(a).started
    assert (stamp(a).generation, stamp(a).token, stamp(a).cluster_id) == (1, charter.token, charter.cluster_id)
    assert (stamp(a).registry_id, stamp(a).volume) == ((await registry(a)).registry_id, "volume of a")


async def test_a_data_set_is_started_again_on_its_own_membership(site: Site) -> None:
    await site.alive("a")
    (a,) = site.nodes.values()
    a.child.end(Exit.CRASHED)
    before = stamp(a)
    site.effects.clear()

    assert await act(a, s.Start("start")) == "etcd is started"

    assert not {"initial-cluster", "initial-cluster-token", "initial-cluster-state"} & set(flags(a))
    assert (stamp(a), site.effects) == (before, ["child.start"])


async def test_a_plain_etcds_data_is_stamped_with_what_its_log_says(site: Site) -> None:
    (a,) = site.add("a")
    etcd = site.found("a")
    a.child.end(Exit.CRASHED)
    assert not disk(a).stamped

    await act(a, s.Start("start"))

    assert disk(a).stamped
    assert (stamp(a).member_id, stamp(a).cluster_id, stamp(a).generation) == (a.child.member, etcd.id, 0)


async def test_without_an_address_nothing_is_stamped_and_nothing_started(site: Site) -> None:
    (a,) = site.add("a")
    charter = await founded(a, a)
    o = replace(await a.look(), instance=None)
    site.effects.clear()

    with pytest.raises(Unavailable, match="address"):
        await Actor(a.world).act(s.Start("start", charter=charter), o)
    assert site.effects == []


async def test_a_charter_that_does_not_name_me_is_never_started(site: Site) -> None:
    a, b = site.add("ab")
    charter = await founded(a, a)
    site.effects.clear()

    with pytest.raises(Bug):
        await act(b, s.Start("start", charter=charter))
    assert "child.start" not in site.effects


async def test_a_restart_is_a_stop_and_a_start_on_the_same_data(site: Site) -> None:
    await site.alive("a")
    (a,) = site.nodes.values()
    site.effects.clear()

    await act(a, s.Restart("restart"))

    assert site.effects == ["child.stop", "child.start"]
    assert a.child.runs


async def test_a_stop_stops(site: Site) -> None:
    await site.alive("a")
    (a,) = site.nodes.values()

    assert await act(a, s.Stop("stop")) == "etcd is stopped"
    assert not a.child.runs


# ------------------------------------------------------------------ joining


async def test_a_join_records_exactly_the_list_that_memberadd_returned(site: Site) -> None:
    etcd, c, step, o = await joining(site)
    a, b, _ = site.nodes.values()

    await Actor(c.world).act(step, o)

    pairs = (("a", a.peer_url), ("b", b.peer_url), ("c", c.peer_url))
    join = stamp(c).join
    assert join is not None
    assert tuple(sorted(join.initial_cluster)) == pairs
    assert (join.generation, join.token, join.cluster_id, join.member_id) == (1, "token", etcd.id, "e1")
    assert not stamp(c).started


async def test_a_member_without_a_name_is_recorded_under_its_id(site: Site) -> None:
    etcd, c, step, o = await joining(site)
    first = etcd.voters()[0]
    etcd.members[first] = replace(etcd.members[first], name="")

    await Actor(c.world).act(step, o)

    join = stamp(c).join
    assert join is not None
    assert first in dict(join.initial_cluster)


async def test_a_join_is_stamped_before_old_data_is_set_aside_and_started_after(site: Site) -> None:
    etcd, c, step, _ = await joining(site)
    c.child.begin("dead", "beef")
    c.child.end(Exit.CRASHED)
    site.effects.clear()

    await act(c, step)
    await act(c, s.SetAside("rejoin", "accepted"))
    join = stamp(c).join
    await act(c, s.Start("start", join=join))

    landmarks = {"api.add", "join.stamp.rename", "aside.member.rename", "start.stamp.rename"}
    told = [effect for effect in site.effects if effect in landmarks]
    assert told == ["api.add", "join.stamp.rename", "aside.member.rename", "start.stamp.rename"]
    assert site.effects[-1] == "child.start"
    assert (stamp(c).join, stamp(c).started, stamp(c).member_id, stamp(c).cluster_id) == (None, True, "e1", etcd.id)
    assert (flags(c)["initial-cluster-state"], flags(c)["initial-cluster-token"]) == ("existing", "token")


async def test_data_that_is_set_aside_is_kept_and_so_is_the_join(site: Site) -> None:
    _, c, step, _ = await joining(site)
    c.child.begin("dead", "beef")
    c.child.end(Exit.CRASHED)
    await act(c, step)
    before = stamp(c)

    await act(c, s.SetAside("rejoin", "accepted"))

    assert len(list((c.directory / "eco" / "old").glob("*/member/wal/*.wal"))) == 1
    assert disk(c).data is Data.ABSENT
    assert stamp(c).join == before.join is not None
    assert stamp(c).incarnation != before.incarnation
    assert stamp(c).nonce != before.nonce
    assert (stamp(c).generation, stamp(c).started, stamp(c).registry_id) == (0, False, before.registry_id)


async def test_my_unstarted_entry_is_adopted_and_my_stale_ones_are_removed_first(site: Site) -> None:
    etcd, c, step, o = await joining(site)
    await Actor(c.world).act(step, o)
    site.effects.clear()

    await Actor(c.world).act(replace(step, ghost="e1", stale=("e7",)), o)

    assert [effect for effect in site.effects if effect.startswith("api")] == ["api.remove e7"]
    assert etcd.added == 1
    join = stamp(c).join
    assert join is not None
    assert join.member_id == "e1"


async def test_a_ghost_that_is_gone_is_not_joined(site: Site) -> None:
    _, c, step, o = await joining(site)

    with pytest.raises(Refused, match="e1"):
        await Actor(c.world).act(replace(step, ghost="e1"), o)
    assert stamp(c).join is None


async def test_what_etcd_refuses_leaves_no_join(site: Site) -> None:
    etcd, c, step, o = await joining(site)
    etcd.members["e9"] = replace(etcd.members[etcd.voters()[0]], id="e9", name="z", is_learner=True)

    with pytest.raises(Refused, match="too many learner"):
        await Actor(c.world).act(step, o)
    assert stamp(c).join is None


# ------------------------------------------------------------------ members


async def test_the_voters_are_asked_mine_first_and_learners_never(site: Site) -> None:
    etcd = await site.alive("abc")
    a, b, c = site.nodes.values()
    learner = etcd.members[c.child.member]
    etcd.members[learner.id] = replace(learner, is_learner=True)

    assert urls_of_voters(await b.look()) == (b.client_url, a.client_url)


async def test_leadership_is_handed_over_by_the_leader(site: Site) -> None:
    etcd = await site.alive("ab")
    follower = next(node for node in site.nodes.values() if node.child.member != etcd.leader)

    await act(follower, s.MoveLeader(follower.child.member, follower.name, "its agent is silent"))

    assert etcd.leader == follower.child.member


async def test_each_change_of_members_is_made_as_it_was_decided(site: Site) -> None:
    etcd = await site.alive("abc")
    a, b, c = site.nodes.values()
    etcd.members["e5"] = replace(etcd.members[c.child.member], id="e5", is_learner=True)

    await act(a, s.Promote("e5", "e", "caught up"))
    await act(a, s.RemoveMember(c.child.member, "c", is_learner=False, because="lost"))
    await act(b, s.UpdatePeerUrl(b.child.member, "http://10.0.0.77:2380", "moved"))

    assert not etcd.members["e5"].is_learner
    assert c.child.member not in etcd.members
    assert etcd.members[b.child.member].peer_urls == ("http://10.0.0.77:2380",)


# ------------------------------------------------------------------ records


async def test_a_roster_is_written_once_and_who_loses_is_refused(site: Site) -> None:
    await site.alive("ab")
    a, b = site.nodes.values()
    founders = (await registry(a)).charters[0].founders
    step = s.WriteRoster(1, 1, founders, "before a change")
    o = await b.look()

    assert await act(a, step) == "roster 1 is written"
    with pytest.raises(Refused, match="a has written roster 1 before me"):
        await Actor(b.world).act(step, o)

    (roster,) = (await registry(a)).rosters
    assert (roster.by, roster.why, roster.voters, roster.confirmed) == ("a", "before a change", founders, False)


async def test_a_roster_is_confirmed(site: Site) -> None:
    await site.alive("a")
    (a,) = site.nodes.values()
    roster = Roster(1, 1, "n", (await registry(a)).charters[0].founders, "a", "", "")
    await a.world.registry.write_roster(roster)

    await act(a, s.ConfirmRoster(roster, "as etcd says"))

    assert [r.confirmed for r in (await registry(a)).rosters] == [True]


async def test_a_plain_cluster_is_registered_with_its_own_ids(site: Site) -> None:
    (a,) = site.add("a")
    etcd = site.found("a")
    voters = (Voter("a", a.child.member, (a.peer_url,)),)

    await act(a, s.Adopt(1, "", etcd.id, voters, "no charter names it"))
    charter = (await registry(a)).charters[0]
    await act(a, s.Enrol(1, charter.token, a.child.member, etcd.id, "complete my stamp"))

    assert (charter.cluster_id, charter.founders, charter.origin) == (etcd.id, voters, Origin.ADOPTED)
    assert (stamp(a).generation, stamp(a).token, stamp(a).member_id) == (1, charter.token, a.child.member)
    assert stamp(a).registry_id == (await registry(a)).registry_id


async def test_a_registry_that_was_lost_is_registered_under_its_old_id(site: Site) -> None:
    etcd = await site.alive("a")
    (a,) = site.nodes.values()
    before = stamp(a).registry_id
    site.store.objects.clear()

    await act(a, s.Adopt(1, "token", etcd.id, (Voter("a", a.child.member, (a.peer_url,)),), "lost"))

    assert (await registry(a)).registry_id == before
    assert (await registry(a)).charters[0].token == "token"  # noqa: S105


async def test_facts_that_are_unknown_stop_an_act_before_it_begins(site: Site) -> None:
    (a,) = site.add("a")
    site.store.down = "no route"
    a.provider.down = "no credentials"

    for step in (s.Found(1, (), ""), s.Adopt(1, "", "c", (), ""), s.Enrol(1, "t", "1", "c", "")):
        with pytest.raises(Unavailable, match="cannot be seen any more"):
            await act(a, step)
    with pytest.raises(Unavailable):
        await act(a, s.AddSelf(a.peer_url, 1, "t", ""))
    assert isinstance((await a.look()).disk, Known)
    assert stamp(a).join is None

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from eco.agent.loop import HEARD_MOST, HEARD_WITHIN
from eco.core import steps as s
from eco.core.decision import Decision, Situation
from eco.core.model import Exit, Instance
from eco.core.policy import Policy
from eco.errors import Bug, Unavailable
from tests.support import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.agent.world import Node, Site

SOON = 8.0
"""Seconds in which everything here comes about, unless something is wrong."""


def serves(decision: Decision) -> bool:
    return decision.situation is Situation.SERVING


def journal(node: Node) -> list[dict[str, Any]]:
    if not node.journal.path.is_file():
        return []
    return [json.loads(line) for line in node.journal.path.read_bytes().splitlines()]


def outcomes(node: Node, step: type[s.Step]) -> list[str]:
    """What came of the steps of this kind, beginnings left out."""
    return [e["outcome"] for e in journal(node) if e["step"] == step.__name__ and e["outcome"] != "begins"]


async def wait_for(node: Node, step: type[s.Step], outcome: str) -> None:
    async def told() -> bool:
        return any(outcome in each for each in outcomes(node, step))

    await wait_until(told, SOON, f"{step.__name__}: {outcome}")


def once(kind: type[s.Step], effect: Callable[[], None]) -> Callable[[Decision], None]:
    """At the first decision for such a step, after the look on which it rests and before it is taken."""
    done: list[Decision] = []

    def on_show(decision: Decision) -> None:
        if isinstance(decision.step, kind) and not done:
            done.append(decision)
            effect()

    return on_show


async def asleep(site: Site) -> Node:
    """A node that holds the only data of its cluster, its etcd not running."""
    await site.alive("a")
    (a,) = site.nodes.values()
    a.child.end(Exit.CRASHED)
    return a


# ------------------------------------------------------------------ a whole life


async def test_three_empty_nodes_become_a_cluster(site: Site) -> None:
    a, b, c = site.add("abc")

    async with a.living(), b.living(), c.living():
        await wait_until(lambda: all(n.decisions and serves(n.decisions[-1]) for n in (a, b, c)), SOON, "all serve")

    (etcd,) = site.etcds.values()
    assert {member.name for member in etcd.members.values()} == {"a", "b", "c"}
    assert len(etcd.voters()) == 3
    (charter,) = (await a.world.registry.look()).charters
    assert [outcomes(node, s.Found) for node in (b, c)] == [[], []]
    assert charter.by == "a"


async def test_every_step_is_in_the_journal_before_and_after_it_with_its_facts(site: Site) -> None:
    (a,) = site.add("a")
    async with a.living():
        await a.decides(serves, "it serves")

    steps = [entry for entry in journal(a) if entry["step"] != "Hold"]
    begun, ended = steps[::2], steps[1::2]

    assert {entry["step"] for entry in begun} >= {"Found", "Start"}
    assert [e["step"] for e in begun][: len(ended)] == [e["step"] for e in ended]
    assert {entry["outcome"] for entry in begun} == {"begins"}
    assert all(entry["outcome"].startswith("done: ") for entry in ended)
    assert all("known" in entry["facts"]["registry"] for entry in begun)
    assert all(entry["because"] for entry in begun)


async def test_a_wait_is_in_the_journal_once(site: Site) -> None:
    a, _ = site.add("ab")
    async with a.living():
        await wait_until(lambda: len(a.decisions) > 3, SOON, "it looks again and again")

    waits = [(e["situation"], e["because"]) for e in journal(a) if e["step"] == "Hold"]
    assert waits
    assert all(one != other for one, other in pairwise(waits))


async def test_a_journal_that_cannot_be_written_stops_nothing_and_is_told_once(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    (a,) = site.add("a")
    a.journal.path.mkdir()

    async with a.living():
        await a.decides(serves, "it serves")

    assert caplog.text.lower().count("journal cannot be written") == 1


async def test_nothing_of_an_agent_is_left_when_it_has_ended(site: Site) -> None:
    await site.alive("a")
    (a,) = site.nodes.values()
    async with a.living() as life:
        await a.decides(serves, "it serves")
        a.loop.ask_to_stop()
        await asyncio.wait_for(life, SOON)

    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not a.child.runs


# ------------------------------------------------------------------ the first look


async def test_the_first_look_of_a_node_with_data_does_not_wait_for_its_peers(site: Site) -> None:
    await site.alive("abc")
    a = site.nodes["a"]
    a.child.end(Exit.CRASHED)
    site.mute |= {"b", "c"}

    async with a.living():
        await wait_for(a, s.Start, "done")

    start = next(entry for entry in journal(a) if entry["step"] == "Start")
    assert start["facts"]["peers"]["b"] == {"unknown": "no answer within 0.25 s"}
    assert len(a.decisions) == 1 or isinstance(a.decisions[0].step, s.Start)


async def test_a_store_that_hangs_does_not_keep_an_etcd_from_its_data(site: Site) -> None:
    a = await asleep(site)
    site.store.delay = 60.0

    async with a.living():
        await wait_for(a, s.Start, "done")

    start = next(entry for entry in journal(a) if entry["step"] == "Start")
    assert start["facts"]["registry"] == {"unknown": "no answer within 1.5 s"}


# ------------------------------------------------------------------ old plans


async def test_what_cannot_be_undone_is_looked_at_again_and_dropped_when_it_is_not_so_any_more(site: Site) -> None:
    (a,) = site.add("a")

    def another_is_desired() -> None:
        a.provider.group = replace(a.provider.group, desired=2)
        a.loop.looker.heard(a.provider.group)

    a.on_show = once(s.Found, another_is_desired)
    async with a.living():
        await wait_for(a, s.Found, "dropped: now awaiting 1 more")

    assert (await a.world.registry.look()).charters == ()
    assert not a.child.runs


async def test_a_member_that_is_healthy_again_is_not_removed_by_an_agent_that_was_paused(site: Site) -> None:
    etcd = await site.alive("abc")
    leader, follower, silent = sorted(site.nodes.values(), key=lambda node: node.child.member != etcd.leader)
    (waiting,) = site.add("d")
    for node in site.nodes.values():
        node.provider.group = replace(node.provider.group, desired=3)
    silent.child.end(Exit.CRASHED)
    leader.agent(Policy(unhealthy_member_ttl=0.2))

    def it_wakes_after_ten_minutes() -> None:
        site.now.sleep(600.0)
        silent.child.begin(silent.child.member, etcd.id)

    leader.on_show = once(s.RemoveMember, it_wakes_after_ten_minutes)
    async with follower.living(), waiting.living(), leader.living():
        await wait_for(leader, s.RemoveMember, "dropped")

    assert silent.child.member in etcd.members
    assert not [effect for effect in site.effects if effect.startswith("api.remove")]


async def test_a_plan_that_grew_old_before_its_act_is_dropped_and_made_anew(site: Site) -> None:
    a = await asleep(site)
    a.on_show = once(s.Start, lambda: site.now.sleep(600.0))

    async with a.living():
        await a.decides(serves, "it serves")

    told = outcomes(a, s.Start)
    assert told == ["dropped: the plan is 600 s old", "done: etcd is started"]
    assert site.effects.count("child.start") == 1


async def test_a_second_look_that_was_interrupted_for_long_is_an_old_plan(site: Site) -> None:
    """The registry was read before the pause, the ports were tried after it."""
    (a,) = site.add("a")

    def pause() -> None:
        site.meanwhile = lambda: None
        site.now.sleep(600.0)

    def pause_in_the_second_look() -> None:
        site.meanwhile = pause

    a.on_show = once(s.Found, pause_in_the_second_look)
    async with a.living():
        await a.decides(serves, "it serves")

    assert outcomes(a, s.Found) == ["dropped: the plan is 600 s old", "done: generation 1 is founded"]


async def test_a_look_that_was_interrupted_for_long_is_an_old_plan(site: Site) -> None:
    await site.alive("ab")
    a = site.nodes["a"]
    a.child.end(Exit.CRASHED)

    def pause() -> None:
        site.meanwhile = lambda: None
        site.now.sleep(600.0)

    site.meanwhile = pause
    async with a.living():
        await wait_for(a, s.Start, "done")

    assert outcomes(a, s.Start)[0] == "dropped: the plan is 600 s old"


# ------------------------------------------------------------------ steps that fail


async def test_a_step_that_failed_is_told_retried_later_and_later_and_succeeds(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    a = await asleep(site)
    a.child.failing = "no such program"

    async with a.living():
        await wait_until(lambda: site.effects.count("child.start") == 3, SOON, "it tries again and again")
        a.child.failing = ""
        await a.decides(serves, "it serves")

    begun = [entry["boot"] for entry in journal(a) if (entry["step"], entry["outcome"]) == ("Start", "begins")]
    first, second = begun[1] - begun[0], begun[2] - begun[1]
    assert outcomes(a, s.Start)[:2] == ["failed: no such program"] * 2
    assert second >= max(first, 0.9)
    assert "Start failed: no such program." in caplog.text


async def test_what_is_refused_or_nonsense_ends_nothing(site: Site) -> None:
    (a,) = site.add("a")
    a.on_show = once(s.Found, lambda: site.store.objects.update({"k/charters/00000001.json": b"not JSON"}))

    async with a.living():
        await wait_until(lambda: len(a.decisions) > 3, SOON, "it goes on")
        del site.store.objects["k/charters/00000001.json"]
        await a.decides(serves, "it serves")


@pytest.mark.parametrize("fault", [Unavailable("etcd was killed and is still there"), Bug("a promise was broken")])
async def test_what_ends_an_agent_comes_out_as_itself(site: Site, fault: Exception) -> None:
    await site.alive("a")
    (a,) = site.nodes.values()
    a.child.immortal = fault

    async with a.living() as life:
        await a.decides(serves, "it serves")
        a.loop.ask_to_stop()
        a.loop.ask_to_stop()
        with pytest.raises(type(fault), match=str(fault)):
            await asyncio.wait_for(life, SOON)


# ------------------------------------------------------------------ what wakes it


def is_heard(node: Node, name: str = "a") -> bool:
    node.loop._woken.clear()
    node.loop.peer_asked(name)
    return node.loop._woken.is_set()


async def test_peers_may_wake_the_loop_so_often_and_not_more(site: Site) -> None:
    (a,) = site.add("a")
    a.loop.looker.remembered((a.instance,))

    assert not is_heard(a, "stranger")
    assert [is_heard(a) for _ in range(HEARD_MOST + 5)] == [True] * HEARD_MOST + [False] * 5

    site.now.sleep(HEARD_WITHIN)
    assert is_heard(a)


async def test_a_quiet_loop_turns_at_once_when_a_peer_asks_or_etcd_ends(site: Site) -> None:
    await site.alive("a")
    (a,) = site.nodes.values()
    a.agent(check_interval=3600.0)

    async with a.living():
        await a.decides(lambda d: serves(d) and isinstance(d.step, s.Hold) and not d.urgent, "all is quiet")
        seen = len(a.decisions)
        a.loop.peer_asked("a")
        await wait_until(lambda: len(a.decisions) > seen, SOON, "it looks when it is asked")
        a.child.end(Exit.CRASHED)
        await wait_until(lambda: a.child.runs, SOON, "it starts etcd when it ended")


async def test_news_make_the_peers_look(site: Site) -> None:
    await site.alive("ab")
    a, b = site.nodes.values()
    a.agent(check_interval=3600.0)
    b.agent(check_interval=3600.0)

    async with a.living(), b.living():
        for node in (a, b):
            await node.decides(lambda d: serves(d) and isinstance(d.step, s.Hold) and not d.urgent, "all is quiet")
        b.loop.set_paused(paused=True)
        await wait_until(lambda: any("b is paused" in d.alarms for d in a.decisions), SOON, "a hears that b is paused")


# ------------------------------------------------------------------ what people ask


async def test_a_stop_stops_etcd_and_ends_the_agent(site: Site) -> None:
    await site.alive("a")
    (a,) = site.nodes.values()
    async with a.living() as life:
        await a.decides(serves, "it serves")
        a.loop.ask_to_stop()
        await asyncio.wait_for(life, SOON)

    assert (a.child.runs, a.child.graces) == (False, [15.0])
    assert outcomes(a, s.Stop) == ["done: etcd is stopped"]


async def test_a_second_request_to_stop_waits_for_nothing(site: Site) -> None:
    """A node that should wait for the others' quorum does not, when it is told twice."""
    await site.alive("abc")
    a, b, c = site.nodes.values()
    async with a.living() as life:
        await a.decides(serves, "it serves")
        b.child.end(Exit.CRASHED)
        a.loop.ask_to_stop()
        await a.decides(lambda d: d.situation is Situation.STOPPING, "it waits for its turn")
        assert site.effects.count("child.stop") == 0
        a.loop.ask_to_stop()
        await asyncio.wait_for(life, SOON)

    assert [node.child.runs for node in (a, b, c)] == [False, False, True]


async def test_a_second_request_to_stop_hurries_the_stop_that_is_under_way(site: Site) -> None:
    await site.alive("a")
    (a,) = site.nodes.values()
    a.child.stubborn = True
    async with a.living() as life:
        await a.decides(serves, "it serves")
        a.loop.ask_to_stop()
        await wait_until(lambda: a.child.graces == [15.0], SOON, "etcd is asked to end")
        a.loop.ask_to_stop()
        await asyncio.wait_for(life, SOON)

    assert not a.child.runs


async def test_a_node_that_leaves_is_asked_once(site: Site) -> None:
    await site.alive("a")
    (a,) = site.nodes.values()
    async with a.living():
        await a.decides(serves, "it serves")
        assert "hands over" in a.loop.ask_to_leave()
        await a.decides(lambda d: d.situation is Situation.LEAVING, "it leaves")
        assert a.loop.ask_to_leave() == "this node is leaving already"


async def test_a_paused_node_leaves_its_etcd_alone_until_it_is_resumed(site: Site) -> None:
    a = await asleep(site)
    a.loop.set_paused(paused=True)
    async with a.living():
        await wait_until(lambda: len(a.decisions) > 3, SOON, "it looks on")
        assert {d.situation for d in a.decisions} == {Situation.PAUSED}
        assert site.effects.count("child.start") == 0
        a.loop.set_paused(paused=False)
        await wait_until(lambda: a.child.runs, SOON, "it starts")


# ------------------------------------------------------------------ what it says


async def test_a_decision_is_logged_when_its_sentence_changes(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    a, _ = site.add("ab")
    async with a.living():
        await wait_until(lambda: len(a.decisions) > 3, SOON, "it looks again and again")

    said = [record.getMessage() for record in caplog.records if getattr(record, "event", "") == "decision"]
    assert said
    assert all(one != other for one, other in pairwise(said))
    assert said[-1] == f"{a.decisions[-1].situation.value}: {a.decisions[-1].because}"


async def test_an_alarm_is_told_when_it_begins(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    await site.alive("a")
    (a,) = site.nodes.values()
    site.store.down = "access denied"
    async with a.living():
        await wait_until(lambda: len(a.decisions) > 3, SOON, "it looks again and again")

    alarms = [record for record in caplog.records if getattr(record, "event", "") == "alarm"]
    assert [record.getMessage() for record in alarms] == ["Alarm: the registry cannot be asked: access denied"]
    assert alarms[0].levelno == logging.WARNING


async def test_where_the_instances_are_is_noted_when_the_provider_says_so(site: Site) -> None:
    await site.alive("a")
    (a,) = site.nodes.values()
    async with a.living():
        await a.decides(serves, "it serves")
        grown = (*a.provider.group.instances, Instance("b", "10.0.0.2"))
        a.provider.group = replace(a.provider.group, instances=grown)
        await wait_until(lambda: a.noted[-1:] == [grown], SOON, "the new list is noted")

"""I10 in a toy world: whatever the order of turns, and whoever is killed, the cluster comes to be.

Each story runs under several seeds: the seed orders the turns, lets other nodes act between a
look and its effect, and kills agents between two effects. `World.check` holds I1, I3 and I5 after
every effect; here the stories only say what is done to the cluster, and what it has to become.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from eco.core.decision import Memory
from eco.core.model import Data, Exit, Intent, Presence
from eco.core.quorum import has_quorum
from tests.core.toy import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eco.core.decision import Decision

SEEDS = range(8)
PATIENCE = 900
"""Seconds of the toy's clock, one round each: three times the longest patience in a row."""

pytestmark = pytest.mark.parametrize("seed", SEEDS)


class Story:
    """A world, and the dice that order what happens in it."""

    def __init__(self, names: str, seed: int, *, kills: float = 0.0) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
        self.world = World(names, self.rng)
        self.kills = kills
        self.lost = ""
        self.pending: dict[str, Iterator[Decision]] = {}

    def until(self, claim: Callable[[World], bool], what: str) -> None:
        """Let rounds pass until the claim holds."""
        for _ in range(PATIENCE):
            if claim(self.world):
                return
            self.round()
        said = {n.name: n.report and (n.report.situation, n.report.because) for n in self.world.nodes.values()}
        members = {e.id: [(i, x.name, x.is_learner) for i, x in e.members.items()] for e in self.world.etcds.values()}
        pytest.fail(f"after {PATIENCE} s not yet {what}: {said} {members}")

    def rounds(self, number: int) -> None:
        for _ in range(number):
            self.round()

    def round(self) -> None:
        """A second: every node gets about one turn, in pieces that interleave."""
        world = self.world
        world.now += 1
        world.chores()
        for _ in range(3):
            for name in self.rng.sample(sorted(world.nodes), len(world.nodes)):
                self.move(name)
            self.pending = {name: turn for name, turn in self.pending.items() if name in world.nodes}
        world.settle()
        world.check()

    def move(self, name: str) -> None:
        """One look, or one effect of a step that was decided earlier."""
        node = self.world.nodes[name]
        if not node.agent:
            self.pending.pop(name, None)
        elif self.rng.random() < self.kills and self.may_be_killed(name):
            self.pending.pop(name, None)
            node.memory, node.report = Memory(), None
        elif next(self.pending.setdefault(name, self.world.turn(name)), None) is None:
            del self.pending[name]

    def may_be_killed(self, name: str) -> bool:
        """A data set that was announced as started and never begun is lost for good. One such node
        heals; two of three are a lost quorum, which is another story."""
        disk = self.world.nodes[name].disk
        if disk.stamp.started and disk.data is Data.ABSENT:
            self.lost = self.lost or name
            return self.lost == name
        return True


def healthy(names: str) -> Callable[[World], bool]:
    """Exactly these nodes are voters, all of them up, no learner, and the registry knows it."""

    def claim(world: World) -> bool:
        serving = [e for e in world.etcds.values() if world.quorum(e)]
        if len(serving) != 1 or serving[0].id not in {c.cluster_id for c in world.registry.charters}:
            return False
        etcd = serving[0]
        up, rosters = world.up(etcd), world.registry.rosters
        recorded = rosters[-1].voters if rosters else world.registry.charters[-1].founders
        settled = not rosters or rosters[-1].confirmed
        voters = {i: member for i, member in etcd.members.items() if not member.is_learner}
        return (
            sorted(node.name for node in up.values()) == sorted(names)
            and set(up) == set(voters) == set(etcd.members)
            and settled
            and {v.member_id for v in recorded} == set(voters)
            and all(node.disk.stamp.generation == world.registry.charters[-1].number for node in up.values())
        )

    return claim


def born(names: str, seed: int, *, kills: float = 0.0) -> Story:
    story = Story(names, seed, kills=kills)
    story.until(healthy(names), "born")
    return story


def test_empty_nodes_become_one_cluster(seed: int) -> None:
    born("abc", seed)


def test_one_node_becomes_a_cluster(seed: int) -> None:
    born("a", seed)


def test_birth_waits_for_a_founder_that_is_late(seed: int) -> None:
    story = Story("abc", seed)
    story.world.nodes["b"].agent = False
    story.rounds(60)
    assert not story.world.registry.charters
    story.world.nodes["b"].agent = True
    story.until(healthy("abc"), "born")


def test_founders_killed_at_any_point_still_become_one_cluster(seed: int) -> None:
    story = Story("abc", seed, kills=0.25)
    story.rounds(40)
    story.kills = 0.0
    story.until(healthy("abc"), "born")


def test_a_wiped_node_is_replaced_by_itself(seed: int) -> None:
    story = born("abc", seed)
    story.world.wipe(story.rng.choice("abc"))
    story.until(healthy("abc"), "healed")


def test_a_damaged_node_is_replaced_by_itself_and_its_data_kept_until_then(seed: int) -> None:
    story = born("abc", seed)
    story.world.crash("b")
    node = story.world.nodes["b"]
    node.exit = Exit.DAMAGED
    story.until(healthy("abc"), "healed")


def test_a_node_that_lost_its_member_directory_joins_anew(seed: int) -> None:
    story = born("abc", seed)
    story.world.crash("b")
    node = story.world.nodes["b"]
    before = node.member
    node.disk = replace(node.disk, data=Data.ABSENT, member_id="", cluster_id="")
    node.applied = 0
    story.until(healthy("abc"), "healed")
    assert node.member != before


def test_all_killed_start_again_on_their_own_data(seed: int) -> None:
    story = born("abc", seed)
    index = max(e.index for e in story.world.etcds.values())
    for name in "abc":
        story.world.crash(name)
    story.until(healthy("abc"), "back")
    assert [e.id for e in story.world.etcds.values()] == ["c1"]
    assert max(e.index for e in story.world.etcds.values()) > index


def test_an_instance_that_is_gone_is_replaced_by_a_new_one(seed: int) -> None:
    story = born("abc", seed)
    story.world.terminate(story.rng.choice("abc"))
    story.world.add("d")
    story.until(healthy("".join(sorted(story.world.nodes))), "replaced")


def test_changes_interrupted_at_any_point_are_finished(seed: int) -> None:
    story = born("abc", seed)
    story.world.terminate(story.rng.choice("abc"))
    story.world.add("d")
    story.kills = 0.2
    story.rounds(90)
    story.kills = 0.0
    story.until(healthy("".join(sorted(story.world.nodes))), "replaced")


def test_whatever_happens_while_quorum_survives_is_healed(seed: int) -> None:
    """Kills, wipes, damage, dead agents and replacements, with agents killed and looks that fail."""
    story = born("abc", seed)
    world, etcd = story.world, story.world.etcds["c1"]
    story.kills, world.flaky = 0.03, 0.03
    for new in "defghi":
        story.rounds(story.rng.randrange(60))
        victim = story.rng.choice(sorted(world.nodes))
        others = [i for i, node in world.up(etcd).items() if node.name != victim]
        if has_quorum(etcd.voters(), others):
            hurt(story, victim, new)
    story.kills = world.flaky = 0.0
    for node in world.nodes.values():
        node.agent = True
    story.until(healthy("".join(sorted(world.nodes))), "healed")


def hurt(story: Story, victim: str, new: str) -> None:
    world = story.world
    match story.rng.choice(("crash", "wipe", "damage", "agent", "terminate")):
        case "crash":
            world.crash(victim)
        case "wipe":
            world.wipe(victim)
        case "damage":
            world.crash(victim)
            world.nodes[victim].exit = Exit.DAMAGED
        case "agent":
            world.nodes[victim].agent, world.nodes[victim].report = False, None
        case _:
            world.terminate(victim)
            world.add(new)


def test_a_cluster_grows_and_shrinks(seed: int) -> None:
    story = born("a", seed)
    for names in ("abc", "abcde", "abc", "a"):
        world = story.world
        world.desired = len(names)
        for name in names:
            if name not in world.nodes:
                world.add(name)
        for name, node in world.nodes.items():
            node.presence = Presence.PRESENT if name in names else Presence.LEAVING
        story.until(healthy(names), f"{names}")
        for name in set(world.nodes) - set(names):
            world.terminate(name)


def test_instances_are_replaced_one_by_one(seed: int) -> None:
    story = born("abc", seed)
    for old, new in zip("abc", "def", strict=True):
        story.world.add(new)
        story.world.nodes[old].presence = Presence.LEAVING
        story.until(lambda w, old=old: not w.nodes[old].running, f"{old} has left")  # type: ignore[misc]
        story.world.terminate(old)
    story.until(healthy("def"), "replaced")


def test_a_plain_cluster_is_adopted_node_by_node(seed: int) -> None:
    story = Story("abc", seed)
    story.world.plain("abc")
    for name in story.rng.sample("abc", 3):
        story.rounds(5)
        story.world.crash(name)
        story.world.nodes[name].agent = True
        story.until(lambda w, name=name: w.nodes[name].running, f"{name} runs")  # type: ignore[misc]
    story.until(healthy("abc"), "adopted")
    assert [e.id for e in story.world.etcds.values()] == ["cp"]


def test_leadership_leaves_a_node_whose_agent_is_dead(seed: int) -> None:
    story = born("abc", seed)
    etcd = story.world.etcds["c1"]
    dead = story.world.up(etcd)[etcd.leader]
    dead.agent, dead.report = False, None
    story.until(lambda _: etcd.leader not in ("", dead.member), "moved")


def test_one_that_is_told_to_stop_stops_and_the_others_serve(seed: int) -> None:
    story = born("abc", seed)
    node = story.world.nodes[story.rng.choice("abc")]
    node.intent = Intent(stopping_since=story.world.now)
    story.until(lambda _: not node.agent, "stopped")
    assert story.world.now < node.intent.stopping_since + 10  # type: ignore[operator]
    assert story.world.quorum(story.world.etcds["c1"])


def test_two_that_are_told_to_stop_take_turns(seed: int) -> None:
    story = born("abc", seed)
    first, second = (story.world.nodes[name] for name in story.rng.sample("abc", 2))
    for node in (first, second):
        node.intent = Intent(stopping_since=story.world.now)
    story.until(lambda _: not (first.agent and second.agent), "one has stopped")
    assert first.running or second.running
    stopped = first if not first.agent else second
    stopped.agent, stopped.intent, stopped.memory = True, Intent(), Memory()
    story.until(lambda _: not (first.running and second.running), "the other has stopped")


def test_all_that_are_told_to_stop_do_so_within_seconds_and_come_back(seed: int) -> None:
    story = born("abc", seed)
    for node in story.world.nodes.values():
        node.intent = Intent(stopping_since=story.world.now + story.rng.random())
    began = story.world.now
    story.until(lambda w: not any(n.agent for n in w.nodes.values()), "stopped")
    assert story.world.now < began + 15
    for node in story.world.nodes.values():
        node.agent, node.intent, node.memory = True, Intent(), Memory()
    story.until(healthy("abc"), "back")
    assert [e.id for e in story.world.etcds.values()] == ["c1"]


def test_one_that_is_asked_to_leave_is_removed_before_it_ends(seed: int) -> None:
    story = born("abcde", seed)
    node = story.world.nodes[story.rng.choice("abcde")]
    node.intent = Intent(leaving_since=story.world.now)
    story.until(lambda _: not node.agent, "left")
    assert node.member not in story.world.etcds["c1"].members

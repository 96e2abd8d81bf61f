"""The rules of docs/design.md section 7, over every world.

The oracle is written from the rules' text and reads the words of a world; it never looks at an
observation, nor at what the core derives from one. A rule that fails prints the worlds that broke it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

import pytest

from eco.core.decision import Decision, Memory, Situation
from eco.core.lifecycle import TABLE
from eco.core.policy import Policy
from eco.core.sight import Known, Unknown
from eco.core.steps import (
    AddSelf,
    Adopt,
    ConfirmRoster,
    Enrol,
    Found,
    Hold,
    MoveLeader,
    Promote,
    RemoveMember,
    Restart,
    SetAside,
    Start,
    Step,
    Stop,
    UpdatePeerUrl,
    WriteRoster,
)
from eco.core.tick import tick
from eco.core.vetting import vet
from eco.core.view import View
from tests.core.worlds import (
    JOIN,
    NOW,
    Asks,
    Book,
    Lies,
    Mine,
    Peer,
    Runs,
    Says,
    Seat,
    Theirs,
    Where,
    World,
    member_id,
    observation,
    worlds,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eco.core.model import Observation

SHARDS: Final = 8
THINNED: Final = 7
"""The rules that look many times at each world take every seventh: still tens of thousands."""
POLICY: Final = Policy()
LONG: Final = 500.0
"""Seconds: longer than every patience."""

S = TypeVar("S", bound=Step)


@dataclass(frozen=True, slots=True)
class Case:
    """One world, looked at once (`settled` is False) or for longer than every patience."""

    world: World
    settled: bool
    o: Observation
    before: Memory
    decision: Decision

    @property
    def step(self) -> Step:
        return self.decision.step


@pytest.fixture(scope="module", params=range(SHARDS))
def cases(request: pytest.FixtureRequest) -> tuple[Case, ...]:
    """A share of all worlds, each as it is decided at the first look and after a long time."""
    return tuple(case for world in islice(worlds(), request.param, None, SHARDS) for case in decided(world))


def decided(world: World) -> Iterator[Case]:
    earlier = observation(world, now=NOW - LONG)
    first = tick(Memory(), earlier, POLICY)
    yield Case(world, False, earlier, Memory(), first)
    o = replace(earlier, now=NOW)
    yield Case(world, True, o, first.memory, tick(first.memory, o, POLICY))


def none_breaks(cases: tuple[Case, ...], kind: type[S], permitted: Callable[[Case, S], bool]) -> None:
    """Assert that each step of this kind is permitted by the oracle."""
    broken = [case for case in cases if isinstance(case.step, kind) and not permitted(case, case.step)]
    assert not broken, told(broken)


def told(broken: Sequence[Case]) -> str:
    few = "\n\n".join(
        f"{c.world}\n{c.settled=} {c.decision.situation} {c.step} {c.decision.refused}"
        for c in broken[:: len(broken) // 4 + 1]
    )
    return f"{len(broken)} worlds, such as\n{few}"


# ---------------------------------------------------------------- the words, understood once more

EMPTY_BOOKS = (Book.EMPTY, Book.UNSHARED, Book.SNAPSHOTS, Book.BEATEN)
ABSENT = (Lies.FRESH, Lies.WIPED, Lies.LATE, Lies.LOST, Lies.JOINING, Lies.JOINED_LOST)
ALIEN = (Lies.CLUSTER, Lies.REGISTRY, Lies.FOREIGN_PLAIN, Lies.FOREIGN_UNENROLLED)


def serves(world: World) -> bool:
    return world.mine in (Mine.LEADER, Mine.FOLLOWER)


def voters(world: World) -> set[str]:
    return {f"m{world.me}"} | {member_id(p) for p in world.peers if p.seat in (Seat.VOTER, Seat.SILENT)}


def healthy(world: World) -> set[str]:
    return {f"m{world.me}"} | {member_id(p) for p in world.peers if p.seat in (Seat.VOTER, Seat.LEARNER, Seat.BEHIND)}


def quorum_lives(world: World, members: set[str]) -> bool:
    return len(members & healthy(world)) > len(members) // 2


def recorded(world: World, peer: Peer) -> bool:
    """Whether charter or rosters name this voter: what is said of an unknown one proves nothing."""
    last = [p for p in world.peers if p.seat in (Seat.VOTER, Seat.SILENT)][-1:]
    return world.book not in EMPTY_BOOKS and not (world.book is Book.UNRECORDED and peer in last)


def lost(world: World, peer: Peer) -> bool:
    """Wiped, damaged or gone, and no sign of life."""
    if peer.seat is not Seat.SILENT:
        return False
    if peer.says is Says.NOTHING:
        return peer.where in (Where.GONE, Where.TAKEN_OFF)
    vouched = recorded(world, peer) and world.book is not Book.ADOPTED
    return peer.says is Says.DAMAGED or (peer.says is Says.WIPED and vouched)


def ordered_away(peer: Peer) -> bool:
    return peer.where in (Where.LEAVING, Where.TAKEN_OFF) or peer.says is Says.LEAVING


def replaceable(case: Case, peer: Peer) -> bool:
    """Silent beyond the ttl, and somebody waits."""
    waits = any(p.says in (Says.EMPTY, Says.WIPED) for p in case.world.peers)
    return case.settled and peer.seat is Seat.SILENT and waits


def may_go(case: Case, peer: Peer) -> bool:
    """What the provider says of a member counts once that has been silent for a while."""
    proven = lost(case.world, peer) and (case.settled or peer.says is not Says.NOTHING)
    return proven or ordered_away(peer) or replaceable(case, peer)


def may_vote(world: World, peer: Peer) -> bool:
    caught_up = peer.seat is Seat.LEARNER and not ordered_away(peer) and peer.says is not Says.STOPPING
    return caught_up and not any(lost(world, p) for p in world.peers)


def written(world: World) -> set[str] | None:
    """The voters of the roster that is pending, if one is."""
    now = voters(world)
    due = [member_id(p) for p in world.peers if p.seat in (Seat.VOTER, Seat.SILENT)]
    match world.book:
        case Book.DUE_CONFIRM:
            return now
        case Book.DUE_ADD:
            return now | {member_id(p) for p in world.peers if p.seat in (Seat.LEARNER, Seat.BEHIND, Seat.GHOST)}
        case Book.DUE_REMOVE:
            return now - {due[-1]}
        case Book.STRAY:
            return now - {due[0]}
        case _:
            return None


def superseded(world: World) -> bool:
    """Somebody knows of a newer generation than the data in my directory."""
    if world.lies is Lies.NEWER:
        return False
    if world.lies in (*ALIEN, Lies.PLAIN, Lies.UNENROLLED):
        return world.book is Book.NEWER
    return world.book is Book.NEWER or any(p.says is Says.NEWER for p in world.peers)


def removed(world: World) -> bool:
    """The cluster of my data serves, and does not list my member."""
    named = world.lies not in (Lies.FRESH, Lies.WIPED, Lies.LATE, Lies.JOINING, Lies.UNREADABLE, *ALIEN)
    cluster = (world.lies is Lies.NEWER) is (world.book is Book.NEWER)
    listed = Theirs.LEARNER if world.lies is Lies.LEARNER else Theirs.VOTER
    return named and cluster and world.theirs not in (Theirs.NONE, Theirs.OTHER, listed)


# ---------------------------------------------------------------- every step has its permission


def test_a_birth_needs_every_instance_empty_and_nothing_that_lived(cases: tuple[Case, ...]) -> None:
    def permitted(case: Case, step: Found) -> bool:
        w = case.world
        first_life = w.book is Book.EMPTY and w.lies in (Lies.FRESH, Lies.WIPED, Lies.LATE)
        died_at_once = w.book is Book.FRESH and w.lies is Lies.WIPED and all(p.says is Says.WIPED for p in w.peers)
        empty = all(p.where is Where.PRESENT and p.says in (Says.EMPTY, Says.WIPED) for p in w.peers)
        mine = "i" if w.lies is Lies.FRESH else "w"
        due = {w.me: f"{mine}{w.me}"} | {p.name: f"{'i' if p.says is Says.EMPTY else 'w'}{p.name}" for p in w.peers}
        return (
            (first_life or died_at_once)
            and empty
            and w.where is Where.PRESENT
            and w.me == min(due)
            and {v.name: v.incarnation for v in step.founders} == due
            and step.number == (2 if died_at_once else 1)
        )

    none_breaks(cases, Found, permitted)


def test_only_a_data_set_that_is_mine_and_of_the_newest_generation_is_started(cases: tuple[Case, ...]) -> None:
    def permitted(case: Case, step: Start) -> bool:
        w = case.world
        if w.runs is Runs.RUNNING or w.lies is Lies.UNREADABLE:
            return False
        if step.charter is not None:
            books = (Book.FRESH, Book.LIVED, Book.CONFIRMED, Book.PENDING)
            still = w.theirs in (Theirs.NONE, Theirs.OTHER, Theirs.VOTER)
            return w.lies is Lies.FRESH and w.book in books and still and step.charter.number == 1
        if step.join is not None:
            return w.lies is Lies.JOINING and step.join == JOIN and w.theirs is Theirs.LEARNER
        if removed(w) or superseded(w) or w.runs is Runs.BROKEN or (w.runs is Runs.BACKOFF and case.settled):
            return False
        if w.lies in (Lies.MINE, Lies.LEARNER, Lies.NEWER):
            return w.book is not Book.FOREIGN
        if w.lies in (Lies.PLAIN, Lies.FOREIGN_PLAIN) and w.book is Book.UNKNOWN:
            return False
        if w.lies in (Lies.PLAIN, Lies.UNENROLLED):
            return w.book is not Book.FOREIGN
        return w.lies in ALIEN and w.lies is not Lies.CLUSTER and w.book in (*EMPTY_BOOKS, Book.UNKNOWN)

    none_breaks(cases, Start, permitted)


def test_a_running_etcd_is_stopped_only_when_asked_or_cast_out(cases: tuple[Case, ...]) -> None:
    def permitted(case: Case, _: Stop) -> bool:
        w = case.world
        if w.runs is not Runs.RUNNING:
            return stops(w) or leaves(w)
        if case.settled and w.asks in (Asks.STOP_LONG, Asks.LEAVE_LONG):
            return True
        if serves(w):
            return stops(w) and may_stop(w)
        if stops(w) and (w.mine is not Mine.NONE or case.settled):
            return True
        return removed(w) or (case.settled and (superseded(w) or (w.lies is Lies.LOST and w.theirs is Theirs.VOTER)))

    none_breaks(cases, Stop, permitted)


def stops(world: World) -> bool:
    return world.asks in (Asks.STOP, Asks.STOP_LONG)


def leaves(world: World) -> bool:
    return world.asks in (Asks.LEAVE, Asks.LEAVE_LONG)


def may_stop(world: World) -> bool:
    """It is my turn: the leader's agent says so, or I am the last that runs."""
    leader = next((p for p in world.peers if p.seat is Seat.VOTER), None)
    if world.mine is Mine.FOLLOWER:
        return leader is not None and leader.says is Says.LETS_GO
    return leader is None


def test_only_an_etcd_that_long_takes_no_part_while_others_serve_is_restarted(cases: tuple[Case, ...]) -> None:
    def permitted(case: Case, _: Restart) -> bool:
        w = case.world
        listed = w.theirs is (Theirs.LEARNER if w.lies is Lies.LEARNER else Theirs.VOTER)
        others = sum(p.seat is Seat.VOTER for p in w.peers)
        spared = w.lies is Lies.LEARNER or others > len(voters(w)) // 2
        startable = w.lies not in (*ABSENT, *ALIEN, Lies.UNREADABLE)
        return case.settled and not serves(w) and listed and startable and spared

    none_breaks(cases, Restart, permitted)


def test_data_is_set_aside_only_when_it_is_missing_or_a_join_was_accepted(cases: tuple[Case, ...]) -> None:
    def permitted(case: Case, _: SetAside) -> bool:
        w = case.world
        missing = w.lies in (Lies.LOST, Lies.JOINED_LOST)
        accepted = w.lies is Lies.REJOINING and w.theirs is Theirs.LEARNER
        return w.runs is not Runs.RUNNING and (missing or accepted)

    none_breaks(cases, SetAside, permitted)


def test_only_a_node_without_usable_data_joins_and_only_the_newest_cluster(cases: tuple[Case, ...]) -> None:
    def permitted(case: Case, step: AddSelf) -> bool:
        w = case.world
        late = w.lies is Lies.LATE and w.book not in (Book.OTHERS, Book.NEWER)
        useless = w.lies in (Lies.DAMAGED, Lies.REJOINING, Lies.NODE, Lies.SWAPPED) or w.runs in (
            Runs.BROKEN,
            Runs.HOPELESS,
            Runs.REMOVED,
        )
        ready = (w.lies in ABSENT and not late) or useless or removed(w) or superseded(w)
        cluster = w.theirs in (Theirs.NOT_LISTED, Theirs.GHOST, Theirs.LEARNER)
        charter = w.book not in (*EMPTY_BOOKS, Book.UNKNOWN, Book.FOREIGN)
        slot = all(p.seat not in (Seat.LEARNER, Seat.BEHIND, Seat.GHOST) for p in w.peers)
        listed = w.where is Where.PRESENT or (w.where is Where.UNLISTED and w.lies in ABSENT)
        own = {step.ghost, *step.stale} <= {"", "ga", "ja"}
        return (
            ready
            and cluster
            and charter
            and slot
            and listed
            and own
            and w.lies not in ALIEN
            and w.runs is not Runs.RUNNING
            and step.generation == (2 if w.book is Book.NEWER else 1)
        )

    none_breaks(cases, AddSelf, permitted)


def leads(world: World) -> bool:
    """My member leads, and the registry is there to write the roster first."""
    return world.mine is Mine.LEADER and world.book is not Book.UNKNOWN


def test_a_voter_is_removed_only_by_the_leader_with_cause_roster_and_quorum(cases: tuple[Case, ...]) -> None:
    def permitted(case: Case, step: RemoveMember) -> bool:
        w = case.world
        peer = next(p for p in w.peers if member_id(p) == step.member_id)
        if step.is_learner:
            stuck = case.settled and peer.seat in (Seat.BEHIND, Seat.GHOST)
            return w.mine is Mine.LEADER and (ordered_away(peer) or stuck)
        after = voters(w) - {step.member_id}
        return leads(w) and written(w) == after and may_go(case, peer) and quorum_lives(w, after)

    none_breaks(cases, RemoveMember, permitted)


def test_a_learner_is_promoted_only_when_close_and_while_no_voter_is_lost(cases: tuple[Case, ...]) -> None:
    def permitted(case: Case, step: Promote) -> bool:
        w = case.world
        peer = next(p for p in w.peers if member_id(p) == step.member_id)
        after = voters(w) | {step.member_id}
        return leads(w) and written(w) == after and may_vote(w, peer) and quorum_lives(w, after)

    none_breaks(cases, Promote, permitted)


def test_a_roster_announces_one_change_that_is_due_and_keeps_quorum(cases: tuple[Case, ...]) -> None:
    def permitted(case: Case, step: WriteRoster) -> bool:
        w = case.world
        now, then = voters(w), {v.member_id for v in step.voters}
        going = [p for p in w.peers if member_id(p) in now - then]
        coming = [p for p in w.peers if member_id(p) in then - now]
        due = all(may_go(case, p) for p in going) and all(may_vote(w, p) for p in coming)
        named = len(then) == len(step.voters) and f"m{w.me}" in then
        return leads(w) and named and len(now ^ then) <= 1 and due and quorum_lives(w, then)

    none_breaks(cases, WriteRoster, permitted)


def test_a_roster_is_confirmed_only_when_it_is_what_etcd_says(cases: tuple[Case, ...]) -> None:
    def permitted(case: Case, step: ConfirmRoster) -> bool:
        w = case.world
        return leads(w) and {v.member_id for v in step.roster.voters} == voters(w)

    none_breaks(cases, ConfirmRoster, permitted)


def test_leadership_moves_only_to_a_voter_that_follows_and_stays(cases: tuple[Case, ...]) -> None:
    def permitted(case: Case, step: MoveLeader) -> bool:
        w = case.world
        if step.to == f"m{w.me}":
            leader = next(p for p in w.peers if p.seat is Seat.VOTER)
            return case.settled and w.mine is Mine.FOLLOWER and leader.says is Says.NOTHING
        peer = next(p for p in w.peers if member_id(p) == step.to)
        survives = sum(p.seat is Seat.VOTER for p in w.peers) > len(voters(w)) // 2
        going = w.where is Where.LEAVING or leaves(w) or (stops(w) and survives)
        stays = not ordered_away(peer) and peer.says is not Says.STOPPING
        return w.mine is Mine.LEADER and going and peer.seat is Seat.VOTER and stays

    none_breaks(cases, MoveLeader, permitted)


def test_only_a_serving_cluster_without_charter_is_registered(cases: tuple[Case, ...]) -> None:
    none_breaks(cases, Adopt, lambda c, step: serves(c.world) and c.world.book in EMPTY_BOOKS and step.number == 1)


def test_only_data_of_the_charters_cluster_is_enrolled(cases: tuple[Case, ...]) -> None:
    def permitted(case: Case, step: Enrol) -> bool:
        w = case.world
        plain = w.lies in (Lies.PLAIN, Lies.UNENROLLED)
        return serves(w) and plain and w.book not in (*EMPTY_BOOKS, Book.NEWER, Book.FOREIGN) and step.generation == 1

    none_breaks(cases, Enrol, permitted)


# ---------------------------------------------------------------- what holds for all steps


def test_the_vetting_never_has_to_refuse_what_was_chosen(cases: tuple[Case, ...]) -> None:
    broken = [case for case in cases if case.decision.refused]
    assert not broken, told(broken)


def test_every_situation_takes_only_the_steps_that_the_table_declares(cases: tuple[Case, ...]) -> None:
    declared = {row.situation: (Hold, *row.steps) for row in TABLE}
    broken = [case for case in cases if not isinstance(case.step, declared[case.decision.situation])]
    assert not broken, told(broken)


def facts_taken_away(o: Observation) -> Iterator[Observation]:
    """The same look with one fact, known before, unknown."""
    lost = Unknown("it did not answer in time")
    without = (
        (o.group, replace(o, group=lost)),
        (o.registry, replace(o, registry=lost)),
        (o.disk, replace(o, disk=lost)),
        (o.mine, replace(o, mine=lost)),
        (o.theirs, replace(o, theirs=lost)),
    )
    yield from (fewer for fact, fewer in without if isinstance(fact, Known))
    for name, report in o.peers.items():
        if isinstance(report, Known):
            yield replace(o, peers={**o.peers, name: lost})
    for name, probe in o.probes.items():
        if isinstance(probe, Known):
            yield replace(o, probes={**o.probes, name: lost})


def test_a_fact_that_becomes_unknown_never_leads_to_a_step_that_the_fact_forbids(cases: tuple[Case, ...]) -> None:
    """But for one: a node's own, stamped data is started although nobody can be asked (docs/design.md 8.8)."""
    broken = []
    for case in cases[::THINNED]:
        for fewer in facts_taken_away(case.o):
            decision = tick(case.before, fewer, POLICY)
            step = decision.step
            trusting = isinstance(step, Start) and step.charter is None and step.join is None
            forbidden = not trusting and vet(step, View(case.o), case.decision.memory, POLICY)
            if forbidden or decision.refused:
                broken.append(replace(case, decision=decision))
    assert not broken, told(broken)


def test_losing_provider_and_registry_changes_nothing_for_an_etcd_that_serves_or_can_start(
    cases: tuple[Case, ...],
) -> None:
    """I9. `Start` and `Hold` are all that may follow, and what needs neither of the two."""
    alone = (Hold, Start, Restart, MoveLeader, UpdatePeerUrl, RemoveMember)
    broken = []
    for case in cases:
        situation = case.decision.situation
        stamped = case.world.lies not in (Lies.PLAIN, Lies.FOREIGN_PLAIN)
        if situation in (Situation.SERVING, Situation.CATCHING_UP, Situation.DORMANT) and stamped:
            o = replace(case.o, group=Unknown("no credentials"), registry=Unknown("no route"))
            decision = tick(case.before, o, POLICY)
            kept = decision.situation is situation and isinstance(decision.step, alone)
            if not kept or (isinstance(decision.step, RemoveMember) and not decision.step.is_learner):
                broken.append(replace(case, decision=decision))
    assert not broken, told(broken)


def test_the_same_look_gives_the_same_decision(cases: tuple[Case, ...]) -> None:
    broken = [case for case in cases[::THINNED] if tick(case.before, case.o, POLICY) != case.decision]
    assert not broken, told(broken)


def test_every_decision_says_why(cases: tuple[Case, ...]) -> None:
    broken = [case for case in cases if len(case.decision.because) < len("serving")]
    assert not broken, told(broken)

"""The vetting alone: each right step passes, and each way to get it wrong is refused by its rule."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from eco.core.decision import Memory
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
    charter,
    observation,
    roster,
    url,
    voter,
)

if TYPE_CHECKING:
    from eco.core.model import Observation

POLICY: Final = Policy()
PATIENT: Final = Memory(unserved_since=0.0, silent={"mb": 0.0, "mc": 0.0})
"""Watched for longer than every patience."""


def peer(name: str, said: Says, seat: Seat = Seat.NONE, where: Where = Where.PRESENT) -> Peer:
    return Peer(name, where, said, seat)


EMPTY: Final = (peer("b", Says.EMPTY), peer("c", Says.EMPTY))
HEALTHY: Final = (peer("b", Says.VOTER, Seat.VOTER), peer("c", Says.VOTER, Seat.VOTER))
WIPED: Final = (peer("b", Says.VOTER, Seat.VOTER), peer("c", Says.WIPED, Seat.SILENT))
GROWING: Final = (peer("b", Says.VOTER, Seat.VOTER), peer("c", Says.STRANGER, Seat.LEARNER))

unborn = World(Lies.FRESH, Runs.STOPPED, Book.EMPTY, EMPTY)
chartered = replace(unborn, book=Book.FRESH)
leader = World(Lies.MINE, Runs.RUNNING, Book.CONFIRMED, HEALTHY, mine=Mine.LEADER)
joining = World(Lies.WIPED, Runs.STOPPED, Book.CONFIRMED, HEALTHY, theirs=Theirs.NOT_LISTED)
dormant = World(Lies.MINE, Runs.STOPPED, Book.CONFIRMED, HEALTHY)
idle = World(Lies.MINE, Runs.RUNNING, Book.CONFIRMED, HEALTHY, mine=Mine.UNREADABLE, theirs=Theirs.VOTER)

all_three = tuple(voter(n) for n in "abc")
found = Found(1, all_three, "")
founding = Start("", charter=charter(1, all_three))
joined = Start("", join=JOIN)
start = Start("")
join = AddSelf(url("a"), 1, "t1", "")
promote = Promote("lc", "c", "")
remove = RemoveMember("mc", "c", is_learner=False, because="")
pair = tuple(voter(n) for n in "ab")
add_c = (*pair, voter("c", member="lc"))

RIGHT: Final[tuple[tuple[World, Step], ...]] = (
    (unborn, Hold("")),
    (unborn, found),
    (chartered, founding),
    (replace(joining, lies=Lies.JOINING, theirs=Theirs.LEARNER), joined),
    (dormant, start),
    (replace(dormant, book=Book.UNKNOWN), start),
    (idle, Restart("")),
    (replace(idle, asks=Asks.STOP), Stop("")),
    (replace(leader, asks=Asks.STOP), Stop("")),
    (replace(dormant, lies=Lies.LOST), SetAside("", "")),
    (replace(joining, lies=Lies.REJOINING, theirs=Theirs.LEARNER), SetAside("", "")),
    (joining, join),
    (replace(joining, theirs=Theirs.GHOST), replace(join, ghost="ga")),
    (replace(leader, peers=GROWING, book=Book.DUE_ADD), promote),
    (replace(leader, peers=WIPED, book=Book.DUE_REMOVE), remove),
    (replace(leader, peers=GROWING), WriteRoster(1, 2, add_c, "")),
    (replace(leader, peers=WIPED), WriteRoster(1, 2, pair, "")),
    (leader, ConfirmRoster(roster(1, all_three), "")),
    (leader, MoveLeader("mb", "b", "")),
    (leader, UpdatePeerUrl("ma", "http://new:2380", "")),
    (replace(leader, book=Book.EMPTY), Adopt(1, "", "c1", all_three, "")),
    (replace(leader, lies=Lies.PLAIN, book=Book.ADOPTED), Enrol(1, "t1", "ma", "c1", "")),
)

WRONG: Final[tuple[tuple[str, World, Step], ...]] = (
    # Birth: every desired instance, empty, and nothing that lived.
    ("I4: registry", replace(unborn, book=Book.UNKNOWN), found),
    ("I4: registry", replace(unborn, where=Where.UNLISTED), found),
    ("I4: registry", replace(unborn, lies=Lies.UNREADABLE), found),
    ("I3: 2 is not", unborn, replace(found, number=2)),
    ("I1: the store", replace(unborn, book=Book.SNAPSHOTS), found),
    ("I4: a cluster has lived", replace(unborn, book=Book.BEATEN), found),
    ("I4: a cluster has lived", replace(unborn, book=Book.ADOPTED, lies=Lies.WIPED), replace(found, number=2)),
    ("I4: a cluster has lived", replace(unborn, book=Book.CONFIRMED, lies=Lies.WIPED), replace(found, number=2)),
    ("I4: a founder", replace(unborn, book=Book.FRESH), replace(found, number=2)),
    ("I4: a founder", replace(unborn, book=Book.FOREIGN), replace(found, number=2)),
    ("I4: a peer", replace(unborn, peers=(EMPTY[0], peer("c", Says.HOLDING))), found),
    ("I4: a peer", replace(unborn, peers=(EMPTY[0], peer("c", Says.LATE))), found),
    ("I4: something", replace(unborn, peers=(EMPTY[0], peer("c", Says.OCCUPIED))), found),
    ("I4: something", replace(unborn, peers=(EMPTY[0], peer("c", Says.UNPROBED))), found),
    ("I4: something", replace(unborn, peers=(EMPTY[0], peer("c", Says.NOTHING))), found),
    ("I4: the founders", unborn, replace(found, founders=pair)),
    ("I4: the founders", replace(unborn, peers=(EMPTY[0], peer("c", Says.NOTHING, where=Where.UNLISTED))), found),
    ("I4: a founder does", unborn, replace(found, founders=(*pair, voter("c", incarnation="old")))),
    (
        "I4: my own disk",
        replace(unborn, lies=Lies.JOINING),
        replace(found, founders=(voter("a", incarnation="wa"), *all_three[1:])),
    ),
    ("I3: c was not seen", replace(unborn, book=Book.UNSHARED), found),
    # Starts: a data set that is mine, of the newest generation, and never twice for the first time.
    ("I3: my data directory", replace(dormant, runs=Runs.RUNNING), start),
    ("I3: my data directory", replace(dormant, lies=Lies.UNREADABLE), start),
    ("I1: a first start", replace(chartered, lies=Lies.LOST), founding),
    ("I1: a first start", replace(chartered, lies=Lies.MINE), founding),
    ("I3: neither", replace(chartered, lies=Lies.WIPED), founding),
    ("I3: neither", replace(chartered, book=Book.NEWER), founding),
    ("I3: neither", replace(chartered, book=Book.UNKNOWN), founding),
    ("I3: c was not seen", replace(chartered, book=Book.UNGREETED), founding),
    ("I3: neither", joining, joined),
    ("I1: there is no data", replace(dormant, lies=Lies.LOST), start),
    ("I1: there is no data", replace(dormant, lies=Lies.DAMAGED), start),
    ("I1: there is no data", replace(dormant, lies=Lies.REJOINING), start),
    ("I3: the data is of another cluster", replace(dormant, lies=Lies.CLUSTER), start),
    ("I3: the data is of x", replace(dormant, lies=Lies.NODE), start),
    ("I3: the data is of another registry", replace(dormant, lies=Lies.REGISTRY), start),
    ("I3: the log", replace(dormant, lies=Lies.SWAPPED), start),
    ("I3: a newer generation", replace(dormant, book=Book.NEWER), start),
    ("I3: a newer generation", replace(dormant, book=Book.UNKNOWN, peers=(peer("b", Says.NEWER),)), start),
    ("I3: data without a stamp", replace(dormant, lies=Lies.PLAIN, book=Book.UNKNOWN), start),
    ("I3: no charter names", replace(dormant, lies=Lies.FOREIGN_PLAIN), start),
    ("I3: no charter names", replace(dormant, lies=Lies.FOREIGN_UNENROLLED), start),
    # A running etcd.
    ("I9: an etcd is restarted", leader, Restart("")),
    ("I9: an etcd is restarted", replace(idle, theirs=Theirs.NONE), Restart("")),
    ("I1: there is no data to start", replace(idle, lies=Lies.LOST, mine=Mine.NONE), Restart("")),
    ("I9: a linearizable", leader, Stop("")),
    ("I9: a linearizable", replace(leader, where=Where.LEAVING), Stop("")),
    ("I9: a linearizable", replace(leader, book=Book.NEWER), Stop("")),
    # Data on disk.
    ("I6: my data directory", replace(dormant, runs=Runs.RUNNING), SetAside("", "")),
    ("I6: my data directory", replace(dormant, lies=Lies.UNREADABLE), SetAside("", "")),
    ("I6: this data set", replace(dormant, lies=Lies.FRESH), SetAside("", "")),
    ("I6: data is set aside", dormant, SetAside("", "")),
    ("I6: data is set aside", replace(dormant, lies=Lies.DAMAGED), SetAside("", "")),
    ("I6: data is set aside", replace(joining, lies=Lies.REJOINING), SetAside("", "")),
    ("I6: data is set aside", replace(joining, lies=Lies.REJOINING, theirs=Theirs.OTHER), SetAside("", "")),
    # Joining.
    ("I5: no cluster", replace(joining, theirs=Theirs.NONE), join),
    ("I5: no cluster", replace(joining, theirs=Theirs.OTHER), join),
    ("I5: no cluster", replace(joining, book=Book.UNKNOWN), join),
    ("I3: the cluster that serves", joining, replace(join, generation=2)),
    ("I5: I am still", replace(joining, theirs=Theirs.VOTER), join),
    ("I5: a learner entry", replace(joining, theirs=Theirs.GHOST), replace(join, stale=("mb",))),
    ("I9: my etcd", replace(joining, lies=Lies.LOST, runs=Runs.RUNNING), join),
    # Changes of voters: the leader, the roster first, quorum after, nobody promoted over a lost voter.
    ("I5: the roster", replace(leader, peers=GROWING), promote),
    ("I5: voters are changed", replace(leader, peers=GROWING, book=Book.DUE_ADD, mine=Mine.FOLLOWER), promote),
    ("I5: not a learner", replace(leader, peers=GROWING, book=Book.DUE_ADD), replace(promote, member_id="mb")),
    ("I5: not a learner", replace(leader, peers=(HEALTHY[0], peer("c", Says.STRANGER, Seat.GHOST))), promote),
    ("I5: the roster", replace(leader, peers=WIPED), remove),
    ("I5: voters are changed", replace(leader, peers=WIPED, book=Book.UNKNOWN), remove),
    ("I5: it is neither", replace(leader, book=Book.DUE_REMOVE), remove),
    ("I5: it is neither", replace(leader, peers=(HEALTHY[0], peer("c", Says.LATE, Seat.SILENT))), remove),
    ("I5: not another voter", leader, replace(remove, member_id="ma")),
    ("I5: not another voter", leader, replace(remove, member_id="mz")),
    ("I5: not a learner of", leader, replace(remove, is_learner=True)),
    (
        "I5: not a learner of",
        replace(leader, mine=Mine.FOLLOWER, peers=GROWING),
        replace(remove, member_id="lc", is_learner=True),
    ),
    ("I5: rosters", replace(leader, mine=Mine.FOLLOWER), WriteRoster(1, 2, pair, "")),
    ("I5: rosters", replace(leader, book=Book.UNKNOWN), WriteRoster(1, 2, pair, "")),
    ("I5: not the next", leader, WriteRoster(1, 1, pair, "")),
    ("I5: not the next", leader, WriteRoster(2, 2, pair, "")),
    ("I5: one change", leader, WriteRoster(1, 2, all_three[:1], "")),
    ("I5: one change", leader, WriteRoster(1, 2, (*all_three, all_three[0]), "")),
    ("I5: only a learner", leader, WriteRoster(1, 2, (*all_three, voter("d")), "")),
    ("I5: only a learner", leader, WriteRoster(1, 2, all_three[1:], "")),
    (
        "I5: never promote",
        replace(leader, peers=(*WIPED, peer("d", Says.STRANGER, Seat.LEARNER))),
        WriteRoster(1, 2, (*all_three, voter("d", member="ld")), ""),
    ),
    (
        "I5: these voters",
        replace(leader, peers=(HEALTHY[0], peer("c", Says.LATE, Seat.SILENT))),
        WriteRoster(1, 2, (all_three[0], all_three[2]), ""),
    ),
    ("I5: etcd's voters", leader, ConfirmRoster(roster(1, pair), "")),
    ("I5: etcd's voters", replace(leader, mine=Mine.FOLLOWER), ConfirmRoster(roster(1, all_three), "")),
    ("I5: leadership", replace(leader, peers=WIPED), MoveLeader("mc", "c", "")),
    ("I5: leadership", replace(leader, peers=GROWING), MoveLeader("lc", "c", "")),
    ("I5: leadership", replace(leader, mine=Mine.UNREADABLE), MoveLeader("mb", "b", "")),
    ("I5: only my own", leader, UpdatePeerUrl("mb", "http://new:2380", "")),
    (
        "I5: a learner's address",
        replace(idle, lies=Lies.LEARNER, mine=Mine.NONE, theirs=Theirs.LEARNER),
        UpdatePeerUrl("ja", "http://new:2380", ""),
    ),
    # The registry.
    ("I3: the registry holds", leader, Adopt(1, "", "c1", all_three, "")),
    ("I3: the registry holds", replace(leader, book=Book.EMPTY), Adopt(2, "", "c1", all_three, "")),
    ("I3: only a cluster", replace(leader, book=Book.UNKNOWN), Adopt(1, "", "c1", all_three, "")),
    ("I3: only a cluster", replace(leader, book=Book.EMPTY, mine=Mine.UNREADABLE), Adopt(1, "", "c1", all_three, "")),
    ("I3: the charter", replace(leader, lies=Lies.PLAIN, book=Book.NEWER), Enrol(1, "t1", "ma", "c1", "")),
    ("I3: the charter", replace(leader, mine=Mine.UNREADABLE), Enrol(1, "t1", "ma", "c1", "")),
)


def vetted(step: Step, o: Observation, memory: Memory = PATIENT) -> str:
    return vet(step, View(o), memory, POLICY)


@pytest.mark.parametrize(("world", "step"), RIGHT, ids=lambda value: type(value).__name__)
def test_a_right_step_passes(world: World, step: Step) -> None:
    assert vetted(step, observation(world)) == ""


@pytest.mark.parametrize(("rule", "world", "step"), WRONG, ids=lambda value: value if isinstance(value, str) else "-")
def test_a_wrong_step_is_refused_by_its_rule(rule: str, world: World, step: Step) -> None:
    assert vetted(step, observation(world)).startswith(rule)


def test_a_step_that_is_refused_is_not_taken_but_said() -> None:
    """My configured address is another voter's: the chooser knows nodes by what the provider says."""
    decision = tick(Memory(), replace(observation(joining), peer_url=url("b")), POLICY)
    assert decision.step == Hold("refused to AddSelf: I5: I am still a voter of an earlier incarnation")
    assert decision.refused == (
        "AddSelf (join the cluster as a learner): I5: I am still a voter of an earlier incarnation",
    )


def test_an_etcd_that_may_serve_again_at_the_next_look_is_not_stopped() -> None:
    world = replace(idle, book=Book.NEWER)
    assert vetted(Stop(""), observation(world)) == ""
    assert vetted(Stop(""), observation(world), Memory(unserved_since=NOW - 1)).startswith("I9")
    assert vetted(Stop(""), observation(world), Memory()).startswith("I9")


def test_what_a_provider_says_of_a_voter_counts_only_when_that_was_silent_for_a_while() -> None:
    gone = (HEALTHY[0], peer("c", Says.NOTHING, Seat.SILENT, Where.GONE))
    o = observation(replace(leader, peers=gone, book=Book.DUE_REMOVE))
    assert vetted(remove, o) == ""
    assert vetted(remove, o, Memory(silent={"mc": NOW - 1})).startswith("I5")


def test_a_silent_voter_is_removed_only_for_somebody_who_waits() -> None:
    silent = (peer("b", Says.NOTHING, Seat.SILENT), HEALTHY[1], peer("d", Says.EMPTY))
    world = replace(leader, peers=silent, book=Book.STRAY)
    gone = RemoveMember("mb", "b", is_learner=False, because="")
    assert vetted(gone, observation(world)) == ""
    assert vetted(gone, observation(replace(world, peers=silent[:2]))).startswith("I5")
    assert vetted(gone, observation(world), Memory(silent={"mb": NOW - 60})).startswith("I5")


def test_a_registry_of_another_owner_is_neither_founded_in_nor_joined() -> None:
    for world, step in ((unborn, found), (joining, join)):
        o = observation(world)
        assert isinstance(o.registry, Known)
        foreign = replace(o, registry=Known(replace(o.registry.value, owner="other")))
        assert vetted(step, foreign).startswith("I3")


def test_a_birth_needs_every_port_tried_and_none_of_them_unknown() -> None:
    o = observation(unborn)
    assert vetted(found, replace(o, probes={**o.probes, "a": Unknown("refused")})).startswith("I4")
    assert vetted(found, replace(o, probes={})).startswith("I4")

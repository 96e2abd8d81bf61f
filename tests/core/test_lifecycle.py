"""The table, the picture and the code say the same."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from eco.core.decision import Memory, Situation
from eco.core.drawing import BEGINNINGS, BY_OTHERS, LEADS, End, document
from eco.core.lifecycle import TABLE
from eco.core.model import Join, Observation
from eco.core.policy import Policy
from eco.core.sight import Known
from eco.core.steps import Found, Hold, Restart, SetAside, Start, Step, Stop
from eco.core.tick import tick
from tests.core.worlds import (
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
    observation,
    worlds,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "lifecycle.md"
POLICY = Policy()

B = Peer("b", Where.PRESENT, Says.VOTER, Seat.VOTER)
NONE = (Peer("b", Where.PRESENT, Says.NOTHING), Peer("c", Where.PRESENT, Says.NOTHING))
EMPTY = (Peer("b", Where.PRESENT, Says.EMPTY), Peer("c", Where.PRESENT, Says.EMPTY))

unborn = World(Lies.FRESH, Runs.STOPPED, Book.EMPTY, EMPTY)
chartered = replace(unborn, book=Book.FRESH)
serving = World(Lies.MINE, Runs.RUNNING, Book.CONFIRMED, (B,), mine=Mine.FOLLOWER)
waiting = World(Lies.MINE, Runs.RUNNING, Book.CONFIRMED, NONE)
dormant = World(Lies.MINE, Runs.STOPPED, Book.CONFIRMED, NONE)
idle = World(Lies.MINE, Runs.RUNNING, Book.CONFIRMED, (B, replace(B, name="c")), theirs=Theirs.VOTER)
joining = World(Lies.JOINING, Runs.STOPPED, Book.CONFIRMED, (B,), theirs=Theirs.LEARNER)
learning = World(Lies.LEARNER, Runs.RUNNING, Book.CONFIRMED, (B,), mine=Mine.LEARNER, theirs=Theirs.LEARNER)
rejoining = replace(joining, lies=Lies.REJOINING, runs=Runs.BROKEN)
removed = replace(idle, theirs=Theirs.NOT_LISTED)
deleted = replace(idle, lies=Lies.LOST)

ARROWS: tuple[tuple[World, Situation, type[Step], World | None, End], ...] = (
    (replace(waiting, asks=Asks.LEAVE_LONG), Situation.LEAVING, Stop, None, None),
    (replace(dormant, asks=Asks.STOP), Situation.STOPPING, Stop, None, None),
    (chartered, Situation.CHARTERED, Start, serving, Situation.SERVING),
    (chartered, Situation.CHARTERED, Start, waiting, Situation.WAITING_FOR_QUORUM),
    (idle, Situation.DEGRADED, Restart, serving, Situation.SERVING),
    (removed, Situation.DEGRADED, Stop, replace(removed, runs=Runs.STOPPED), Situation.DAMAGED),
    (deleted, Situation.DEGRADED, Stop, replace(deleted, runs=Runs.STOPPED), Situation.ABSENT),
    (dormant, Situation.DORMANT, Start, serving, Situation.SERVING),
    (dormant, Situation.DORMANT, Start, waiting, Situation.WAITING_FOR_QUORUM),
    (rejoining, Situation.DAMAGED, SetAside, joining, Situation.ABSENT),
    (joining, Situation.ABSENT, Start, learning, Situation.CATCHING_UP),
    (unborn, Situation.NEWBORN, Found, chartered, Situation.CHARTERED),
    (learning, Situation.CATCHING_UP, Hold, serving, Situation.SERVING),
    (waiting, Situation.WAITING_FOR_QUORUM, Hold, serving, Situation.SERVING),
    (waiting, Situation.WAITING_FOR_QUORUM, Hold, idle, Situation.DEGRADED),
    (replace(unborn, book=Book.UNKNOWN), Situation.BLIND, Hold, unborn, Situation.NEWBORN),
)
"""An arrow: the world before, its situation and step, the world after, its situation."""


LEARNER = Peer("c", Where.PRESENT, Says.STRANGER, Seat.LEARNER)
TAKEN_OFF = tuple(replace(peer, where=Where.TAKEN_OFF) for peer in NONE)
SELDOM = (
    replace(serving, mine=Mine.LEADER, peers=(B, LEARNER), book=Book.DUE_ADD),
    replace(dormant, lies=Lies.LOST, book=Book.OTHERS, peers=TAKEN_OFF),
)
"""Worlds with steps that are seldom among all worlds."""


def settled(o: Observation) -> tuple[Situation, type[Step]]:
    """The situation and the step after a long look at the same."""
    decision = tick(tick(Memory(), replace(o, now=o.now - NOW), POLICY).memory, o, POLICY)
    return decision.situation, type(decision.step)


def superseded_and_accepted() -> Observation:
    """My data is of generation 1, and generation 2 has accepted me as a learner."""
    o = observation(replace(rejoining, runs=Runs.STOPPED, book=Book.NEWER))
    assert isinstance(o.disk, Known)
    join = Join(2, "t", "c2", "ja", ())
    return replace(o, disk=Known(replace(o.disk.value, stamp=replace(o.disk.value.stamp, join=join))))


def test_the_document_is_what_the_code_says() -> None:
    written = DOCUMENT.read_text(encoding="utf-8")
    assert written == document(), "run: python -m eco.core.drawing > docs/lifecycle.md"


def test_the_table_holds_every_situation_once_and_in_its_order() -> None:
    assert [row.situation for row in TABLE] == list(Situation)


@pytest.mark.parametrize(("before", "situation", "step", "after", "reached"), ARROWS)
def test_an_arrow_leads_where_it_is_drawn(
    before: World, situation: Situation, step: type[Step], after: World | None, reached: End
) -> None:
    assert settled(observation(before)) == (situation, step)
    if after is not None:
        assert tick(Memory(), observation(after), POLICY).situation is reached


def test_a_superseded_node_sets_its_data_aside_and_is_absent() -> None:
    assert settled(superseded_and_accepted()) == (Situation.SUPERSEDED, SetAside)
    assert settled(observation(replace(joining, book=Book.NEWER)))[0] is Situation.ABSENT


def test_every_arrow_that_is_drawn_was_tried() -> None:
    tried = {(situation, step, reached) for _, situation, step, _, reached in ARROWS}
    tried.add((Situation.SUPERSEDED, SetAside, Situation.ABSENT))
    drawn = {(start, step, end) for (start, step), ends in LEADS.items() for end in ends}
    drawn |= {(start, Hold, end) for start, end in BY_OTHERS}
    assert tried == drawn


def test_a_node_begins_where_the_picture_begins() -> None:
    absent = replace(joining, lies=Lies.WIPED, theirs=Theirs.NOT_LISTED)
    begun = {tick(Memory(), observation(world), POLICY).situation for world in (unborn, absent, dormant)}
    assert begun == set(BEGINNINGS)


def test_every_step_of_the_table_is_taken_in_some_world() -> None:
    declared = {(row.situation, step) for row in TABLE for step in row.steps}
    some = (*islice(worlds(), 0, None, 101), *SELDOM, *(before for before, *_ in ARROWS))
    taken = {settled(observation(world)) for world in some} | {settled(superseded_and_accepted())}
    for world in (serving, idle):
        moved = tick(Memory(), replace(observation(world), peer_url="http://new:2380"), POLICY)
        taken.add((moved.situation, type(moved.step)))
    assert declared <= taken

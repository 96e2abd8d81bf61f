"""Agents killed in the middle of membership changes, and member entries that nobody stands behind (rows 45 and 51)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from tests.e2e.gateway import NoAnswerError
from tests.e2e.harness import UNHEALTHY_TTL
from tests.e2e.patience import eventually, throughout

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.harness import Fleet, Node

LEARNER_PATIENCE = 30
"""Seconds after which a learner that makes no progress is removed."""


def learner_of(fleet: Fleet, node: Node) -> str | None:
    """The id of the node's learner entry; there is never a second learner."""
    learners = [member for member in fleet.members() if member.is_learner]
    assert len(learners) <= 1, f"two learners: {learners}"
    return next((one.id for one in learners if one.peer_url == f"http://{node.address}:2380"), None)


def is_voter(fleet: Fleet, node: Node) -> bool:
    learner_of(fleet, node)
    return any(member.name == node.name and not member.is_learner for member in fleet.members())


def add_by_hand(fleet: Fleet, peer_url: str, *, learner: bool) -> str:
    """Add an entry as an operator would: again, while etcd finds its peers not connected for long enough."""

    def added() -> str | None:
        with suppress(NoAnswerError):
            return fleet.leader().etcd.add_member(peer_url, learner=learner)
        return None

    member_id = eventually(added, 15, f"an entry for {peer_url} is added", explain=fleet.picture)
    fleet.timeline.note(f"{peer_url} is added by hand: {member_id}, {'learner' if learner else 'voter'}")
    return member_id


def begin_to_rejoin(fleet: Fleet) -> tuple[Node, str]:
    """Wipe a follower, and wait until its new learner entry is listed."""
    node = fleet.followers()[0]
    fleet.ledger.flowing()
    node.kill_both(stay_down=True)
    node.wipe()
    node.revive()
    learner = eventually(lambda: learner_of(fleet, node), 30, "the learner is listed", explain=fleet.picture)
    return node, learner


def test_a_joiner_killed_after_it_was_added_resumes_row45(trio: Fleet) -> None:
    node, _ = begin_to_rejoin(trio)

    node.kill_both()

    eventually(lambda: is_voter(trio, node), 30, f"{node.name} is a voter", explain=trio.picture)
    trio.healthy(within=15)


def test_the_leaders_agent_killed_before_a_promotion_resumes_row45(trio: Fleet) -> None:
    node, _ = begin_to_rejoin(trio)

    trio.leader().kill_agent()

    eventually(lambda: is_voter(trio, node), 30, f"{node.name} is a voter", explain=trio.picture)
    trio.healthy(within=15)


def test_all_agents_killed_in_the_middle_of_a_join_resume_row45(trio: Fleet) -> None:
    node, _ = begin_to_rejoin(trio)

    for each in trio.nodes.values():
        each.kill_agent()

    eventually(lambda: is_voter(trio, node), 30, f"{node.name} is a voter", explain=trio.picture)
    trio.healthy(within=15)


def test_a_joiner_that_died_for_good_leaves_no_learner_behind_row45(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet().born()
    node, learner = begin_to_rejoin(fleet)
    node.kill_both(stay_down=True)

    del fleet.group.entries[node.name]
    fleet.add("d")
    fleet.group.publish()
    fleet["d"].revive()

    fleet.healthy(within=60)
    assert learner not in fleet.ids().values()
    fleet.ledger.settle()


def test_a_learner_entry_that_nobody_stands_behind_is_removed_row51(trio: Fleet) -> None:
    ids, since = trio.ids(), trio.ledger.flowing()

    stray = add_by_hand(trio, f"http://{trio.fresh_address()}:2380", learner=True)

    eventually(
        lambda: stray not in {member.id for member in trio.members()},
        LEARNER_PATIENCE + 30,
        "the stray learner is removed",
        explain=trio.picture,
    )
    trio.healthy(within=10)
    assert trio.ids() == ids
    assert trio.ledger.failures(since) == []


def test_a_joiner_whose_entry_exists_already_is_listed_once_row51(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet("ab").born()
    node = fleet.add("c")
    add_by_hand(fleet, f"http://{node.address}:2380", learner=True)

    fleet.group.desired = 3
    fleet.group.publish()
    node.revive()

    fleet.healthy(within=60)
    fleet.ledger.settle()


def test_a_voter_entry_that_nobody_stands_behind_costs_no_living_member_its_place_row51(trio: Fleet) -> None:
    ids, since = trio.ids(), trio.ledger.flowing()

    stray = add_by_hand(trio, f"http://{trio.fresh_address()}:2380", learner=False)

    throughout(
        lambda: set(ids.values()) <= {member.id for member in trio.members()}, UNHEALTHY_TTL + 4, "the living stay"
    )
    assert trio.ledger.failures(since) == []
    if stray in {member.id for member in trio.members()}:
        trio.leader().etcd.remove_member(stray)
    trio.healthy(within=20)
    assert trio.ids() == ids

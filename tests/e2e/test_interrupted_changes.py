"""Agents killed in the middle of membership changes: they resume, and never add a second learner (row 45)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.patience import eventually

if TYPE_CHECKING:
    from tests.e2e.harness import Fleet, Node


def learner_of(fleet: Fleet, node: Node) -> str | None:
    """The id of the node's learner entry; there is never a second learner."""
    learners = [member for member in fleet.members() if member.is_learner]
    assert len(learners) <= 1, f"two learners: {learners}"
    return next((one.id for one in learners if one.peer_url == f"http://{node.address}:2380"), None)


def is_voter(fleet: Fleet, node: Node) -> bool:
    learner_of(fleet, node)
    return any(member.name == node.name and not member.is_learner for member in fleet.members())


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


def test_a_joiner_that_died_for_good_leaves_no_learner_behind_row45(trio: Fleet) -> None:
    node, learner = begin_to_rejoin(trio)
    node.kill_both(stay_down=True)

    del trio.group.entries[node.name]
    trio.add("d")
    trio.group.publish()
    trio["d"].revive()

    trio.healthy(within=60)
    assert learner not in trio.ids().values()

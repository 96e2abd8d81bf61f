"""Member entries that nobody stands behind: adopted by their owner, or removed, at nobody's cost (row 51)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from tests.e2e.gateway import NoAnswerError
from tests.e2e.harness import UNHEALTHY_TTL
from tests.e2e.patience import eventually, throughout

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.harness import Fleet

LEARNER_PATIENCE = 30
"""Seconds after which a learner that makes no progress is removed."""


def add_by_hand(fleet: Fleet, peer_url: str, *, learner: bool) -> str:
    """Add an entry as an operator would: again, while etcd finds its peers not connected for long enough."""

    def added() -> str | None:
        with suppress(NoAnswerError):
            return fleet.leader().etcd.add_member(peer_url, learner=learner)
        return None

    member_id = eventually(added, 15, f"an entry for {peer_url} is added", explain=fleet.picture)
    fleet.timeline.note(f"{peer_url} is added by hand: {member_id}, {'learner' if learner else 'voter'}")
    return member_id


def test_a_joiner_whose_entry_exists_already_is_listed_once_row51(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet("ab").born()
    node = fleet.add("c")
    add_by_hand(fleet, f"http://{node.address}:2380", learner=True)

    fleet.group.desired = 3
    fleet.group.publish()
    node.revive()

    fleet.healthy(within=60)
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

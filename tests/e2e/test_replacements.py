"""Instances that are terminated and replaced by others, one or all of them, while the service goes on."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.harness import Fleet, Node


def leads(fleet: Fleet) -> Node:
    return fleet.leader()


def follows(fleet: Fleet) -> Node:
    return fleet.followers()[0]


def replace(fleet: Fleet, victim: Node) -> Node:
    """Terminate an instance, disk and all, and let the group start another."""
    newcomer = fleet.add(f"{victim.name}x")
    victim.kill_both(stay_down=True)
    victim.wipe()
    del fleet.group.entries[victim.name]
    fleet.group.publish()
    newcomer.revive()
    return newcomer


def one_voter_at_a_time(fleet: Fleet) -> bool:
    """Whether every roster differs from the one before it by one voter."""
    sets = [{voter["member_id"] for voter in roster["voters"]} for roster in fleet.rosters()]
    return all(len(late ^ early) == 1 for early, late in itertools.pairwise(sets))


@pytest.mark.parametrize("role", [follows, leads])
def test_a_terminated_instance_is_removed_and_its_successor_becomes_a_voter_row33(
    trio: Fleet, role: Callable[[Fleet], Node]
) -> None:
    victim, since = role(trio), trio.ledger.flowing()
    survivors = {name: member for name, member in trio.ids().items() if name != victim.name}

    replace(trio, victim)

    trio.healthy(within=60)
    assert survivors.items() <= trio.ids().items()
    assert trio.ledger.longest_gap(since) < 3
    assert one_voter_at_a_time(trio)


def test_every_instance_is_replaced_one_by_one_without_losing_service_row34(trio: Fleet) -> None:
    first, since = trio.ids(), trio.ledger.flowing()

    for name in first:
        replace(trio, trio[name])
        trio.healthy(within=60)

    assert not set(first.values()) & set(trio.ids().values())
    assert trio.ledger.longest_gap(since) < 3
    assert one_voter_at_a_time(trio)
    assert len(trio.charters()) == 1

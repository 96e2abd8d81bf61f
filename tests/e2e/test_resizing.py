"""Resize under load (protocol 8.5): 1 to 3 to 5 to 3 to 1, one change at a time, the leader handed over first."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from tests.e2e.patience import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.harness import Fleet


def grow(fleet: Fleet, *names: str) -> None:
    added = [fleet.add(name) for name in names]
    fleet.group.desired += len(added)
    fleet.group.publish()
    for node in added:
        node.revive()
    fleet.healthy(within=60)


def shrink(fleet: Fleet, desired: int) -> None:
    """Lower the desired size; what is last in the list leaves, the leader among it."""
    staying = list(fleet.group.entries)[:desired]
    leaving = [name for name in fleet.group.entries if name not in staying]
    fleet.leader().etcd.move_leader(fleet.ids()[leaving[-1]])
    since = fleet.ledger.flowing()
    fleet.group.desired = desired
    fleet.group.publish()
    fleet.healthy(60, staying)
    assert fleet.ledger.longest_gap(since) < 3
    for name in leaving:
        eventually(lambda name=name: fleet[name].etcd_pid() is None, 20, f"etcd of {name} has left")  # type: ignore[misc]
        del fleet.group.entries[name]
    fleet.group.publish()


def test_growing_to_five_and_shrinking_to_one_loses_nothing_row36(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet("a").born()

    grow(fleet, "b", "c")
    grow(fleet, "d", "e")
    shrink(fleet, 3)
    shrink(fleet, 1)

    fleet.ledger.settle()
    sets = [{voter["member_id"] for voter in roster["voters"]} for roster in fleet.rosters()]
    assert all(len(late ^ early) == 1 for early, late in itertools.pairwise(sets))
    assert len(fleet.charters()) == 1


def test_an_instance_taken_off_the_list_hands_over_and_leaves_row36(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet().born()
    leader, since = fleet.leader(), fleet.ledger.flowing()

    fleet.group.desired = 2
    del fleet.group.entries[leader.name]
    fleet.group.publish()

    fleet.healthy(within=60)
    eventually(lambda: leader.etcd_pid() is None, 20, "its etcd has stopped", explain=fleet.picture)
    assert fleet.ledger.longest_gap(since) < 3
    fleet.ledger.settle()

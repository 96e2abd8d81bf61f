"""Birth under fire: founders that die at the worst moment, and two that both believe they may found."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.harness import Fleet


def the_owner_exists(fleet: Fleet) -> bool:
    return any(fleet.store.rglob("cluster.json"))


def the_charter_exists(fleet: Fleet) -> bool:
    return any(fleet.store.rglob("charters/*.json"))


def the_founder_has_started_etcd(fleet: Fleet) -> bool:
    return (fleet["a"].data / "member").exists()


def promptly(condition: Callable[[Fleet], bool], fleet: Fleet) -> None:
    """As soon as it is true, without the pause that `eventually` makes."""
    deadline = time.monotonic() + 20
    while not condition(fleet):
        assert time.monotonic() < deadline, f"{condition.__name__}: {fleet.picture()}"


@pytest.mark.parametrize("moment", [the_owner_exists, the_charter_exists, the_founder_has_started_etcd])
def test_a_founder_killed_while_founding_finishes_what_it_began_row44(
    new_fleet: Callable[..., Fleet], moment: Callable[[Fleet], bool]
) -> None:
    fleet = new_fleet()
    fleet.start()
    promptly(moment, fleet)

    fleet["a"].kill_both()

    fleet.healthy(within=20)
    assert [charter["number"] for charter in fleet.charters()] == [1]
    fleet.load().settle()


def test_the_others_start_without_a_founder_that_died_after_founding_row44(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet()
    fleet.start()
    promptly(the_charter_exists, fleet)

    fleet["a"].kill_both(stay_down=True)

    fleet["b"].serves(within=15)
    fleet["c"].serves(within=5)
    fleet["a"].revive()
    fleet.healthy(within=20)
    assert len(fleet.charters()) == 1


def test_two_nodes_that_both_believe_they_may_found_make_one_cluster_row43(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet()
    of = {name: node.address for name, node in fleet.nodes.items()}
    fleet.group.tell("a", {"a": of["a"], "c": of["c"]}, 2)
    fleet.group.tell("b", {"b": of["b"], "c": of["c"]}, 2)

    fleet.start()
    promptly(the_charter_exists, fleet)
    fleet.group.publish()

    fleet.healthy(within=60)
    assert [charter["number"] for charter in fleet.charters()] == [1]
    fleet.load().settle()

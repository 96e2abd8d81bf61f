"""Whole-cluster power loss is a normal start (protocol 8.8): from their own disks, registry or not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.e2e.patience import throughout

if TYPE_CHECKING:
    from tests.e2e.harness import Fleet


def power_off(fleet: Fleet) -> None:
    for node in fleet.nodes.values():
        node.kill_both(stay_down=True)


def test_all_nodes_killed_at_once_start_again_from_their_disks_row5(trio: Fleet) -> None:
    ids, charters = trio.ids(), trio.charters()
    trio.ledger.flowing()
    power_off(trio)
    off = time.monotonic()

    trio.start()

    trio.ledger.resumed(off, within=10)
    trio.healthy(within=15)
    assert trio.ids() == ids
    assert trio.charters() == charters


def test_a_cold_start_does_not_need_the_registry_row5(trio: Fleet) -> None:
    ids = trio.ids()
    trio.ledger.flowing()
    power_off(trio)
    off = time.monotonic()
    trio.lose_store()

    trio.start()

    trio.ledger.resumed(off, within=10)
    trio.ledger.flowing()
    trio.find_store()
    trio.healthy(within=15)
    assert trio.ids() == ids


def test_a_lone_survivor_waits_and_a_second_one_is_enough_row5(trio: Fleet) -> None:
    ids = trio.ids()
    trio.ledger.flowing()
    power_off(trio)
    off = time.monotonic()

    trio.start("a")
    trio["a"].shows("WAITING_FOR_QUORUM", within=15)
    throughout(lambda: not trio["a"].is_serving(), 4, "one of three does not serve alone")
    trio.start("b")
    trio.ledger.resumed(off, within=10)
    trio.start("c")

    trio.healthy(within=15)
    assert trio.ids() == ids
    assert len(trio.charters()) == 1

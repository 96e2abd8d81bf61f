"""A cloud that throttles or hangs (row 26): the cluster does not notice, and the cloud is not pestered."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.e2e.patience import throughout

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.harness import Fleet

HOSTILE = Path(__file__).parent / "hostile"
PACE = 2
"""Seconds between two calls that this provider asks for in quiet."""


@pytest.fixture
def clouded(new_fleet: Callable[..., Fleet]) -> Fleet:
    """Three nodes, under load, whose provider is the hostile cloud."""
    fleet = new_fleet("", desired=3)
    for name in "abc":
        asg = {"provider": "hostile", "pace": PACE, "calls": str(fleet.directory / f"calls-of-{name}")}
        node = fleet.add(name, extra={"asg": asg})
        node.env = {**node.env, "PYTHONPATH": str(HOSTILE)}
    fleet.group.publish()
    return fleet.born()


def turn(fleet: Fleet, mode: str) -> None:
    """Every node's cloud behaves like this from here on."""
    for name in fleet.nodes:
        told = yaml.safe_load(fleet.group.file(name).read_text())
        fleet.group.write(name, yaml.safe_dump({**told, "mode": mode}).encode())
    fleet.timeline.note(f"the cloud is {mode}")


def calls_since(fleet: Fleet, since: float) -> int:
    lines = [line for name in "abc" for line in (fleet.directory / f"calls-of-{name}").read_text().split()]
    return sum(1 for line in lines if float(line) > since)


@pytest.mark.parametrize("mode", ["throttled", "hanging"])
def test_a_cloud_that_throttles_or_hangs_is_not_pestered_and_not_missed_row26(clouded: Fleet, mode: str) -> None:
    fleet, during = clouded, 10
    ids, follower = fleet.ids(), clouded.followers()[0]
    since = fleet.ledger.flowing()

    turn(fleet, mode)
    follower.kill_etcd()

    follower.serves(within=5)
    throughout(lambda: fleet.ids() == ids, during, "nobody is removed")
    seconds = time.monotonic() - since
    assert calls_since(fleet, since) <= 3 * (1.5 * seconds / PACE + 2)
    assert fleet.ledger.failures(since, except_through=(follower.address,)) == []
    turn(fleet, "fine")
    fleet.healthy(within=20)
    fleet.ledger.settle()

"""A provider that is down, stale, empty, wrong or hanging never costs a member its place (rows 23-26)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.e2e.harness import UNHEALTHY_TTL
from tests.e2e.patience import eventually, throughout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.harness import Fleet

LONGER_THAN_THE_TTL = UNHEALTHY_TTL + 3
BACK_OFF = 10
"""Seconds after which a file that was wrong has been looked at again."""


@pytest.fixture
def told_the_truth_afterwards(trio: Fleet) -> Iterator[Fleet]:
    """Whatever the provider said meanwhile, in the end it tells the truth, and the cluster is as it was."""
    ids, charters = trio.ids(), trio.charters()
    since = trio.ledger.flowing()
    yield trio
    tell_the_truth(trio)
    trio.healthy(within=20)
    assert (trio.ids(), trio.charters()) == (ids, charters)
    assert trio.ledger.failures(since) == []


def tell_the_truth(fleet: Fleet) -> None:
    """The list is right again, and every agent takes note."""
    fleet.group.publish()
    eventually(
        lambda: all(node.status().get("desired") == fleet.group.desired for node in fleet.nodes.values()),
        BACK_OFF + 5,
        "every agent knows its group",
        explain=fleet.picture,
    )


def unchanged(fleet: Fleet, during: float) -> None:
    """Nobody is removed and every etcd goes on, under the load."""
    ids, pids = fleet.ids(), [node.etcd_pid() for node in fleet.nodes.values()]
    throughout(lambda: fleet.ids() == ids, during, "nobody is removed")
    assert [node.etcd_pid() for node in fleet.nodes.values()] == pids


def test_a_provider_that_is_down_removes_nobody_row23(told_the_truth_afterwards: Fleet) -> None:
    fleet = told_the_truth_afterwards

    for name in fleet.nodes:
        fleet.group.lose(name)

    unchanged(fleet, LONGER_THAN_THE_TTL)


def test_an_empty_list_is_an_error_and_removes_nobody_row25(told_the_truth_afterwards: Fleet) -> None:
    fleet = told_the_truth_afterwards

    for name in fleet.nodes:
        fleet.group.tell(name, {}, 3)

    unchanged(fleet, LONGER_THAN_THE_TTL)


@pytest.mark.parametrize(
    "content",
    [b"", b"desired: 3\n", b"\xff\x00{{{", b"desired: -1\ninstances: []\n", b"- a\n- b\n", b"desired: 0\n"],
    ids=["nothing", "no-list", "garbage", "negative", "not-a-mapping", "zero"],
)
def test_a_malformed_list_is_an_error_and_removes_nobody_row25(
    told_the_truth_afterwards: Fleet, content: bytes
) -> None:
    fleet = told_the_truth_afterwards

    for name in fleet.nodes:
        fleet.group.write(name, content)

    unchanged(fleet, 3)


def test_a_list_without_its_own_reader_is_an_error_row25(told_the_truth_afterwards: Fleet) -> None:
    fleet = told_the_truth_afterwards

    for name in fleet.nodes:
        others = {other: address for other, address in fleet.group.entries.items() if other != name}
        fleet.group.tell(name, others, 3)

    unchanged(fleet, LONGER_THAN_THE_TTL)


def test_a_pipe_in_place_of_the_list_does_not_hold_back_a_restart_row26(trio: Fleet) -> None:
    follower, ids = trio.followers()[0], trio.ids()
    since = trio.ledger.flowing()
    for name in trio.nodes:
        trio.group.file(name).unlink()
        os.mkfifo(trio.group.file(name))

    throughout(lambda: trio.ids() == ids, 3, "nobody is removed")
    follower.kill_etcd()

    follower.serves(within=5)
    throughout(lambda: all(node.status() for node in trio.nodes.values()), 1, "every agent answers")
    tell_the_truth(trio)
    trio.healthy(within=20)
    assert trio.ids() == ids
    assert trio.ledger.failures(since, except_through=(follower.address,)) == []


def test_a_stale_list_holds_nothing_but_the_repair_row24(trio: Fleet) -> None:
    old = trio.ids()
    dead = trio.followers()[0]
    alive = [name for name in trio.nodes if name != dead.name]
    since = trio.ledger.flowing()
    dead.kill_both(stay_down=True)
    del trio.group.entries[dead.name]
    newcomer = trio.add("d")
    trio.group.stale = set(alive)
    trio.group.publish()
    newcomer.revive()

    throughout(
        lambda: {old[name] for name in alive} <= set(trio.ids().values()), LONGER_THAN_THE_TTL, "the living stay"
    )
    trio.group.stale.clear()
    trio.group.publish()

    trio.healthy(within=30)
    assert trio.ledger.failures(since, except_through=(dead.address, newcomer.address)) == []

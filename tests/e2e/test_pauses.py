"""SIGSTOP: a process that neither answers nor dies. Nobody is removed for it, and old thoughts are not finished."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.harness import UNHEALTHY_TTL
from tests.e2e.patience import throughout
from tests.e2e.processes import is_alive

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.harness import Fleet, Node

LONGER_THAN_THE_TTL = UNHEALTHY_TTL + 4


def test_a_paused_leader_is_succeeded_and_comes_back_as_a_follower_row6(trio: Fleet) -> None:
    leader, ids = trio.leader(), trio.ids()
    since = trio.ledger.flowing()

    paused = leader.pause_etcd()
    trio.ledger.resumed(since, within=3)
    throughout(lambda: trio.ids() in ({}, ids), LONGER_THAN_THE_TTL, "nobody is removed without a replacement")
    if is_alive(paused):
        leader.resume_etcd(paused)

    trio.healthy(within=20)
    assert trio.ids() == ids
    assert trio.leader() is not leader


def leads(fleet: Fleet) -> Node:
    return fleet.leader()


def follows(fleet: Fleet) -> Node:
    return fleet.followers()[0]


@pytest.mark.parametrize("role", [leads, follows])
def test_a_paused_agent_does_not_cost_its_member_its_place_row7(trio: Fleet, role: Callable[[Fleet], Node]) -> None:
    node, ids = role(trio), trio.ids()
    etcd, since = node.etcd_pid(), trio.ledger.flowing()

    node.pause_agent()
    throughout(lambda: trio.ids() == ids, LONGER_THAN_THE_TTL, "the member of a paused agent stays")
    node.resume_agent()

    trio.healthy(within=10)
    trio.ledger.flowing()
    assert node.etcd_pid() == etcd
    assert trio.ids() == ids
    assert trio.ledger.failures(since) == []

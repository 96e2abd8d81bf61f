"""kill -9 of etcd, of the agent, and of both: the data stays, the members stay, the service stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.patience import eventually

if TYPE_CHECKING:
    from tests.e2e.harness import Fleet, Node


def set_aside(node: Node) -> list[str]:
    """What the agent has put aside of this node's data."""
    return sorted(path.name for path in (node.data / "eco" / "old").glob("*"))


def test_a_killed_follower_comes_back_with_its_data_and_nobody_notices_row1(trio: Fleet) -> None:
    follower, ids = trio.followers()[0], trio.ids()
    since = trio.ledger.flowing()

    follower.kill_etcd()

    follower.serves(within=5)
    trio.healthy(within=10)
    assert trio.ledger.failures(since, except_through=(follower.address,)) == []
    assert trio.ids() == ids
    assert not set_aside(follower)


def test_a_killed_leader_costs_one_election_and_comes_back_row2(trio: Fleet) -> None:
    leader, ids = trio.leader(), trio.ids()
    since = trio.ledger.flowing()

    leader.kill_etcd()

    trio.ledger.resumed(since, within=3)
    leader.serves(within=5)
    trio.healthy(within=10)
    assert trio.ledger.longest_gap(since) < 3
    assert trio.ids() == ids


def test_a_killed_agent_finds_its_etcd_alive_and_leaves_it_running_row3(trio: Fleet) -> None:
    node, since = trio.leader(), trio.ledger.flowing()
    agent, etcd = node.pid, node.etcd_pid()

    node.kill_agent()

    node.shows("SERVING", within=5)
    trio.ledger.flowing()
    assert node.pid != agent
    assert node.etcd_pid() == etcd
    assert trio.ledger.failures(since) == []


def test_an_adopted_etcd_is_watched_like_a_child_row3(trio: Fleet) -> None:
    node, ids = trio.followers()[0], trio.ids()
    node.kill_agent()
    node.shows("SERVING", within=5)

    first = node.kill_etcd()

    node.serves(within=5)
    trio.healthy(within=10)
    assert node.etcd_pid() != first
    assert trio.ids() == ids


def test_agent_and_etcd_killed_together_come_back_from_disk_row4(trio: Fleet) -> None:
    node, ids = trio.leader(), trio.ids()
    trio.ledger.flowing()

    node.kill_both()

    node.serves(within=10)
    trio.healthy(within=10)
    assert trio.ids() == ids


def test_an_etcd_that_died_while_its_agent_was_down_is_started_from_disk_row4(trio: Fleet) -> None:
    node, ids = trio.followers()[0], trio.ids()
    since = trio.ledger.flowing()
    node.kill_agent(stay_down=True)
    node.kill_etcd()

    node.revive()

    node.serves(within=10)
    trio.healthy(within=10)
    assert trio.ids() == ids
    assert trio.ledger.failures(since, except_through=(node.address,)) == []


def test_a_member_killed_again_and_again_is_restarted_and_never_replaced_row1(trio: Fleet) -> None:
    node, ids = trio.followers()[0], trio.ids()

    for _ in range(4):
        eventually(node.etcd_pid, 15, f"etcd of {node.name} runs", explain=node.tail)
        node.kill_etcd()

    node.serves(within=20)
    trio.healthy(within=10)
    assert trio.ids() == ids
    assert not set_aside(node)

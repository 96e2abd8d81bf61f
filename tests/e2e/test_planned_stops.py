"""Stopping on purpose (protocol 8.6): leadership is handed over, stops take turns, nothing is lost."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from tests.e2e.patience import eventually

if TYPE_CHECKING:
    from tests.e2e.harness import Fleet, Node

STOP = 40
"""Seconds within which a stop ends, its turn waited for."""


def test_stopping_the_leaders_node_hands_leadership_over(trio: Fleet) -> None:
    leader, ids = trio.leader(), trio.ids()
    since = trio.ledger.flowing()

    code = leader.stop(STOP)

    trio.ledger.flowing()
    assert code == 0
    assert leader.etcd_pid() is None
    assert trio.ledger.longest_gap(since) < 0.5
    leader.revive()
    trio.healthy(within=20)
    assert trio.ids() == ids


def test_stopping_a_followers_node_disturbs_nobody(trio: Fleet) -> None:
    node, ids = trio.followers()[0], trio.ids()
    since = trio.ledger.flowing()

    code = node.stop(STOP)

    assert (code, node.etcd_pid()) == (0, None)
    assert trio.ledger.failures(since, except_through=(node.address,)) == []
    node.revive()
    trio.healthy(within=20)
    assert trio.ids() == ids


def first_to_end(*nodes: Node) -> Node:
    ended = eventually(lambda: [node for node in nodes if node.pid is None], STOP, "one of them has stopped")
    return ended[0]


def test_two_nodes_stopped_together_take_turns(trio: Fleet) -> None:
    one, two = trio.followers()
    ids, since = trio.ids(), trio.ledger.flowing()

    one.terminate()
    two.terminate()
    first = first_to_end(one, two)
    second = two if first is one else one
    assert second.pid is not None, "the second waits for its turn"
    first.revive()

    assert second.ended(STOP) == 0
    assert trio.ledger.longest_gap(since) < 1
    second.revive()
    trio.healthy(within=20)
    assert trio.ids() == ids


def test_a_second_signal_stops_at_once(trio: Fleet) -> None:
    one, two = trio.followers()
    trio.ledger.flowing()
    one.terminate()
    two.terminate()
    second = two if first_to_end(one, two) is one else one

    second.terminate()

    assert second.ended(within=6) == 0
    assert second.etcd_pid() is None
    trio.start()
    trio.healthy(within=20)


def test_all_nodes_stopped_together_come_back_with_everything(trio: Fleet) -> None:
    ids = trio.ids()
    trio.ledger.flowing()

    for node in trio.nodes.values():
        node.terminate(signal.SIGTERM)
    codes = [node.ended(STOP) for node in trio.nodes.values()]
    stopped = time.monotonic()

    assert codes == [0, 0, 0]
    assert not any(node.etcd_pid() for node in trio.nodes.values())
    trio.start()
    trio.ledger.resumed(stopped, within=10)
    trio.healthy(within=15)
    assert trio.ids() == ids
    assert len(trio.charters()) == 1

"""Data that is not this node's: another cluster's is refused untouched, another life's is set aside (row 16)."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.e2e.harness import fingerprint
from tests.e2e.patience import throughout
from tests.e2e.plain import PlainEtcd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.harness import Fleet, Node


def mount(node: Node, data: Path) -> None:
    """Put a copy of other data in place of a killed node's, and start its agent."""
    node.kill_both(stay_down=True)
    node.wipe()
    shutil.copytree(data, node.data)
    node.timeline.note(f"{node.name}: other data is mounted")
    node.revive()


def check_refusal(fleet: Fleet, node: Node) -> None:
    """It is called alien and left as it is; when the operator takes it away, the node joins again."""
    before = fingerprint(node.data / "member"), node.stamp()
    node.shows("ALIEN", within=15)
    throughout(lambda: node.etcd_pid() is None, 3, "etcd is not started on alien data")
    assert (fingerprint(node.data / "member"), node.stamp()) == before
    assert not list((node.data / "eco" / "old").glob("*"))
    node.kill_both(stay_down=True)
    node.wipe()
    node.revive()
    fleet.healthy(within=60)


def test_a_plain_etcd_of_another_cluster_is_refused_untouched_row16(trio: Fleet, tmp_path: Path) -> None:
    stranger = PlainEtcd("stranger", trio.fresh_address(), tmp_path / "stranger")
    stranger.start()
    stranger.wait()
    stranger.etcd.put("whose", "the stranger's")
    stranger.end()
    node, since = trio.followers()[0], trio.ledger.flowing()

    mount(node, stranger.data)

    check_refusal(trio, node)
    assert trio.ledger.failures(since, except_through=(node.address,)) == []


def test_another_of_our_clusters_is_refused_untouched_row16(trio: Fleet, new_fleet: Callable[..., Fleet]) -> None:
    other = new_fleet("c")
    other.start()
    other.healthy(within=15)
    other["c"].stop()
    node = trio["c"]
    trio.ledger.flowing()

    mount(node, other["c"].data)

    check_refusal(trio, node)


def test_data_of_another_member_is_set_aside_and_the_node_joins_as_new_row16(trio: Fleet, tmp_path: Path) -> None:
    first, second = trio.followers()
    ids = trio.ids()
    trio.ledger.flowing()
    first.kill_both(stay_down=True)
    shutil.copytree(first.data, tmp_path / "copy")
    first.revive()
    trio.healthy(within=15)

    mount(second, tmp_path / "copy")

    trio.healthy(within=60)
    assert trio.ids()[first.name] == ids[first.name]
    assert trio.ids()[second.name] not in ids.values()
    assert any((second.data / "eco" / "old").iterdir())


def test_data_from_before_its_removal_is_set_aside_and_the_node_joins_as_new_row16(trio: Fleet, tmp_path: Path) -> None:
    node, ids = trio.followers()[0], trio.ids()
    node.kill_both(stay_down=True)
    shutil.copytree(node.data, tmp_path / "old")
    node.wipe()
    node.revive()
    trio.healthy(within=60)
    second_life = trio.ids()[node.name]
    trio.ledger.flowing()

    mount(node, tmp_path / "old")

    trio.healthy(within=60)
    assert trio.ids()[node.name] not in {ids[node.name], second_life}

"""Birth (protocol 8.1): empty nodes become one cluster, and never less or more than that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.patience import eventually, throughout

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.harness import Fleet


def no_etcd_runs(fleet: Fleet) -> bool:
    return not any(node.etcd_pid() for node in fleet.nodes.values())


def test_three_empty_nodes_become_one_cluster(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet()

    fleet.start()

    fleet.healthy(within=15)
    (charter,) = fleet.charters()
    assert sorted(founder["name"] for founder in charter["founders"]) == ["a", "b", "c"]
    assert charter["number"] == 1
    assert {founder["name"]: founder["member_id"] for founder in charter["founders"]} == fleet.ids()
    assert {node.etcd.standing().cluster_id for node in fleet.nodes.values()} == {charter["cluster_id"]}
    fleet.load().settle()


def test_a_single_node_is_a_cluster(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet("a")

    fleet.start()

    fleet.healthy(within=10)
    fleet.load().settle()


def test_five_empty_nodes_become_one_cluster(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet("abcde")

    fleet.start()

    fleet.healthy(within=30)
    assert len(fleet.charters()) == 1


def test_a_late_founder_is_waited_for_and_named(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet()

    fleet.start("a", "b")

    fleet["a"].shows("NEWBORN", within=10)
    fleet["a"].says(r"\bc\b", within=5)
    throughout(lambda: no_etcd_runs(fleet), 3, "no etcd runs before the third founder reports")
    assert not fleet.charters()
    fleet.start("c")
    fleet.healthy(within=15)


def test_a_store_that_is_not_shared_is_found_out_before_anything_starts(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet("", desired=3)
    for name in "abc":
        store = fleet.directory / f"store-of-{name}"
        store.mkdir()
        fleet.add(name, extra={"snapshot": {"dir": str(store)}})
    fleet.group.publish()

    fleet.start()

    eventually(
        lambda: all(node.status() for node in fleet.nodes.values()), 10, "every agent answers", explain=fleet.picture
    )
    eventually(
        lambda: any("store" in node.because for node in fleet.nodes.values()),
        15,
        "somebody says that the store is not shared",
        explain=fleet.picture,
    )
    throughout(lambda: no_etcd_runs(fleet), 5, "no etcd runs while the store is not shared")
    assert not any((node.data / "member").exists() for node in fleet.nodes.values())


def test_a_second_agent_on_one_data_directory_is_refused(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet("a")
    fleet.start()
    fleet.healthy(within=15)
    first, etcd, stamp = fleet["a"], fleet["a"].etcd_pid(), fleet["a"].stamp()
    second = fleet.add("z", listed=False, extra={"etcd": {"data-dir": str(first.data)}})
    fleet.group.tell("z", {"z": second.address}, 1)
    second.supervised = False

    second.start()

    assert second.ended(within=15) != 0
    second.says("lock|another agent|in use", within=0)
    assert (first.etcd_pid(), first.stamp(), first.situation) == (etcd, stamp, "SERVING")

"""Drop-in (protocol 8.7): agents take over plain etcds where they stand, and never found beside one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.patience import eventually, throughout
from tests.e2e.plain import PlainEtcd, founders

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.harness import Fleet


def plain_in_place_of(fleet: Fleet, *names: str) -> list[PlainEtcd]:
    """A plain cluster on the nodes' addresses and data directories, serving."""
    nodes = founders({name: fleet[name].address for name in names}, fleet.directory)
    for node in nodes:
        node.wait()
    return nodes


def test_a_plain_etcds_data_directory_is_adopted_as_it_is(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet("a")
    (plain,) = plain_in_place_of(fleet, "a")
    before = plain.etcd.standing()
    for number in range(50):
        plain.etcd.put(f"old/{number}", str(number))
    plain.end()

    fleet.start()

    fleet.healthy(within=15)
    after = fleet["a"].etcd.standing()
    assert (after.cluster_id, after.member_id) == (before.cluster_id, before.member_id)
    assert len(fleet["a"].etcd.everything("old/")) == 50
    (charter,) = eventually(fleet.charters, 5, "the cluster is registered", explain=fleet.picture)
    assert (charter["origin"], charter["cluster_id"]) == ("adopted", before.cluster_id)


def test_a_plain_cluster_is_adopted_node_by_node_under_load(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet()
    plain = plain_in_place_of(fleet, "a", "b", "c")
    ids, cluster = fleet.ids(), plain[0].etcd.standing().cluster_id
    ledger = fleet.load()
    since = ledger.flowing()

    for node in plain:
        node.end()
        fleet[node.name].revive()
        fleet[node.name].serves(within=15)
        ledger.flowing()

    fleet.healthy(within=30)
    (charter,) = fleet.charters()
    assert (charter["origin"], charter["cluster_id"]) == ("adopted", cluster)
    assert fleet.ids() == ids
    assert ledger.longest_gap(since) < 3
    ledger.settle()


def test_an_adopted_cluster_heals_like_one_of_ours(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet()
    for node in plain_in_place_of(fleet, "a", "b", "c"):
        node.end()
    fleet.born()
    victim, ids = fleet.followers()[0], fleet.ids()

    victim.kill_both(stay_down=True)
    victim.wipe()
    victim.revive()

    fleet.healthy(within=60)
    fleet.ledger.settle()
    assert fleet.ids()[victim.name] != ids[victim.name]


def test_newcomers_beside_a_plain_etcd_found_nothing(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet()
    (plain,) = plain_in_place_of(fleet, "a")
    before = plain.etcd.standing()

    fleet.start("b", "c")

    fleet["b"].says(r"\ba\b", within=15)
    throughout(lambda: not fleet.charters(), 4, "nothing is founded beside a living etcd")
    assert not fleet["b"].etcd_pid()
    assert not fleet["c"].etcd_pid()
    plain.end()
    fleet.start("a")
    fleet.healthy(within=60)
    after = fleet["a"].etcd.standing()
    assert (after.cluster_id, after.member_id) == (before.cluster_id, before.member_id)

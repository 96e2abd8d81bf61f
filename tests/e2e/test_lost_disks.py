"""Disks that come back empty or damaged: the member is replaced, never restarted under its old id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.patience import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.harness import Fleet, Node


def replaced(fleet: Fleet, node: Node, ids: dict[str, str], within: float = 60) -> None:
    """The node is a voter under a new id, and the others under their own."""
    eventually(
        lambda: fleet.ids().get(node.name, ids[node.name]) != ids[node.name],
        within,
        f"{node.name} has a new member id",
        explain=fleet.picture,
    )
    fleet.healthy(within)
    others = {name: member for name, member in ids.items() if name != node.name}
    assert others.items() <= fleet.ids().items()
    assert ids[node.name] not in fleet.ids().values()


def test_a_wiped_follower_joins_as_a_new_member_row15(trio: Fleet) -> None:
    node, ids = trio.followers()[0], trio.ids()
    since = trio.ledger.flowing()
    node.kill_both(stay_down=True)

    node.wipe()
    node.revive()

    replaced(trio, node, ids)
    assert trio.ledger.failures(since, except_through=(node.address,)) == []


def test_a_wiped_leader_joins_as_a_new_member_row15(trio: Fleet) -> None:
    node, ids = trio.leader(), trio.ids()
    trio.ledger.flowing()
    node.kill_both(stay_down=True)

    node.wipe()
    node.revive()

    replaced(trio, node, ids)


def test_a_stamp_without_its_data_never_starts_under_the_old_id_row15(trio: Fleet) -> None:
    node, ids = trio.followers()[0], trio.ids()
    trio.ledger.flowing()
    node.kill_both(stay_down=True)

    node.wipe_member()
    node.revive()

    replaced(trio, node, ids)


def test_data_deleted_under_a_running_member_is_replaced_after_its_death_row15(trio: Fleet) -> None:
    node, ids = trio.followers()[0], trio.ids()
    trio.ledger.flowing()

    node.wipe_member()
    node.kill_etcd()

    replaced(trio, node, ids)


def damage(file: Path, offset: int, length: int) -> None:
    """Invert some bytes in place."""
    with file.open("r+b") as raw:
        raw.seek(offset)
        bytes_there = raw.read(length)
        raw.seek(offset)
        raw.write(bytes(255 - byte for byte in bytes_there))


def a_database_header(node: Node) -> None:
    page = 4096
    damage(node.data / "member" / "snap" / "db", 0, 2 * page)


def a_log_entry(node: Node) -> None:
    first = min((node.data / "member" / "wal").glob("*.wal"))
    damage(first, 4000, 16)


def check_damage(fleet: Fleet, harm: Callable[[Node], None]) -> None:
    node, ids = fleet.followers()[0], fleet.ids()
    since = fleet.ledger.flowing()
    fleet.expect_panics("panic|fatal|goroutine")
    node.kill_both(stay_down=True)

    harm(node)
    node.revive()

    replaced(fleet, node, ids)
    assert any((node.data / "eco" / "old").iterdir()), "the damaged data is kept"
    assert fleet.ledger.failures(since, except_through=(node.address,)) == []


def test_a_damaged_database_is_set_aside_and_its_member_replaced_row11(trio: Fleet) -> None:
    check_damage(trio, a_database_header)


def test_a_damaged_log_is_set_aside_and_its_member_replaced_row12(trio: Fleet) -> None:
    check_damage(trio, a_log_entry)

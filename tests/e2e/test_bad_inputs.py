"""Bad input of every kind: a clear sentence, no data changed, no busy loop, and recovery when it is put right."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.gateway import NoAnswerError
from tests.e2e.harness import CONFIG_EXIT, environment, fingerprint
from tests.e2e.patience import eventually
from tests.e2e.processes import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.harness import Fleet, Node

OBSERVED = 3.0
"""Seconds for which a node in trouble is watched for a busy loop."""


def delay_of_the_unit() -> float:
    """Seconds that our systemd unit waits before it starts a failed agent again."""
    unit = Path(__file__).parents[2] / "packaging" / "eco.service"
    found = re.search(r"^RestartSec=([\d.]+)s$", unit.read_text(), re.MULTILINE)
    assert found, unit
    return float(found[1])


@pytest.fixture
def single(new_fleet: Callable[..., Fleet]) -> Fleet:
    """A node of its own, not started, supervised as our unit has it."""
    fleet = new_fleet("a")
    fleet["a"].restart_delay = delay_of_the_unit()
    return fleet


@pytest.fixture
def stopped(lone: Fleet) -> Fleet:
    """A node that has served, holds a key, and was stopped, supervised as our unit has it."""
    lone["a"].restart_delay = delay_of_the_unit()
    return stop_with_a_key(lone)


def stop_with_a_key(fleet: Fleet) -> Fleet:
    fleet["a"].etcd.put("kept", "yes")
    fleet["a"].stop()
    return fleet


def precious(node: Node) -> dict[str, str]:
    """Everything that must not change: etcd's data, the stamp, what was put aside."""
    every = fingerprint(node.data)
    return {path: digest for path, digest in every.items() if not path.startswith("eco/") or "stamp" in path}


def stays_calm(node: Node) -> None:
    """For some seconds: little CPU, few lines, few restarts."""
    pid, lines = node.pid, len(node.tail(100_000).splitlines())
    used = cpu_seconds(pid) if pid else 0.0
    starts = sum(f"{node.name}: agent started" in line for line in node.timeline.lines)
    deadline = time.monotonic() + OBSERVED
    eventually(lambda: time.monotonic() > deadline, OBSERVED + 1, "the time of observation is over")
    if pid and pid == node.pid:
        assert cpu_seconds(pid) - used < 0.3 * OBSERVED, "it is busy"
    assert len(node.tail(100_000).splitlines()) - lines < 20 * OBSERVED, node.tail(30)
    again = sum(f"{node.name}: agent started" in line for line in node.timeline.lines)
    assert again - starts <= OBSERVED, "it ends again and again"


def recovers(fleet: Fleet) -> None:
    """Its supervisor starts it again, and it serves what it has held."""
    fleet.start()
    fleet.healthy(within=20)
    kept = fleet["a"].etcd.get("kept")
    assert kept is not None
    assert kept.value == "yes"


def test_a_wrong_configuration_reports_every_error_at_once_and_touches_nothing(single: Fleet) -> None:
    node = single["a"]
    node.config.write_text(
        "eco:\n  check-interval: 30\n  colour: red\n  etcd: {data-dir: relative}\n"
        "  asg: {provider: nowhere}\n  snapshot: {provider: file}\n"
    )

    node.start()

    assert node.ended(within=10) == CONFIG_EXIT
    for path in ("check-interval", "colour", "data-dir", "asg.provider", "snapshot.dir"):
        node.says(path, within=0)
    assert not node.data.exists()


def test_a_half_written_stamp_starts_nothing_and_changes_nothing(stopped: Fleet) -> None:
    node = stopped["a"]
    stamp = node.data / "eco" / "stamp.json"
    whole = stamp.read_bytes()
    stamp.write_bytes(whole[: len(whole) // 2])
    before = precious(node)

    node.revive()

    node.says("stamp", within=10)
    stays_calm(node)
    assert node.etcd_pid() is None
    assert precious(node) == before
    stamp.write_bytes(whole)
    recovers(stopped)


def test_a_stamp_of_a_newer_format_starts_nothing_and_changes_nothing(stopped: Fleet) -> None:
    node = stopped["a"]
    stamp = node.data / "eco" / "stamp.json"
    whole = stamp.read_text()
    stamp.write_text(whole.replace('"version":1', '"version":99'))
    before = precious(node)
    assert stamp.read_text() != whole

    node.revive()

    node.says("version", within=10)
    stays_calm(node)
    assert node.etcd_pid() is None
    assert precious(node) == before
    stamp.write_text(whole)
    recovers(stopped)


def test_an_unreadable_registry_blocks_birth_and_says_so(single: Fleet) -> None:
    node = single["a"]
    single.lose_store()

    node.revive()

    node.says("store", within=10)
    stays_calm(node)
    assert node.etcd_pid() is None
    assert not (node.data / "member").exists()
    single.find_store()
    single.start()
    single.healthy(within=20)


def test_an_unreadable_charter_is_no_birth_and_does_not_stop_what_serves(single: Fleet) -> None:
    single.start()
    single.healthy(within=15)
    single["a"].stop()
    (charter,) = single.store.rglob("charters/*.json")
    whole = charter.read_bytes()
    charter.write_bytes(b"{")
    before = {path: digest for path, digest in fingerprint(single.store).items() if "charters" in path}
    newcomer = single.add("b")
    single.group.desired = 2
    single.group.publish()

    single.start()

    single["a"].serves(within=15)
    newcomer.says("charter", within=10)
    stays_calm(newcomer)
    assert newcomer.etcd_pid() is None
    assert {path: digest for path, digest in fingerprint(single.store).items() if "charters" in path} == before
    charter.write_bytes(whole)
    single.healthy(within=40)


@contextmanager
def occupied(address: str, port: int) -> Iterator[None]:
    with socket.create_server((address, port)):
        yield


@pytest.mark.parametrize("port", [2379, 2380])
def test_a_busy_port_is_named_and_waited_for(stopped: Fleet, port: int) -> None:
    node = stopped["a"]
    before = precious(node)
    stopped.expect_panics(f":{port}: bind: address already in use")

    with occupied(node.address, port):
        node.revive()
        node.explains(f"{port}.*in use", within=15)
        stays_calm(node)
        assert precious(node) == before

    recovers(stopped)


def test_a_busy_status_port_is_named_and_changes_nothing(stopped: Fleet) -> None:
    node = stopped["a"]
    before = precious(node)

    with occupied(node.address, 2378):
        node.revive()
        node.says("2378 is in use", within=15)
        stays_calm(node)
        assert node.etcd_pid() is not None or precious(node) == before

    recovers(stopped)


def without_etcd(fleet: Fleet, binary: Path) -> Node:
    """A node whose configuration names this etcd, and whose machine has no other."""
    node = fleet["a"]
    node.extra = {"etcd": {"binary": str(binary)}}
    home = str(fleet.directory)
    node.env = {**node.env, "PATH": "/usr/bin:/bin", "HOME": home, "XDG_CACHE_HOME": home}
    fleet.configure(node)
    return node


def repaired(fleet: Fleet, node: Node) -> None:
    node.extra, node.env = {}, environment()
    fleet.configure(node)
    recovers(fleet)


def test_a_missing_etcd_is_said_and_changes_nothing(stopped: Fleet, tmp_path: Path) -> None:
    node = without_etcd(stopped, tmp_path / "nowhere" / "etcd")
    before = precious(node)

    node.revive()

    node.says("nowhere/etcd", within=10)
    stays_calm(node)
    assert precious(node) == before
    node.kill_both(stay_down=True)
    repaired(stopped, node)


def test_an_etcd_that_is_too_old_is_refused_and_changes_nothing(stopped: Fleet, tmp_path: Path) -> None:
    old = tmp_path / "etcd"
    old.write_text("#!/bin/sh\necho 'etcd Version: 3.3.27'\necho 'Git SHA: 973882f69'\n")
    old.chmod(0o755)
    node = without_etcd(stopped, old)
    before = precious(node)

    node.revive()

    node.says(r"3\.3", within=10)
    stays_calm(node)
    assert precious(node) == before
    node.kill_both(stay_down=True)
    repaired(stopped, node)


# ---------------------------------------------------------------- disks


@contextmanager
def small_disk(directory: Path, size: str) -> Iterator[None]:
    """A file system of its own below the directory, with this size."""
    directory.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


needs_mount = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")


@needs_mount
def test_a_read_only_disk_is_said_and_changes_nothing(single: Fleet) -> None:
    single.start()
    single.healthy(within=15)
    node = stop_with_a_key(single)["a"]
    saved = node.home / "saved"
    shutil.copytree(node.data, saved)
    with small_disk(node.data, "400m"):
        shutil.copytree(saved, node.data, dirs_exist_ok=True)
        subprocess.run(["mount", "-o", "remount,ro", str(node.data)], check=True)
        before = precious(node)

        node.revive()

        node.says("read-only", within=15)
        stays_calm(node)
        assert precious(node) == before
        subprocess.run(["mount", "-o", "remount,rw", str(node.data)], check=True)
        recovers(single)
        node.kill_both(stay_down=True)


@needs_mount
def test_a_full_disk_at_birth_is_said_and_is_no_busy_loop(single: Fleet) -> None:
    node = single["a"]
    single.expect_panics("no space left|panic|fatal|goroutine")
    with small_disk(node.data, "8m"):
        node.revive()

        node.says("disk|no space", within=20)
        stays_calm(node)
        node.kill_both(stay_down=True)


def fill(node: Node) -> Path:
    """Take up all the space that the node's disk has left, whatever etcd takes of it meanwhile."""
    ballast = node.data / "ballast"
    with ballast.open("wb", buffering=0) as out, suppress(OSError):
        while out.write(bytes(1 << 20)):
            pass
    return ballast


@needs_mount
def test_a_member_whose_disk_fills_up_is_kept_and_the_others_serve_row8(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet()
    node = fleet["c"]
    fleet.expect_panics("no space left|panic|fatal|goroutine")
    with small_disk(node.data, "300m"):
        fleet.born()
        if fleet.leader() is node:
            node.etcd.move_leader(fleet.ids()["a"])
        ids, since, etcd = fleet.ids(), fleet.ledger.flowing(), node.etcd_pid()

        ballast = fill(node)
        eventually(lambda: swollen(fleet) and node.etcd_pid() != etcd, 40, "etcd of c has ended", explain=node.tail)
        node.says("disk|no space", within=20)
        stays_calm(node)
        assert fleet.ids() == ids
        assert fleet.ledger.failures(since, except_through=(node.address,)) == []
        ballast.unlink()

        fleet.healthy(within=60)
        assert fleet.ids() == ids
        fleet.ledger.settle()
        fleet.close()


def swollen(fleet: Fleet) -> bool:
    """Write a large value through a node whose disk has room; the members' logs and databases grow."""
    try:
        fleet["a"].etcd.put("large", "x" * 1_000_000)
    except NoAnswerError:
        return False
    return True

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from eco.cli.dev import processes
from eco.cli.dev.keeper import read_identity
from eco.cli.dev.processes import Identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def test_a_process_is_known_by_its_start_as_well(sleeper: subprocess.Popen[bytes]) -> None:
    real = Identity.of(sleeper.pid)
    impostor = Identity(sleeper.pid, "another start")

    assert real.alive
    assert not impostor.alive
    assert not impostor.signal(signal.SIGKILL)
    assert sleeper.poll() is None


async def test_a_killed_process_has_ended_even_before_it_is_reaped(sleeper: subprocess.Popen[bytes]) -> None:
    identity = Identity.of(sleeper.pid)

    assert identity.signal(signal.SIGKILL)
    assert await processes.ended(identity, 10)


async def test_waiting_for_a_process_that_stays_has_an_end(sleeper: subprocess.Popen[bytes]) -> None:
    assert not await processes.ended(Identity.of(sleeper.pid), 0.05)


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1])
def test_a_process_that_is_not_there_is_not_alive(pid: int) -> None:
    assert not Identity.of(pid).alive


async def test_a_lock_is_held_as_long_as_somebody_has_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not processes.held(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert not await processes.unlocked(path, 0.05)
    os.close(descriptor)
    assert await processes.unlocked(path, 10)


@pytest.mark.parametrize("content", ["", "12", "{}", '{"pid":"x","started":1}', "[]", "\xff"])
def test_a_senseless_pid_file_names_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "pid").write_text(content)

    assert read_identity(tmp_path / "pid") is None


def test_a_missing_pid_file_names_nobody(tmp_path: Path) -> None:
    assert read_identity(tmp_path / "pid") is None

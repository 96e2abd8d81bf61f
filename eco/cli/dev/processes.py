"""Processes that are not our children, named so surely that they may be killed.

A pid alone is reused by the next process; a pid with its start time is not. An agent that
outlived its supervisor and an etcd that outlived its agent are found by what they wrote down.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import signal

POLL = 0.01


class Identity(NamedTuple):
    """A process for its whole life: `started` is the machine's word for when it began."""

    pid: int
    started: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        return started(self.pid) == self.started

    def signal(self, number: signal.Signals) -> bool:
        """Send it, if the process still is the one we mean; whether it was."""
        with suppress(ProcessLookupError):
            if self.alive:
                os.kill(self.pid, number)
                return True
        return False


def started(pid: int) -> str:
    """When process `pid` began, in words that only compare with themselves; "" if there is none."""
    if pid <= 0:
        return ""
    if Path("/proc/self/stat").exists():
        return _started_linux(pid)
    return _started_elsewhere(pid)


async def ended(process: Identity, patience: float) -> bool:
    """Wait until the process is gone; False when it is still there after `patience` seconds."""
    deadline = time.monotonic() + patience
    while process.alive:
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(POLL)
    return True


async def unlocked(path: Path, patience: float) -> bool:
    """Wait until nobody holds the lock file (a missing one is nobody's)."""
    deadline = time.monotonic() + patience
    while held(path):
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(POLL)
    return True


def held(path: Path) -> bool:
    """Whether a process holds the lock file at this moment."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _started_linux(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The second field, the command in parentheses, may hold spaces and parentheses itself.
    fields = text.rpartition(")")[2].split()
    state, start_time = fields[0], fields[19]
    return "" if state in "ZX" else start_time


def _started_elsewhere(pid: int) -> str:
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own pid
    state, _, began = found.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else began.strip()

"""Processes that are not our children, named so surely that they may be killed.

A pid alone is reused by the next process; a pid with its start time is not. An agent that
outlived its supervisor and an etcd that outlived its agent are found by what they wrote down.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from eco.etcd.pids import start_time

if TYPE_CHECKING:
    import signal
    from pathlib import Path

POLL = 0.01


class Identity(NamedTuple):
    """A process for its whole life: `started` is the machine's word for when it began."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Identity:
        """The process that has `pid` now; one that is not alive when there is none."""
        return cls(pid, start_time(pid) or "gone")

    @property
    def alive(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        return start_time(self.pid) == self.started

    def signal(self, number: signal.Signals) -> bool:
        """Send it, if the process still is the one we mean; whether it was."""
        with suppress(ProcessLookupError):
            if self.alive:
                os.kill(self.pid, number)
                return True
        return False


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

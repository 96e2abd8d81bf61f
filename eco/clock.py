"""The one clock that waits and ages are measured on.

It counts the time a machine sleeps: an agent that was suspended for ten minutes must know that its
plan is ten minutes old. It never jumps when the wall clock is set, and is never compared between
machines.
"""

from __future__ import annotations

import time

_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""macOS has no CLOCK_BOOTTIME; its CLOCK_MONOTONIC counts sleep, too (its `time.monotonic()` does not)."""


def now() -> float:
    """Seconds since this machine started, sleep included."""
    return time.clock_gettime(_CLOCK)

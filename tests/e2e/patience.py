"""Waiting for a condition with a deadline: the only way in which these tests let time pass."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PAUSE = 0.05
"""Seconds between two looks at a condition: finer than any deadline here, coarse enough for two cores."""


class TooLateError(AssertionError):
    """The condition did not come true before its deadline."""


def eventually(
    condition: Callable[[], T | None], within: float, what: str, *, explain: Callable[[], str] | None = None
) -> T:
    """The first truthy value of `condition`, asked until `within` seconds have passed.

    Raises `TooLateError`, naming `what` and, where given, what `explain` says of the world then.
    """
    deadline = time.monotonic() + within
    while True:
        if value := condition():
            return value
        if time.monotonic() >= deadline:
            detail = f"; {explain()}" if explain is not None else ""
            raise TooLateError(f"not within {within:g} s: {what}{detail}")
        time.sleep(PAUSE)


def throughout(condition: Callable[[], bool], during: float, what: str) -> None:
    """Assert that `condition` holds at every look for `during` seconds: for claims that something does not happen."""
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        assert condition(), f"did not hold all the time: {what}"
        time.sleep(PAUSE)

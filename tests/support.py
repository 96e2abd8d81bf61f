"""What the tests of every part share: waiting for conditions, and addresses that nobody else uses."""

from __future__ import annotations

import asyncio
import inspect
import socket
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

PAUSE = 0.02
"""Seconds between two looks at a condition."""


@overload
async def wait_until(predicate: Callable[[], Awaitable[T]], deadline: float, what: str) -> T: ...


@overload
async def wait_until(predicate: Callable[[], T], deadline: float, what: str) -> T: ...


async def wait_until(predicate: Callable[[], Any], deadline: float, what: str) -> Any:
    """Wait until `predicate` (plain or async) gives something true, and return it.

    Fails the test after `deadline` seconds, saying `what` did not come about.
    """
    end = time.monotonic() + deadline
    while True:
        answer = predicate()
        if value := (await answer if inspect.isawaitable(answer) else answer):
            return value
        if time.monotonic() > end:
            raise AssertionError(f"after {deadline:g} s still not: {what}")
        await asyncio.sleep(PAUSE)


def wait_until_sync(predicate: Callable[[], T], deadline: float, what: str) -> T:
    """As `wait_until`, for tests without an event loop."""
    end = time.monotonic() + deadline
    while True:
        if value := predicate():
            return value
        if time.monotonic() > end:
            raise AssertionError(f"after {deadline:g} s still not: {what}")
        time.sleep(PAUSE)


@dataclass(frozen=True)
class Address:
    """A place for one node: the default ports on a loopback address of its own, where that can be had."""

    host: str
    client_port: int = 2379
    peer_port: int = 2380
    metrics_port: int = 2381
    status_port: int = 2378

    @property
    def client_url(self) -> str:
        return f"http://{self.host}:{self.client_port}"

    @property
    def peer_url(self) -> str:
        return f"http://{self.host}:{self.peer_port}"

    @property
    def metrics_url(self) -> str:
        return f"http://{self.host}:{self.metrics_port}"


class Addresses:
    """Fresh addresses from a block that this process holds.

    A listening socket marks the block as ours, so that the kernel gives it back however the
    process ends: suites that run side by side, and the workers of one, never meet. Where
    127.0.0.0/8 is not all ours (macOS), every address is 127.0.0.1 with ports that were free.
    """

    def __init__(self) -> None:
        self._next = 1
        self._prefix = ""
        self._holder: socket.socket | None = None
        self._renew()

    def fresh(self) -> Address:
        """An address that nobody listens on and that was never given out before."""
        if sys.platform != "linux":
            return Address("127.0.0.1", *_free_ports(4))
        if self._next > 253:
            self._renew()
        self._next += 1
        return Address(f"{self._prefix}.{self._next - 1}")

    def several(self, count: int) -> tuple[Address, ...]:
        """`count` fresh addresses."""
        return tuple(self.fresh() for _ in range(count))

    def close(self) -> None:
        if self._holder is not None:
            self._holder.close()

    def _renew(self) -> None:
        """Take the next block that is free; the old one is kept until then, so that it is not it."""
        if sys.platform != "linux":
            return
        for third in range(1, 255):
            holder = socket.socket()
            try:
                holder.bind((f"127.80.{third}.254", 2377))
                holder.listen(1)
            except OSError:
                holder.close()
                continue
            self.close()
            self._prefix, self._holder, self._next = f"127.80.{third}", holder, 1
            return
        raise RuntimeError("every block of loopback addresses is taken")


def _free_ports(count: int) -> tuple[int, ...]:
    holders = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = tuple(int(holder.getsockname()[1]) for holder in holders)
    for holder in holders:
        holder.close()
    return ports

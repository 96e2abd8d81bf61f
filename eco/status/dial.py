"""Connections to addresses that somebody else wrote down.

An IP address is dialled as it is. A name is looked up in a thread of its own: asyncio would use
the threads in which the agent reads its disk, and a resolver that hangs would take them all and
then hold up the agent's exit.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections import Counter
from contextlib import suppress
from ssl import SSLError
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssl import SSLContext

CHUNK = 4096
ATTEMPT = 0.3
"""Seconds for each but the last of a name's addresses to accept."""

LOOKUPS_PER_NAME = 4
"""Threads that may hang on one name at a time."""

_lookups: Counter[str] = Counter()
_lookups_lock = threading.Lock()


async def dial(
    host: str, port: int, *, ssl: SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a bare host name or IP address; the caller bounds the time.

    Raises `OSError`: `ConnectionRefusedError` only when every address of the name refused.
    """
    return await first_to_accept(await addresses(host), port, ssl=ssl, name=host if ssl is not None else None)


async def first_to_accept(
    candidates: tuple[str, ...], port: int, *, ssl: SSLContext | None = None, name: str | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """As `dial`, with the addresses to try in order, at least one; `name` is what a certificate must say."""
    faults: list[OSError] = []
    for n, address in enumerate(candidates, 1):
        try:
            async with asyncio.timeout(ATTEMPT if n < len(candidates) else None):
                return await asyncio.open_connection(address, port, limit=CHUNK, ssl=ssl, server_hostname=name)
        except OSError as fault:
            faults.append(fault)
    raise next((fault for fault in faults if not isinstance(fault, ConnectionRefusedError)), faults[-1])


def reason(fault: OSError) -> str:
    """Why a connection failed, in the system's words: asyncio's repeat the address as Python prints it."""
    if isinstance(fault, (socket.gaierror, SSLError)) or not fault.errno:
        return fault.strerror or str(fault)
    return os.strerror(fault.errno).lower()


async def addresses(host: str) -> tuple[str, ...]:
    """The IP addresses of `host`: at least one, in the resolver's order. Raises `OSError`."""
    with suppress(socket.gaierror):
        return _numeric(host)
    with _lookups_lock:
        if _lookups[host] >= LOOKUPS_PER_NAME:
            raise OSError(f"the name {host} cannot be looked up: the resolver hangs")
        _lookups[host] += 1
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[tuple[str, ...]] = loop.create_future()
    threading.Thread(target=_look_up, args=(host, loop, outcome), name=f"look up {host}", daemon=True).start()
    return await outcome


def _numeric(host: str) -> tuple[str, ...]:
    try:
        return _getaddrinfo(host, socket.AI_NUMERICHOST)
    except UnicodeError as fault:
        raise OSError(f"{host!r} is no host name") from fault


def _getaddrinfo(host: str, flags: int = 0) -> tuple[str, ...]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=flags)
    return tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def _look_up(host: str, loop: asyncio.AbstractEventLoop, outcome: asyncio.Future[tuple[str, ...]]) -> None:
    found: tuple[str, ...] = ()
    fault: OSError | None = None
    try:
        found = _getaddrinfo(host)
    except OSError as refusal:
        fault = refusal
    finally:
        with _lookups_lock:
            _lookups[host] -= 1
            if not _lookups[host]:
                del _lookups[host]
    with suppress(RuntimeError):  # the loop has ended; nobody waits
        loop.call_soon_threadsafe(_settle, outcome, found, fault)


def _settle(outcome: asyncio.Future[tuple[str, ...]], found: tuple[str, ...], fault: OSError | None) -> None:
    if outcome.done():
        return
    if fault is not None:
        outcome.set_exception(fault)
    else:
        outcome.set_result(found)

"""Raw callers and raw servers: what may be at the other end of a connection."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

from eco.status.http import Limits, Request, Response, Server, serve, text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from eco.status.http import Handler

PATIENCE = 20.0
"""Seconds until a wait of a test has failed: generous, the machine may be busy."""

UNHURRIED = settings(deadline=None, suppress_health_check=(HealthCheck.too_slow,))
"""For examples that use sockets on a machine that may be busy."""

GOOD = b"GET /good HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Echo:
    """A handler that keeps what it was asked and answers with the path."""

    def __init__(self) -> None:
        self.seen: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        self.seen.append(request)
        return text(200, request.path)


@asynccontextmanager
async def serving(handler: Handler, *, limits: Limits | None = None) -> AsyncIterator[Server]:
    """A server that must leave no task behind."""
    before = asyncio.all_tasks()
    server = await serve("127.0.0.1", 0, handler, limits=limits)
    try:
        yield server
    finally:
        await asyncio.wait_for(server.close(), PATIENCE)
        assert asyncio.all_tasks() - before == set()


async def call(port: int, raw: bytes, *, end: bool = False) -> bytes:
    """Send these bytes and give all that comes back until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        if end:
            writer.write_eof()
        return await hear_out(reader)
    finally:
        writer.transport.abort()


async def hear_out(reader: asyncio.StreamReader) -> bytes:
    """Everything until the other side hangs up, politely or not."""
    heard = b""
    async with asyncio.timeout(PATIENCE):
        try:
            while chunk := await reader.read(65536):
                heard += chunk
        except ConnectionError:
            pass
    return heard


def status(answer: bytes) -> int:
    """The status code of a raw response, 0 if it is none."""
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, "it never came true"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def evil(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], host: str = "127.0.0.1"
) -> AsyncIterator[int]:
    """A server on which `answer` does what it likes to each caller; its port."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    meetings: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        meetings.add(asyncio.get_running_loop().create_task(meet(reader, writer)))

    server = await asyncio.start_server(accept, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for meeting in meetings:
            meeting.cancel()
        await asyncio.gather(*meetings, return_exceptions=True)


@asynccontextmanager
async def turning() -> AsyncIterator[Callable[[], int]]:
    """How often the loop has turned so far, for as long as this lasts."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(turn())
    try:
        yield lambda: turns
    finally:
        task.cancel()


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that neither accepts nor refuses: its queue of connections is full."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        yield full.getsockname()[1]
        for each in waiting:
            each.close()

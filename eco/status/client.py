"""A small HTTP/1.1 client for servers that may lie, drip or never answer.

One call, one connection. The deadline covers everything from the name's lookup to the body's last
byte, and what is read is bounded. No redirects, no cookies, no proxies, no retries: the caller
looks again at its next tick.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import h11

from eco.errors import Corrupt, Unavailable
from eco.status.dial import CHUNK, dial, reason
from eco.status.http import CRUMBS, Response

if TYPE_CHECKING:
    from ssl import SSLContext

HEADER_BYTES = 16 * 1024
BODY_BYTES = 256 * 1024


async def get(  # noqa: PLR0913 -- a request has that many parts
    host: str,
    port: int,
    path: str,
    *,
    deadline: float,
    max_body: int = BODY_BYTES,
    ssl: SSLContext | None = None,
) -> Response:
    """GET `path` (with its query, encoded); as `request`."""
    return await request("GET", host, port, path, deadline=deadline, max_body=max_body, ssl=ssl)


async def request(  # noqa: PLR0913 -- a request has that many parts
    method: str,
    host: str,
    port: int,
    path: str,
    *,
    deadline: float,
    headers: tuple[tuple[str, str], ...] = (),
    max_body: int = BODY_BYTES,
    ssl: SSLContext | None = None,
) -> Response:
    """One request without a body, and its response whatever the status. `deadline` in seconds.

    Raises `Unavailable` (nobody there, hung up, too late) and `Corrupt` (not HTTP, or more than
    `max_body` bytes).
    """
    where = authority(host, port)
    try:
        async with asyncio.timeout(deadline):
            reader, writer = await dial(host, port, ssl=ssl)
            opening = h11.Request(
                method=method, target=path, headers=[("Host", where), *headers, ("Connection", "close")]
            )
            try:
                return await _Call(reader, writer, max_body).make(opening)
            finally:
                writer.transport.abort()
    except TimeoutError as fault:
        raise Unavailable(f"{where} gave no full answer within {deadline:g} s") from fault
    except OSError as fault:
        raise Unavailable(f"{where} cannot be asked: {reason(fault)}") from fault
    except _HungUp as fault:
        raise Unavailable(f"{where} cannot be asked: {fault}") from fault
    except h11.RemoteProtocolError as fault:
        raise Corrupt(f"{where} does not speak HTTP: {fault}") from fault


def authority(host: str, port: int) -> str:
    """`host:port` as URLs and the Host header write it: IPv6 addresses in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _HungUp(Exception):
    """The server closed the connection before its response was complete."""


class _Call:
    """One request and its response on one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, max_body: int) -> None:
        self._reader = reader
        self._writer = writer
        self._max_body = max_body
        self._received = 0
        self._pieces = 0
        self._ended = False
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEADER_BYTES)

    async def make(self, opening: h11.Request) -> Response:
        self._writer.write((self._h11.send(opening) or b"") + (self._h11.send(h11.EndOfMessage()) or b""))
        await self._writer.drain()
        head = await self._next_event()
        while isinstance(head, h11.InformationalResponse):
            head = await self._next_event()
        if not isinstance(head, h11.Response):
            raise h11.RemoteProtocolError("no response")
        body = bytearray()
        while isinstance(event := await self._next_event(), h11.Data):
            body += event.data
            if len(body) > self._max_body:
                raise h11.RemoteProtocolError(f"a body of more than {self._max_body} bytes")
        headers = tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in head.headers)
        return Response(head.status_code, bytes(body), headers)

    async def _next_event(self) -> object:
        try:
            while (event := self._h11.next_event()) is h11.NEED_DATA:
                await self._read()
        except h11.RemoteProtocolError as fault:
            if self._ended:
                raise _HungUp("it hung up in the middle of its answer") from fault
            raise
        self._pieces += 1
        if self._pieces > CRUMBS:
            raise h11.RemoteProtocolError(f"an answer in more than {CRUMBS} pieces")
        return event

    async def _read(self) -> None:
        chunk = await self._reader.read(CHUNK)
        # The reader may hold more already: let the rest of the agent run before we parse on.
        await asyncio.sleep(0)
        self._received += len(chunk)
        if self._received > 2 * HEADER_BYTES + self._max_body:
            raise h11.RemoteProtocolError(f"an answer of more than {self._max_body} bytes")
        self._ended = not chunk
        self._h11.receive_data(chunk)

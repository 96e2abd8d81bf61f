"""A small HTTP/1.1 server for a port that anybody may reach.

h11 reads and writes the protocol, asyncio's streams carry it; this module owns time and space.
Whoever calls, however badly, costs at most what `Limits` says: every wait has a deadline, every
buffer a bound, every connection a task that `Server.close` ends. When places run out the
connection that has waited longest for its caller's next byte gives up its own, so that idle or
slow callers never keep a health probe out.

A caller that breaks a limit or the protocol gets one short answer (400, 408, 413, 431, 503) and
is hung up on. A handler that raises is a bug of ours: 500, logged once.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import h11

from eco.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from ssl import SSLContext

log = logging.getLogger(__name__)

CHUNK = 4096
"""Bytes parsed at a time: small, because nothing else of the agent runs meanwhile."""

CRUMBS = 300
"""Pieces that a message may come in: a body of one-byte chunks costs two hundred times its length."""

LINGER = 1.0
LINGER_BYTES = 256 * 1024
"""After a last answer we read on for this long and this far: closing on unread bytes resets the
connection, and the answer could be lost on its way (RFC 9112, 9.6)."""

QUERY_FIELDS = 32

ALWAYS = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))
"""Headers of every response: they tell of this moment, and are what they say they are."""

PLAIN = ("Content-Type", "text/plain; charset=utf-8")


@dataclass(frozen=True)
class Request:
    """One request, complete. Header names are in lower case, repeated ones joined by ", ".

    `certificate` is the caller's as `ssl.SSLSocket.getpeercert` gives it, None without one;
    `address` is where the call came from.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    certificate: Mapping[str, Any] | None = None
    address: str = ""


@dataclass(frozen=True)
class Response:
    """One response, complete; the server adds the headers of the connection, and `ALWAYS`."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


def text(status: int, sentence: str) -> Response:
    """A response for a human: one sentence."""
    return Response(status, f"{sentence}\n".encode(), (PLAIN,))


Handler: TypeAlias = "Callable[[Request], Awaitable[Response]]"


@dataclass(frozen=True)
class Limits:
    """What callers may cost us, in bytes, seconds and numbers."""

    header_bytes: int = 16 * 1024
    """Of what is not complete yet: a header may be one `CHUNK` longer."""
    body_bytes: int = 64 * 1024
    receive: float = 5.0
    """From a request's first byte to its last; also to the first byte on a new connection."""
    idle: float = 30.0
    """Between two requests on one connection."""
    handle: float = 30.0
    """For the handler; beyond, the caller hears 503."""
    send: float = 5.0
    """For a caller to take its response."""
    requests: int = 100
    """On one connection."""
    connections: int = 256
    connections_per_address: int = 64


async def serve(
    host: str, port: int, handler: Handler, *, ssl: SSLContext | None = None, limits: Limits | None = None
) -> Server:
    """Listen on `host` ("" for every address) and answer with `handler` until `Server.close`.

    Raises `Unavailable` when the address cannot be had.
    """
    server = Server(handler, ssl=ssl, limits=limits or Limits())
    await server.listen(host, port)
    return server


class Server:
    """The listener, and every connection it has accepted."""

    def __init__(self, handler: Handler, *, ssl: SSLContext | None, limits: Limits) -> None:
        self.limits = limits
        self.ssl = ssl
        self.closing = False
        self._handler = handler
        self._listener: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._last_fault = ""

    async def listen(self, host: str, port: int) -> None:
        """Begin to accept. Raises `Unavailable`."""
        try:
            self._listener = await asyncio.start_server(self._accept, host or None, port, limit=CHUNK)
        except (OSError, UnicodeError) as fault:
            raise Unavailable(_why_not(host, port, fault)) from fault

    @property
    def port(self) -> int:
        """The port we listen on, also when it was given as 0."""
        if self._listener is None or not self._listener.sockets:
            return 0
        return int(self._listener.sockets[0].getsockname()[1])

    async def close(self, grace: float = 1.0) -> None:
        """Stop listening; let requests in hand finish within `grace` seconds, end all else at once."""
        self.closing = True
        if self._listener is not None:
            self._listener.close()
        for task, connection in self._connections.items():
            if connection.waiting_since is not None:
                task.cancel()
        await self._ended(grace)
        for task in self._connections:
            task.cancel()
        await self._ended(1.0)

    async def _ended(self, patience: float) -> None:
        if self._connections:
            await asyncio.wait(tuple(self._connections), timeout=patience)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, reader, writer)
        if self.closing or not self._make_room(connection.address):
            connection.refuse()
            return
        task = asyncio.get_running_loop().create_task(connection.run())
        self._connections[task] = connection
        task.add_done_callback(self._ended_one)

    def _make_room(self, address: str) -> bool:
        """Whether one more connection from `address` fits, after hanging up on whom it takes."""
        staying = {task: c for task, c in self._connections.items() if not c.evicted}
        neighbours = {task: c for task, c in staying.items() if c.address == address}
        if len(neighbours) >= self.limits.connections_per_address:
            return _evict(neighbours)
        return len(staying) < self.limits.connections or _evict(staying)

    def _ended_one(self, task: asyncio.Task[None]) -> None:
        # Here, because a task that is cancelled before its first step runs no `finally`.
        self._connections.pop(task).abort()
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._log(fault, "Serving an HTTP connection failed")

    async def answer(self, request: Request) -> Response:
        """The handler's response, or ours when it fails or takes too long."""
        task = asyncio.ensure_future(self._handler(request))
        try:
            in_time, _ = await asyncio.wait((task,), timeout=self.limits.handle)
        finally:
            task.cancel()
        if not in_time or task.cancelled():
            return text(503, "this took too long; try again")
        if (fault := task.exception()) is not None:
            self._log(fault, f"The handler of {request.method} {request.path!r} failed")
            return text(500, "an internal error; the agent's log has it")
        return task.result()

    def _log(self, fault: BaseException, what: str) -> None:
        """Once for the same fault in a row: callers must not be able to fill the log."""
        if repr(fault) != self._last_fault:
            self._last_fault = repr(fault)
            log.error("%s.", what, exc_info=fault, extra={"event": "http.fault"})


def _evict(candidates: Mapping[asyncio.Task[None], _Connection]) -> bool:
    """Hang up on the connection that has waited longest for its caller; False if none waits."""
    waiting = [(c.waiting_since, n) for n, c in enumerate(candidates.values()) if c.waiting_since is not None]
    if not waiting:
        return False
    task = tuple(candidates)[min(waiting)[1]]
    candidates[task].evicted = True
    task.cancel()
    return True


class _Rejected(Exception):
    """The caller broke a limit or the protocol; it gets `response` and is hung up on."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.response = text(status, sentence)


class _Connection:
    """One caller's connection: requests and responses, one after the other."""

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.address = str((writer.get_extra_info("peername") or ("",))[0])
        self.evicted = False
        self.waiting_since: float | None = asyncio.get_running_loop().time()
        """Since when we wait for this caller; None while it waits for us."""
        self._server = server
        self._limits = server.limits
        self._reader = reader
        self._writer = writer
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.header_bytes)
        self._received = 0
        self._pieces = 0
        self._deadline: asyncio.Timeout | None = None

    def refuse(self) -> None:
        """Hang up at once, saying why if that needs no handshake."""
        if self._server.ssl is None:
            self._writer.write(self._encode(text(503, "too many connections; try again"), head=False, close=True))
        self.abort()

    async def run(self) -> None:
        """Serve until either side has had enough."""
        try:
            await self._secure()
            served = 0
            while await self._exchange(first=served == 0, last=served + 1 >= self._limits.requests):
                served += 1
            await self._hang_up()
        except OSError:
            log.debug("A caller went away or took too long.")

    def abort(self) -> None:
        """Drop the connection, and what is not sent yet."""
        self._writer.transport.abort()

    async def _secure(self) -> None:
        """The TLS handshake: here rather than in the listener, so that it counts as a connection."""
        if self._server.ssl is not None:
            await self._writer.start_tls(self._server.ssl, ssl_handshake_timeout=self._limits.receive)
        # `drain` then waits until the kernel has every byte, which is what the send deadline means.
        self._writer.transport.set_write_buffer_limits(0)

    async def _exchange(self, *, first: bool, last: bool) -> bool:
        """One request and its response; whether another may follow."""
        head = False
        try:
            request = await self._receive(first=first)
            if request is None:
                return False
            head = request.method == "HEAD"
            response = await self._server.answer(request)
        except _Rejected as rejected:
            response, last = rejected.response, True
        except h11.RemoteProtocolError as fault:
            response, last = text(fault.error_status_hint, f"this is not HTTP as we speak it: {fault}"), True
        await self._send(self._encode(response, head=head, close=last or self._server.closing))
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            return False
        self._h11.start_next_cycle()
        return True

    # -------------------------------------------------- receiving

    async def _receive(self, *, first: bool) -> Request | None:
        """The next request; None when the caller hung up or sent nothing."""
        begun = bool(self._h11.trailing_data[0])
        self._received = self._pieces = 0
        self.waiting_since = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._limits.receive if first or begun else self._limits.idle) as deadline:
                self._deadline = None if first or begun else deadline
                return await self._read_request()
        except TimeoutError as fault:
            if not self._received and not begun:
                return None
            raise _Rejected(408, "the request did not arrive in time") from fault
        finally:
            self.waiting_since = None

    async def _read_request(self) -> Request | None:
        event = await self._next_event()
        if not isinstance(event, h11.Request):
            return None
        length = next((int(value) for name, value in event.headers if name == b"content-length"), 0)
        body = bytearray()
        while length <= self._limits.body_bytes and isinstance(data := await self._next_event(), h11.Data):
            body += data.data
            length = max(length, len(body))
        if length > self._limits.body_bytes:
            raise _Rejected(413, f"a body may have {self._limits.body_bytes} bytes")
        return self._request(event, bytes(body))

    async def _next_event(self) -> object:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            if self._h11.they_are_waiting_for_100_continue:
                go_on = self._h11.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
                await self._send(go_on or b"")
            await self._read()
        self._pieces += 1
        if self._pieces > CRUMBS:
            raise _Rejected(413, "the request comes in too many pieces")
        return event

    async def _read(self) -> None:
        chunk = await self._reader.read(CHUNK)
        # The reader may hold more already: let the rest of the agent run before we parse on.
        await asyncio.sleep(0)
        if self._deadline is not None and chunk:
            self._deadline.reschedule(asyncio.get_running_loop().time() + self._limits.receive)
            self._deadline = None
        self._received += len(chunk)
        # Chunk headers and trailers are no body, but they cost as much to read.
        if self._received > 2 * self._limits.header_bytes + self._limits.body_bytes:
            raise _Rejected(413, "the request is too long")
        self._h11.receive_data(chunk)

    def _request(self, event: h11.Request, body: bytes) -> Request:
        try:
            target = urlsplit(event.target.decode("ascii"))
            query = dict(parse_qsl(target.query, keep_blank_values=True, max_num_fields=QUERY_FIELDS))
        except ValueError as fault:
            raise _Rejected(400, "the request's target is not a URL") from fault
        headers: dict[str, str] = {}
        for raw_name, raw_value in event.headers:
            name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return Request(
            method=event.method.decode("ascii"),
            path=target.path or "/",
            query=query,
            headers=headers,
            body=body,
            certificate=self._writer.get_extra_info("peercert") or None,
            address=self.address,
        )

    # -------------------------------------------------- sending

    def _encode(self, response: Response, *, head: bool, close: bool) -> bytes:
        headers = [
            ("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())),
            ("Content-Length", str(len(response.body))),
            *ALWAYS,
            *response.headers,
            *((("Connection", "close"),) if close else ()),
        ]
        events: list[h11.Event] = [h11.Response(status_code=response.status, headers=headers)]
        if response.body and not head:
            events.append(h11.Data(data=response.body))
        events.append(h11.EndOfMessage())
        return b"".join(self._h11.send(event) or b"" for event in events)

    async def _send(self, data: bytes) -> None:
        async with asyncio.timeout(self._limits.send):
            self._writer.write(data)
            await self._writer.drain()

    async def _hang_up(self) -> None:
        self.waiting_since = asyncio.get_running_loop().time()
        async with asyncio.timeout(LINGER):
            if self._writer.can_write_eof():
                self._writer.write_eof()
                await self._discard()
            self._writer.close()
            await self._writer.wait_closed()

    async def _discard(self) -> None:
        left = LINGER_BYTES
        while left > 0 and (chunk := await self._reader.read(CHUNK)):
            left -= len(chunk)
            await asyncio.sleep(0)


def _why_not(host: str, port: int, fault: Exception) -> str:
    address = f"{host or 'every address'}, port {port}"
    match getattr(fault, "errno", None):
        case errno.EADDRINUSE:
            return f"{address} is in use by another process: stop that one, or choose another status port"
        case errno.EADDRNOTAVAIL:
            return f"{address} is no address of this machine: correct the instance's address"
        case errno.EACCES:
            return f"{address} needs privileges that this process lacks: choose a status port above 1023"
        case _:
            return f"cannot listen on {address}: {fault}"

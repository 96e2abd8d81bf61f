"""How a second terminal talks to the supervisor: one line of JSON each way over a Unix socket.

The socket lies in the cluster's directory, for its owner alone. The kernel limits a socket's path
to about a hundred bytes, so both sides bind and connect from inside the directory.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from eco.errors import EcoError
from eco.formats import dump, parse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from eco.cli.dev.home import Home

log = logging.getLogger(__name__)

NAME = "control.sock"
LINE = 1 << 16
RECEIVE = 5.0
"""Seconds for a request to arrive."""
PATIENCE = 120.0
"""Seconds for the supervisor to do what it was asked."""


class Verb(Enum):
    """What may be asked of a supervisor."""

    STATUS = "status"
    STOP = "stop"
    ADD = "add"
    KILL = "kill"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    WIPE = "wipe"
    TERMINATE = "terminate"


@dataclass(frozen=True)
class Order:
    """What the second terminal wants done, and to which node."""

    do: Verb
    node: str | None = None
    agent: bool = True
    etcd: bool = True
    seconds: float | None = None


Perform: TypeAlias = "Callable[[Order], Awaitable[dict[str, Any]]]"


@contextmanager
def listener(home: Home) -> Iterator[socket.socket]:
    """The listening socket in the cluster's directory; an old one is replaced."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path = home.root / NAME
    path.unlink(missing_ok=True)
    try:
        with _inside(home.root):
            server.bind(NAME)
        path.chmod(0o600)
        server.listen()
        yield server
    finally:
        server.close()
        path.unlink(missing_ok=True)


async def serve(sock: socket.socket, perform: Perform) -> asyncio.Server:
    """Perform what arrives, one order per connection. An `EcoError` is the answer's sentence."""

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await _answer(reader, perform)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (TimeoutError, ConnectionError, ValueError):
            log.debug("Whoever asked went away, or talked too long.")
        finally:
            writer.close()

    return await asyncio.start_unix_server(attend, sock=sock, limit=LINE)


def ask(home: Home, order: Order) -> dict[str, Any]:
    """Have the supervisor do it; its answer. Raises `EcoError`: it said no, or there is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(PATIENCE)
        try:
            with _inside(home.root):
                caller.connect(NAME)
            caller.sendall(dump(order))
            with caller.makefile("rb") as stream:
                answer = json.loads(stream.readline() or b"{}")
        except (FileNotFoundError, ConnectionRefusedError) as absent:
            raise EcoError(f"no dev cluster runs in {home.root}: start `eco dev`, or name its --dir") from absent
        except (OSError, ValueError) as fault:
            raise EcoError(f"the dev cluster in {home.root} did not answer: {fault}") from fault
    if not isinstance(answer, dict) or not answer.get("ok"):
        raise EcoError(str(answer.get("said") or "the dev cluster ended in the middle of it"))
    return cast("dict[str, Any]", answer)


async def _answer(reader: asyncio.StreamReader, perform: Perform) -> dict[str, Any]:
    async with asyncio.timeout(RECEIVE):
        line = await reader.readline()
    try:
        return {"ok": True, **await perform(parse(Order, line, "the order"))}
    except EcoError as fault:
        return {"ok": False, "said": str(fault)}


@contextmanager
def _inside(directory: Path) -> Iterator[None]:
    """Work from `directory` for a moment; nothing else of the process may depend on the cwd."""
    before = os.open(".", os.O_RDONLY)
    try:
        os.chdir(directory)
        yield
    finally:
        os.fchdir(before)
        os.close(before)

"""The probe: is the service there? Asked every ten milliseconds, never waiting for the last answer.

    python -m bench.probe write|read LOG ADDRESS...

A request every `EVERY` seconds to the next address in turn, each on a connection of its own through
etcd's JSON gateway, so that neither a client's back-off nor a hanging request makes the answer
coarser. `write` puts a key; `read` is a linearizable read. LOG gets one line per success: when it
ended, on CLOCK_MONOTONIC. SIGTERM ends it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TextIO

EVERY = 0.01
DEADLINE = 2.0
PORT = 2379


def request(verb: str, address: str) -> bytes:
    """One HTTP request; the connection ends with it."""
    key = base64.b64encode(b"bench/probe").decode()
    path, body = ("kv/put", {"key": key, "value": key}) if verb == "write" else ("kv/range", {"key": key})
    raw = json.dumps(body).encode()
    head = f"POST /v3/{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {len(raw)}\r\n\r\n"
    return head.encode() + raw


async def ask(verb: str, address: str, log: TextIO) -> None:
    """Ask once; log it if it succeeded."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(DEADLINE):
            reader, writer = await asyncio.open_connection(address, PORT)
            try:
                writer.write(request(verb, address))
                line = await reader.readline()
            finally:
                writer.close()
        if b" 200 " in line:
            log.write(f"{time.monotonic()}\n")


async def main(verb: str, file: str, *addresses: str) -> None:
    """Ask for ever."""
    due = time.monotonic()
    with Path(file).open("w", buffering=1) as log:  # noqa: ASYNC230 - a short line at a time
        async with asyncio.TaskGroup() as tasks:
            turn = 0
            while True:
                tasks.create_task(ask(verb, addresses[turn % len(addresses)], log))
                turn += 1
                due += EVERY
                await asyncio.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

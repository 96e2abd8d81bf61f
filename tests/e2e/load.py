"""The load, in a process of its own so that no pause of the test's disturbs it.

    python -m tests.e2e.load ENDPOINTS LOG PREFIX RATE

ENDPOINTS is a JSON list of host:port, re-read when it changes; LOG receives one JSON list a line
(the forms are those of `tests.e2e.ledger`). Writers put unique keys by an open loop: a put that
hangs does not hold back the next one, so a gap between acknowledgements is the service's, not the
client's. As real clients do, a writer leaves out an endpoint for a moment after it failed. A reader
asks linearizable reads of the newest acknowledged key, and a recorder asks every endpoint ever used
who it thinks leads it. SIGTERM: the requests in flight are let finish, then it ends.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio
from aetcd.rpc import KVStub, MaintenanceStub, PutRequest, RangeRequest, StatusRequest

if TYPE_CHECKING:
    from collections.abc import Callable

WRITERS = 8
READS_PER_SECOND = 10
LOOKS_PER_SECOND = 4
PUT_DEADLINE = 5.0
"""Above an election, below etcd's own request time-out of 7 s."""
LOOK_DEADLINE = 0.5
SHUNNED = 0.1
"""Seconds for which a writer leaves out an endpoint that has just failed."""
CHANNEL_OPTIONS = (
    ("grpc.enable_retries", 0),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.use_local_subchannel_pool", 1),
)


class Endpoint:
    """One client address and what we think of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.shunned_until = 0.0
        channel = grpc.aio.insecure_channel(name, options=CHANNEL_OPTIONS)
        self.channel = channel
        self.kv = KVStub(channel)
        self.maintenance = MaintenanceStub(channel)


class Load:
    """Everything that runs; results go to `emit` as lists."""

    def __init__(self, endpoints: Path, prefix: str, rate: float, emit: Callable[[list[Any]], None]) -> None:
        self.file = endpoints
        self.prefix = prefix
        self.rate = rate
        self.emit = emit
        self.seen_mtime = 0
        self.endpoints: dict[str, Endpoint] = {}
        self.newest: tuple[str, int] | None = None
        self.stopping = asyncio.Event()

    def refresh(self) -> None:
        """Take up new endpoints; one that was ever used is asked for ever."""
        mtime = self.file.stat().st_mtime_ns
        if mtime == self.seen_mtime:
            return
        self.seen_mtime = mtime
        for name in json.loads(self.file.read_text()):
            if name not in self.endpoints:
                self.endpoints[name] = Endpoint(name)

    def pick(self, turn: int) -> Endpoint:
        """The endpoint whose turn it is, or the next one that has not just failed."""
        every = list(self.endpoints.values())
        now = time.monotonic()
        order = [every[(turn + step) % len(every)] for step in range(len(every))]
        return next((endpoint for endpoint in order if endpoint.shunned_until <= now), order[0])

    async def put(self, endpoint: Endpoint, key: str, value: str) -> None:
        begun = time.monotonic()
        request = PutRequest(key=key.encode(), value=value.encode())
        try:
            answer = await endpoint.kv.Put(request, timeout=PUT_DEADLINE)
        except grpc.aio.AioRpcError as fault:
            ended = time.monotonic()
            endpoint.shunned_until = ended + SHUNNED
            self.emit(["failed", endpoint.name, begun, ended, key, f"{fault.code().name}: {fault.details()}"])
            return
        header = answer.header
        self.newest = (key, header.revision)
        self.emit(["put", endpoint.name, begun, time.monotonic(), *_identity(header), header.revision, key, value])

    async def read(self, endpoint: Endpoint, key: str) -> None:
        begun = time.monotonic()
        try:
            answer = await endpoint.kv.Range(RangeRequest(key=key.encode()), timeout=PUT_DEADLINE)
        except grpc.aio.AioRpcError:
            endpoint.shunned_until = time.monotonic() + SHUNNED
            return
        header = answer.header
        found = bool(answer.kvs)
        self.emit(["read", endpoint.name, begun, time.monotonic(), *_identity(header), header.revision, key, found])

    async def look(self, endpoint: Endpoint) -> None:
        begun = time.monotonic()
        try:
            answer = await endpoint.maintenance.Status(StatusRequest(), timeout=LOOK_DEADLINE)
        except grpc.aio.AioRpcError:
            return
        identity = _identity(answer.header)
        self.emit(["look", endpoint.name, begun, time.monotonic(), *identity, f"{answer.leader:x}"])

    async def write_for_ever(self, writer: int, tasks: asyncio.TaskGroup) -> None:
        """One writer: a put every `WRITERS / rate` seconds, whether or not the earlier ones have returned."""
        pause = WRITERS / self.rate
        due = time.monotonic() + pause * writer / WRITERS
        sequence = 0
        while not self.stopping.is_set():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + pause, time.monotonic() - 1)
            key = f"{self.prefix}{writer}/{sequence:08d}"
            tasks.create_task(self.put(self.pick(writer + sequence), key, f"{self.prefix}{writer}={sequence}"))
            sequence += 1

    async def read_for_ever(self, tasks: asyncio.TaskGroup) -> None:
        turn = 0
        while not self.stopping.is_set():
            await asyncio.sleep(1 / READS_PER_SECOND)
            if self.newest is not None:
                tasks.create_task(self.read(self.pick(turn), self.newest[0]))
            turn += 1

    async def look_for_ever(self, tasks: asyncio.TaskGroup) -> None:
        while not self.stopping.is_set():
            self.refresh()
            for endpoint in self.endpoints.values():
                tasks.create_task(self.look(endpoint))
            await asyncio.sleep(1 / LOOKS_PER_SECOND)

    async def run(self) -> None:
        self.refresh()
        async with asyncio.TaskGroup() as tasks:
            for writer in range(WRITERS):
                tasks.create_task(self.write_for_ever(writer, tasks))
            tasks.create_task(self.read_for_ever(tasks))
            tasks.create_task(self.look_for_ever(tasks))
        for endpoint in self.endpoints.values():
            await endpoint.channel.close()


def _identity(header: Any) -> tuple[str, str, int]:
    """Cluster id, member id and term of an answer."""
    return f"{header.cluster_id:x}", f"{header.member_id:x}", int(header.raft_term)


async def main(endpoints: str, log: str, prefix: str, rate: str) -> None:
    with Path(log).open("w", buffering=1) as out:  # noqa: ASYNC230 - one line at a time to a local file

        def emit(record: list[Any]) -> None:
            out.write(json.dumps(record) + "\n")

        load = Load(Path(endpoints), prefix, float(rate), emit)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, load.stopping.set)
        await load.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""Plain etcd servers for the tests of what speaks to etcd or reads its files."""

from __future__ import annotations

import asyncio
import subprocess
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from eco.etcd.client import EtcdClient
    from tests.support import Address

TOKEN = "tests"  # noqa: S105 - etcd's cluster token is no secret
SERVING = 20.0
"""Seconds that a start may take on a busy machine."""


async def until(claim: Callable[[], Awaitable[bool]], deadline: float, what: str) -> None:
    """Wait until `claim` is true; fail after `deadline` seconds, saying `what` did not come about."""
    end = time.monotonic() + deadline
    while not await claim():
        assert time.monotonic() < end, f"after {deadline:g} s still not: {what}"
        await asyncio.sleep(0.02)


async def output(*argv: object) -> str:
    """Run a program, which has to succeed, and give what it prints."""
    process = await asyncio.create_subprocess_exec(*map(str, argv), stdout=subprocess.PIPE)
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return printed.decode()


@dataclass
class Server:
    """One etcd by hand. `flags` are added to the usual ones."""

    etcd: Path
    name: str
    at: Address
    directory: Path
    initial: str = ""
    state: str = "new"
    flags: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def urls(self) -> tuple[str, ...]:
        return (self.at.client_url,)

    @property
    def founding(self) -> str:
        return f"{self.name}={self.at.peer_url}"

    @property
    def wal(self) -> Path:
        return self.directory / "member" / "wal"

    def argv(self) -> list[str]:
        return [
            str(self.etcd),
            f"--name={self.name}",
            f"--data-dir={self.directory}",
            f"--listen-client-urls={self.at.client_url}",
            f"--advertise-client-urls={self.at.client_url}",
            f"--listen-peer-urls={self.at.peer_url}",
            f"--initial-advertise-peer-urls={self.at.peer_url}",
            f"--initial-cluster={self.initial or self.founding}",
            f"--initial-cluster-token={TOKEN}",
            f"--initial-cluster-state={self.state}",
            "--unsafe-no-fsync",
            "--log-level=error",
            *self.flags,
        ]

    def start(self) -> None:
        with (self.directory.parent / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(self.argv(), stdout=log, stderr=log)

    def kill(self) -> None:
        """SIGKILL it and wait for its end; idempotent."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def ended(self, deadline: float) -> int:
        """Wait until it ends by itself, and give its exit status."""
        assert self.process is not None
        return self.process.wait(deadline)

    async def served(self, client: EtcdClient) -> None:
        await until(lambda: client.readable(self.urls), SERVING, f"{self.name} serves")


def founders(etcd: Path, places: Sequence[Address], home: Path, flags: Sequence[str] = ()) -> tuple[Server, ...]:
    """Describe the members of a static cluster, named a, b, c; nothing is started."""
    servers = [Server(etcd, name, at, home / name, flags=flags) for name, at in zip("abcdefg", places, strict=False)]
    initial = ",".join(server.founding for server in servers)
    for server in servers:
        server.initial = initial
    return tuple(servers)


@asynccontextmanager
async def serving(servers: Sequence[Server], client: EtcdClient) -> AsyncIterator[None]:
    """Start all, wait until all serve, and kill what is left at the end."""
    try:
        for server in servers:
            server.start()
        for server in servers:
            await server.served(client)
        yield
    finally:
        for server in servers:
            server.kill()
        await client.close()

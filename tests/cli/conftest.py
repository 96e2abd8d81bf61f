"""Commands run in this process, and agents that say what a test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import yaml
from typer.testing import CliRunner, Result

from eco.cli.app import app
from eco.cli.argv import normalise
from eco.status.http import Response, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from eco.status.http import Request
    from tests.support import Address, Addresses

Eco: TypeAlias = Callable[..., Awaitable[Result]]


@pytest.fixture
def eco() -> Eco:
    """`await eco("status", …)`: the command in a thread of its own, as it begins its own loop."""

    async def invoke(*arguments: str | Path, **env: str) -> Result:
        written = normalise([str(argument) for argument in arguments])
        environment = {"COLUMNS": "80", "ECO_CONFIG": "/nowhere/eco.yaml", **env}
        return await asyncio.to_thread(CliRunner().invoke, app, list(written), env=environment)

    return invoke


@dataclass
class FakeAgent:
    """Answers on a status port as an agent would, with what the test sets."""

    name: str
    address: Address
    document: dict[str, Any] = field(default_factory=dict)
    raw: bytes | None = None
    answers: dict[str, Response] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)

    async def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        if request.path in self.answers:
            return self.answers[request.path]
        return Response(200, self.raw if self.raw is not None else json.dumps(self.document).encode())


def serving(name: str, member: str, *, leader: str = "1", members: int = 3, **more: Any) -> dict[str, Any]:
    """The status page of a healthy node, as far as the command line reads it."""
    rows = [
        {
            "id": str(n),
            "name": f"n{n}",
            "leader": str(n) == leader,
            "raft_index": 100,
            "applied_index": 100 - n,
            "db_size": 20480,
            "version": "3.6.14",
        }
        for n in range(1, members + 1)
    ]
    return {
        "version": 1,
        "name": name,
        "situation": "SERVING",
        "because": f"{name} serves",
        "cluster": "test",
        "generation": 1,
        "member_id": member,
        "cluster_id": "c1",
        "leader": leader,
        "serving": True,
        "revision": 42,
        "etcd": "3.6.14",
        "desired": members,
        "members": rows,
        **more,
    }


@pytest.fixture
async def trio(addresses: Addresses) -> AsyncIterator[list[FakeAgent]]:
    """Three agents of a healthy cluster: n1 leads."""
    agents = [
        FakeAgent(f"n{n}", address, serving(f"n{n}", str(n))) for n, address in enumerate(addresses.several(3), start=1)
    ]
    servers = [await serve(agent.address.host, agent.address.status_port, agent) for agent in agents]
    yield agents
    for server in servers:
        await server.close()


def configure(directory: Path, agents: list[FakeAgent], **eco: Any) -> Path:
    """An `eco.yaml` for the first of the agents, in a group of all."""
    rows = [
        {
            "name": agent.name,
            "address": agent.address.host,
            "client-port": agent.address.client_port,
            "peer-port": agent.address.peer_port,
            "status-port": agent.address.status_port,
        }
        for agent in agents
    ]
    document = {
        "eco": {
            "cluster": "test",
            "etcd": {"data-dir": str(directory / "data")},
            "asg": {"provider": "static", "name": agents[0].name, "instances": rows},
            "snapshot": {"provider": "file", "dir": str(directory / "store")},
            **eco,
        }
    }
    path = directory / "eco.yaml"
    path.write_text(yaml.safe_dump(document))
    return path

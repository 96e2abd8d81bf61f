"""The API's promises, over real connections: probes, page, metrics, and who may ask for what."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from eco.core.model import Cluster, Report
from eco.core.sight import Known
from eco.core.steps import Hold
from eco.errors import Refused, Unavailable
from eco.formats import parse
from eco.status.api import StatusApi
from eco.status.client import request
from tests.status.wire import PATIENCE, call, serving, status
from tests.status.worlds import NOW, decision, empty, healthy, page_of, report_of, status_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from eco.status.http import Response
    from eco.status.page import Page

TOKEN = "s3cret-token"  # noqa: S105 -- of a test
BEARER = f"Bearer {TOKEN}"


class Agent:
    """What stands behind an API: a page that can be replaced, a clock that can be moved."""

    def __init__(self, page: Page | None = None, token: str = TOKEN) -> None:
        self.page = page
        self.now = NOW
        self.done: list[str] = []
        self.peers: list[str] = []
        self.measured = 0
        self.api = StatusApi(
            lambda: self.page,
            {"leave": self.leave, "pause": self.pause, "resume": self.resume},
            token,
            self.metrics,
            clock=lambda: self.now,
            stuck_after=30.0,
            on_peer=self.peers.append,
        )

    async def leave(self) -> str:
        self.done.append("leave")
        return "a will leave once another node leads"

    async def pause(self) -> str:
        raise Refused("a is leaving")

    async def resume(self) -> str:
        raise Unavailable("the disk is full")

    def metrics(self) -> bytes:
        self.measured += 1
        return b"eco_etcd_up 1\n"


class Caller:
    """Calls the API over a connection of its own each time."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __call__(self, line: str, **headers: str) -> Response:
        method, path = line.split(" ")
        given = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return await request(method, "127.0.0.1", self._port, path, deadline=PATIENCE, headers=given)


@asynccontextmanager
async def calling(agent: Agent) -> AsyncIterator[Caller]:
    async with serving(agent.api) as server:
        yield Caller(server.port)


def leave(authorization: bytes) -> bytes:
    return b"POST /leave HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: " + authorization + b"\r\n\r\n"


def header(response: Response, name: str) -> str:
    return dict(response.headers).get(name, "")


# ---------------------------------------------------------------- probes


async def test_a_healthy_voter_is_alive_ready_and_started() -> None:
    async with calling(Agent(page_of())) as ask:
        for probe in ("/livez", "/readyz", "/startupz"):
            response = await ask(f"GET {probe}")
            assert (response.status, response.body) == (200, b"ok\n")


async def test_before_the_first_look_a_node_is_alive_and_nothing_else() -> None:
    async with calling(Agent(None)) as ask:
        assert (await ask("GET /livez")).status == 200
        for path in ("/readyz", "/startupz", "/status", "/"):
            response = await ask(f"GET {path}")
            assert response.status == 503
            assert b"first look is not done yet" in response.body


async def test_a_node_that_waits_for_its_quorum_is_alive_and_not_ready() -> None:
    waiting = page_of(empty(), decision(step=Hold("b and c are awaited")), served_at=None)
    async with calling(Agent(waiting)) as ask:
        assert (await ask("GET /livez")).status == 200
        assert (await ask("GET /startupz")).status == 200
        response = await ask("GET /readyz")
    assert response.status == 503
    assert b"no linearizable read succeeded lately; SERVING: b and c are awaited" in response.body


async def test_a_learner_is_not_ready() -> None:
    learner = Cluster(status_of("10", is_learner=True), (), readable=False)
    async with calling(Agent(page_of(healthy(mine=Known(learner))))) as ask:
        response = await ask("GET /readyz")
    assert response.status == 503
    assert b"learner" in response.body


@pytest.mark.parametrize("page", [None, page_of()])
async def test_an_agent_whose_loop_is_stuck_is_not_alive(page: Page | None) -> None:
    agent = Agent(page)
    async with calling(agent) as ask:
        agent.now = NOW + 29
        assert (await ask("GET /livez")).status == 200
        agent.now = NOW + 31
        response = await ask("GET /livez")
        assert response.status == 503
        assert b"loop has not turned for 31 s" in response.body
        assert (await ask("GET /readyz")).status == 503


# ---------------------------------------------------------------- reading


async def test_the_status_is_the_page_of_this_moment_as_json() -> None:
    agent = Agent(page_of())
    async with calling(agent) as ask:
        for page in (page_of(), page_of(served_at=None)):
            agent.page = page
            response = await ask("GET /status")
            assert header(response, "content-type") == "application/json"
            assert parse(Report, response.body, "it") == page.report


async def test_a_peer_that_says_who_it_is_is_heard_and_nonsense_is_not() -> None:
    agent = Agent(page_of())
    async with calling(agent) as ask:
        for query in ("?from=b", "?from=", "?from=%00%0A", f"?from={'x' * 300}", "", "?from=node%20c"):
            assert (await ask(f"GET /status{query}")).status == 200
    assert agent.peers == ["b", "node c"]


async def test_metrics_are_in_prometheus_text_format_and_not_made_for_every_call() -> None:
    agent = Agent(page_of())
    async with calling(agent) as ask:
        for _ in range(5):
            response = await ask("GET /metrics")
        agent.now += 1
        await ask("GET /metrics")
    assert header(response, "content-type") == "text/plain; version=0.0.4; charset=utf-8"
    assert response.body == b"eco_etcd_up 1\n"
    assert agent.measured == 2


async def test_the_sheet_escapes_every_value_and_loads_nothing() -> None:
    evil = '<script>alert("x")</script>'
    page = page_of(
        healthy(me=evil, cluster=evil, peers={"b": Known(report_of("b", because=evil, situation=evil))}),
        decision(step=Hold(evil), alarms=(evil,), refused=(evil,)),
        etcd=evil,
    )
    async with calling(Agent(page)) as ask:
        response = await ask("GET /")
    assert response.status == 200
    assert header(response, "content-type") == "text/html; charset=utf-8"
    assert "default-src 'none'" in header(response, "content-security-policy")
    html = response.body.decode()
    assert "<script" not in html
    assert "src=" not in html
    assert html.count("&lt;script&gt;") >= 6


async def test_the_sheet_of_a_node_that_knows_nothing_is_a_sheet() -> None:
    async with calling(Agent(page_of(empty(peers={}), served_at=None))) as ask:
        assert b"does not run" in (await ask("GET /")).body


async def test_reads_answer_head_and_refuse_every_other_method() -> None:
    async with calling(Agent(page_of())) as ask:
        assert (await ask("HEAD /livez")).status == 200
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "BREW"):
            response = await ask(f"{method} /status", Authorization=BEARER)
            assert (response.status, header(response, "allow")) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/nothing", "/leave/", "//leave", "/status/", "/../status", "*", "/%6ceave"])
async def test_there_is_nothing_elsewhere(path: str) -> None:
    agent = Agent(page_of())
    async with calling(agent) as ask:
        response = await ask(f"POST {path}", Authorization=BEARER)
    assert response.status in {404, 405}
    assert agent.done == []


# ---------------------------------------------------------------- asking


async def test_who_has_the_token_may_ask_and_hears_what_will_happen() -> None:
    agent = Agent(page_of())
    async with calling(agent) as ask:
        response = await ask("POST /leave", Authorization=BEARER)
    assert (response.status, json.loads(response.body)) == (200, {"done": "a will leave once another node leads"})
    assert agent.done == ["leave"]


@pytest.mark.parametrize(
    "authorization",
    [b"", b"Bearer", b"Bearer ", b"Bearer wrong", b"Basic s3cret-token", b"s3cret-token", b"Bearer \xff\xfe\x80"],
)
async def test_who_lacks_the_token_changes_nothing(authorization: bytes) -> None:
    agent = Agent(page_of())
    async with serving(agent.api) as server:
        answer = await call(server.port, leave(authorization))
    assert status(answer) == 401
    assert b"www-authenticate: bearer" in answer.lower()
    assert "error" in json.loads(answer.split(b"\r\n\r\n")[1])
    assert agent.done == []


@pytest.mark.parametrize("authorization", [b"Bearer ", b"Bearer", b""])
async def test_without_a_token_nobody_may_ask(authorization: bytes) -> None:
    agent = Agent(page_of(), token="")
    async with serving(agent.api) as server:
        assert status(await call(server.port, leave(authorization))) == 401
    assert agent.done == []


async def test_a_get_never_acts() -> None:
    agent = Agent(page_of())
    async with calling(agent) as ask:
        response = await ask("GET /leave", Authorization=BEARER)
    assert (response.status, header(response, "allow"), agent.done) == (405, "POST", [])


async def test_a_refusal_and_a_failure_are_told_apart() -> None:
    async with calling(Agent(page_of())) as ask:
        refused = await ask("POST /pause", Authorization=BEARER)
        failed = await ask("POST /resume", Authorization=BEARER)
    assert (refused.status, json.loads(refused.body)) == (409, {"error": "a is leaving"})
    assert (failed.status, json.loads(failed.body)) == (503, {"error": "the disk is full"})

"""Asking peers: only a report of the very instance that was asked counts, and silence is unknown."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eco.core.model import Instance
from eco.errors import Corrupt, Unavailable
from eco.status.api import StatusApi
from eco.status.http import Request, Response
from eco.status.page import Page, render
from eco.status.peers import HttpPeers
from tests.status.wire import PATIENCE, UNHURRIED, Echo, serving, silent_port
from tests.status.worlds import page_of

if TYPE_CHECKING:
    from collections.abc import Iterator

PEERS = HttpPeers("b & co", ask_deadline=PATIENCE, probe_deadline=PATIENCE)


def at(port: int, name: str = "a") -> Instance:
    return Instance(name, "127.0.0.1", status_port=port)


async def answer(body: bytes, status: int = 200) -> str:
    """What asking an agent that answers so leads to, as a sentence."""

    async def handler(_: Request) -> Response:
        return Response(status, body)

    async with serving(handler) as server:
        try:
            return f"report of {(await PEERS.ask(at(server.port), urgent=False)).name}"
        except (Corrupt, Unavailable) as fault:
            return f"{type(fault).__name__}: {fault}"


async def test_a_peers_report_arrives_as_it_was_and_an_urgent_question_says_who_asks() -> None:
    page = page_of()
    heard: list[str] = []
    api = StatusApi(lambda: page, {}, "", bytes, clock=lambda: page.looked_at, on_peer=heard.append)
    async with serving(api) as server:
        assert await PEERS.ask(at(server.port), urgent=False) == page.report
        assert heard == []
        assert await PEERS.ask(at(server.port), urgent=True) == page.report
    assert heard == ["b & co"]


async def test_a_page_of_an_agent_that_does_not_look_any_more_is_no_report() -> None:
    page = page_of()
    async with serving(StatusApi(lambda: page, {}, "", bytes, clock=lambda: page.looked_at + 61)) as server:
        with pytest.raises(Unavailable, match="61 s old"):
            await PEERS.ask(at(server.port), urgent=False)


async def test_a_report_under_another_name_is_corrupt() -> None:
    page = page_of()
    async with serving(StatusApi(lambda: page, {}, "", bytes, clock=lambda: page.looked_at)) as server:
        with pytest.raises(Corrupt, match="answers as a, not c"):
            await PEERS.ask(at(server.port, "c"), urgent=False)


async def test_an_agent_that_has_not_looked_yet_is_unavailable() -> None:
    nothing: Page | None = None
    async with serving(StatusApi(lambda: nothing, {}, "", bytes, clock=time.monotonic)) as server:
        with pytest.raises(Unavailable, match="not to be had: status 503"):
            await PEERS.ask(at(server.port), urgent=False)


async def test_an_original_operator_is_named_as_such() -> None:
    said = await answer(json.dumps({"state": "START", "revision": 0}).encode())
    assert said.startswith("Corrupt: ")
    assert "the original etcd-cloud-operator answers there" in said


DOCUMENT = json.loads(render(page_of()))


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 200, "is not JSON"),
        (b"<html>", 200, "is not JSON"),
        (b"[1]", 200, "is malformed: Expected `object`"),
        (b"[" * 100_000, 200, "is malformed: Expected `object`"),
        (b'{"moon": ' + b"[" * 100_000, 200, "is not JSON"),
        (b'{"a":' * 50_000, 200, "is not JSON"),
        (b"\xff\xfe{}", 200, "is not JSON"),
        (b"{}", 200, "is malformed: Object missing required field `name`"),
        (json.dumps(DOCUMENT | {"holding": "gold"}).encode(), 200, "`$.holding`"),
        (json.dumps(DOCUMENT | {"last_index": "many"}).encode(), 200, "`$.last_index`"),
        (json.dumps(DOCUMENT | {"version": 2}).encode(), 200, "format version 2"),
        (json.dumps(DOCUMENT | {"name": "evil"}).encode(), 200, "answers as evil, not a"),
        (json.dumps(DOCUMENT | {"padding": "x" * 300_000}).encode(), 200, "more than 262144 bytes"),
        (render(page_of()), 404, "is none: status 404"),
        (render(page_of()), 302, "is none: status 302"),
    ],
)
async def test_what_is_no_report_of_that_instance_is_corrupt(body: bytes, status: int, reason: str) -> None:
    said = await answer(body, status)
    assert said.startswith("Corrupt: ")
    assert reason in said


async def test_unknown_keys_are_ignored() -> None:
    assert await answer(json.dumps(DOCUMENT | {"moon": "full"}).encode()) == "report of a"


async def test_a_peer_that_does_not_answer_is_unavailable_in_time() -> None:
    with silent_port() as port:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await HttpPeers("b", ask_deadline=0.2).ask(at(port), urgent=True)
        assert time.monotonic() - began < 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(UNHURRIED, max_examples=60)
@given(lies=st.dictionaries(st.sampled_from(sorted(DOCUMENT)), JSON, max_size=4))
def test_a_report_with_lies_in_it_is_a_report_of_that_name_or_corrupt(lies: dict[str, object]) -> None:
    said = asyncio.run(answer(json.dumps(DOCUMENT | lies).encode()))
    assert said == "report of a" or said.startswith("Corrupt: ")


# ---------------------------------------------------------------- ports


@contextmanager
def free_port() -> Iterator[int]:
    """A port that refuses, and that nobody else takes meanwhile."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


def etcd_at(client: int, peer: int, address: str = "127.0.0.1") -> Instance:
    return Instance("a", address, client_port=client, peer_port=peer)


async def test_an_open_client_or_peer_port_is_occupied() -> None:
    with free_port() as free:
        async with serving(Echo()) as server:
            for instance in (
                etcd_at(server.port, free),
                etcd_at(free, server.port),
                etcd_at(server.port, server.port),
            ):
                assert await PEERS.occupied(instance) is True


async def test_two_refusals_are_an_answer() -> None:
    with free_port() as one, free_port() as other:
        assert await PEERS.occupied(etcd_at(one, other)) is False


@pytest.mark.skipif(sys.platform != "linux", reason="needs a kernel that drops what its queue cannot hold")
async def test_silence_of_either_port_is_unknown_unless_the_other_accepts() -> None:
    hasty = HttpPeers("b", probe_deadline=0.2)
    with silent_port() as silent, free_port() as free:
        for instance in (etcd_at(silent, free), etcd_at(free, silent), etcd_at(silent, silent)):
            began = time.monotonic()
            with pytest.raises(Unavailable, match=f"etcd runs on a is unknown: 127.0.0.1:{silent} does not answer"):
                await hasty.occupied(instance)
            assert time.monotonic() - began < 3
        async with serving(Echo()) as server:
            assert await hasty.occupied(etcd_at(silent, server.port)) is True


@pytest.mark.parametrize("address", ["a..b", "nonexistent.invalid", ""])
async def test_a_name_that_leads_nowhere_is_unknown(address: str) -> None:
    with pytest.raises(Unavailable, match="is unknown"):
        await HttpPeers("b", probe_deadline=1).occupied(etcd_at(2379, 2380, address))

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from eco.cli.dev import control
from eco.cli.dev.control import Order, Verb
from eco.cli.dev.home import Home
from eco.errors import EcoError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Deeper than a Unix socket's path may be long."""
    root = tmp_path / ("deep" * 20) / ("deeper" * 20)
    root.mkdir(parents=True)
    return Home(root)


async def perform(order: Order) -> dict[str, Any]:
    if order.node == "x":
        raise EcoError("there is no node x")
    return {"said": f"{order.do.value} {order.node}"}


@pytest.fixture
async def served(home: Home) -> AsyncIterator[Home]:
    with control.listener(home) as sock:
        server = await control.serve(sock, perform)
        yield home
        server.close()


async def test_an_order_is_performed_and_answered(served: Home) -> None:
    answer = await asyncio.to_thread(control.ask, served, Order(Verb.KILL, "n1"))

    assert answer["said"] == "kill n1"


async def test_a_refusal_is_the_answers_sentence(served: Home) -> None:
    with pytest.raises(EcoError, match="there is no node x"):
        await asyncio.to_thread(control.ask, served, Order(Verb.WIPE, "x"))


@pytest.mark.parametrize(
    "garbage", [b"nonsense\n", b'{"do":"fly"}\n', b"\n", b"x" * (1 << 18), b'{"do":"kill","node":7}\n']
)
async def test_garbage_is_answered_and_does_not_end_the_supervisor(served: Home, garbage: bytes) -> None:
    def talk() -> bytes:
        with socket.socket(socket.AF_UNIX) as caller:
            with control._inside(served.root):
                caller.connect(control.NAME)
            try:
                caller.sendall(garbage)
                caller.shutdown(socket.SHUT_WR)
                return caller.recv(1000)
            except OSError:
                return b""

    assert b'"ok": true' not in await asyncio.to_thread(talk)
    assert (await asyncio.to_thread(control.ask, served, Order(Verb.KILL, "n1")))["ok"]


async def test_the_socket_is_for_its_owner_alone(served: Home) -> None:
    assert (served.root / control.NAME).stat().st_mode & 0o777 == 0o600


def test_without_a_supervisor_the_error_says_how_to_start_one(home: Home) -> None:
    with pytest.raises(EcoError, match="start `eco dev`"):
        control.ask(home, Order(Verb.STATUS))


def test_a_directory_that_does_not_exist_is_no_cluster(tmp_path: Path) -> None:
    with pytest.raises(EcoError, match="start `eco dev`"):
        control.ask(Home(tmp_path / "nowhere"), Order(Verb.STATUS))


async def test_a_socket_left_by_a_dead_supervisor_is_replaced(home: Home) -> None:
    (home.root / control.NAME).touch()
    with control.listener(home) as sock:
        server = await control.serve(sock, perform)
        assert (await asyncio.to_thread(control.ask, home, Order(Verb.STATUS)))["ok"]
        server.close()
    assert not (home.root / control.NAME).exists()

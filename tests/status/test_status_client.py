"""The client's promises: a total deadline, bounded reading, and two errors."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eco.errors import Corrupt, Unavailable
from eco.status.client import authority, get, request
from eco.status.dial import addresses, first_to_accept, reason
from eco.status.http import Limits
from tests.status.wire import PATIENCE, UNHURRIED, Echo, eventually, evil, serving, silent_port, turning

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\n"


def saying(raw: bytes) -> Answer:
    """A server that says this to everybody and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        await writer.drain()
        writer.write_eof()
        await reader.read()

    return answer


def repeating(first: bytes, again: bytes, pause: float = 0.0) -> Answer:
    """A server whose answer never ends."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(pause)

    return answer


# ---------------------------------------------------------------- conversation


async def test_an_answer_comes_back_whatever_its_status() -> None:
    async with evil(saying(b"HTTP/1.1 503 No\r\nX-Why: so\r\nContent-Length: 3\r\n\r\nno\n")) as port:
        response = await get("127.0.0.1", port, "/readyz", deadline=PATIENCE)
    assert (response.status, response.body) == (503, b"no\n")
    assert ("x-why", "so") in response.headers


async def test_a_method_and_headers_are_sent() -> None:
    echo = Echo()
    async with serving(echo) as server:
        token = (("Authorization", "Bearer t"),)
        await request("POST", "127.0.0.1", server.port, "/leave", deadline=PATIENCE, headers=token)
    assert (echo.seen[0].method, echo.seen[0].headers["authorization"]) == ("POST", "Bearer t")


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"Content-Length: 2\r\n\r\nhi",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n",
        HEAD + b"\r\nhi",
        b"HTTP/1.0 200 OK\r\n\r\nhi",
        b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\nhi",
    ],
)
async def test_every_way_to_frame_a_body_is_understood(raw: bytes) -> None:
    async with evil(saying(raw)) as port:
        assert (await get("127.0.0.1", port, "/", deadline=PATIENCE)).body == b"hi"


async def test_a_redirect_is_not_followed() -> None:
    async with evil(saying(b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n")) as port:
        assert (await get("127.0.0.1", port, "/", deadline=PATIENCE)).status == 302


# ---------------------------------------------------------------- addresses


async def test_an_ipv6_address_is_dialled_and_named_in_brackets() -> None:
    if not socket.has_ipv6:
        pytest.skip("needs IPv6")
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(HEAD + b"Content-Length: 0\r\n\r\n")
        await writer.drain()

    try:
        async with evil(answer, "::1") as port:
            assert (await get("::1", port, "/", deadline=PATIENCE)).status == 200
    except OSError:
        pytest.skip("needs the IPv6 loopback")
    assert f"Host: [::1]:{port}\r\n".encode() in heard[0]
    assert authority("b.example", 2378) == "b.example:2378"


async def test_a_name_is_looked_up_outside_the_threads_of_the_loop() -> None:
    async with serving(Echo()) as server:
        assert (await get("localhost", server.port, "/x", deadline=PATIENCE)).body == b"/x\n"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("asyncio")]


@pytest.mark.parametrize("host", ["a..b", "x" * 70, "", "no such name", "nonexistent.invalid", "a\r\nb", "a\x00b"])
async def test_a_name_that_leads_nowhere_is_unavailable(host: str) -> None:
    with pytest.raises(Unavailable):
        await get(host, 2378, "/", deadline=2)


def test_the_reason_of_a_failure_is_in_the_words_of_whom_it_comes_from() -> None:
    assert reason(socket.gaierror(-2, "Name or service not known")) == "Name or service not known"
    assert reason(ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('::1', 1)")) == "connection refused"
    assert reason(OSError("the resolver hangs")) == "the resolver hangs"


async def test_every_address_of_a_name_is_tried() -> None:
    found = await addresses("localhost")
    assert set(found) <= {"127.0.0.1", "::1"}
    assert await addresses("127.0.0.1") == ("127.0.0.1",)


@pytest.mark.skipif(sys.platform != "linux", reason="needs more than one loopback address")
async def test_a_name_refuses_only_when_all_of_its_addresses_do() -> None:
    with silent_port() as port:
        silent, refusing = "127.0.0.1", "127.0.60.5"
        for candidates in ((silent, refusing), (refusing, silent)):
            with pytest.raises(OSError) as caught:  # noqa: PT011 -- which one is the question
                async with asyncio.timeout(1):
                    await first_to_accept(candidates, port)
            assert not isinstance(caught.value, ConnectionRefusedError)
        with pytest.raises(ConnectionRefusedError):
            await first_to_accept((refusing, refusing), port)


@pytest.mark.skipif(sys.platform != "linux", reason="needs more than one loopback address")
async def test_an_address_that_is_silent_does_not_hide_the_next_one() -> None:
    with silent_port() as port:
        listener = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.60.5", port)
        _, writer = await asyncio.wait_for(first_to_accept(("127.0.0.1", "127.0.60.5"), port), PATIENCE)
        assert writer.get_extra_info("peername")[0] == "127.0.60.5"
        writer.close()
        listener.close()


async def test_a_refused_connection_is_unavailable_and_says_where() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port} cannot be asked: connection refused$"):
            await get("127.0.0.1", port, "/", deadline=PATIENCE)


# ---------------------------------------------------------------- evil servers

LIES = {
    "garbage": saying(b"\x00\x01\x02 hello\r\n\r\n"),
    "another protocol": saying(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "a status that is none": saying(b"HTTP/1.1 999999 OK\r\n\r\n"),
    "a header without end": repeating(HEAD + b"X: ", b"y" * 4096),
    "headers without end": repeating(HEAD, b"X: y\r\n" * 512),
    "a body without end": repeating(HEAD + b"\r\n", b"y" * 65536),
    "chunks without end": repeating(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\ny\r\n" * 512),
    "crumbs": saying(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\ny\r\n" * 2000 + b"0\r\n\r\n"),
    "trailers without end": repeating(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 512),
    "promises without end": repeating(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 512),
    "a body longer than we take": saying(HEAD + b"Content-Length: 270000\r\n\r\n" + b"y" * 270_000),
    "another protocol by agreement": saying(b"HTTP/1.1 101 Switch\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
}

SILENCES = {
    "it never answers": repeating(b"", b"", 0.05),
    "it drips its header": repeating(HEAD, b"X", 0.02),
    "it drips its body": repeating(HEAD + b"Content-Length: 5000\r\n\r\n", b"y", 0.02),
    "it hangs up at once": saying(b""),
    "it hangs up in its header": saying(HEAD + b"X"),
    "it hangs up in its body": saying(HEAD + b"Content-Length: 5\r\n\r\nabc"),
    "it hangs up in a chunk": saying(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc"),
}


@pytest.mark.parametrize("name", LIES)
async def test_what_is_not_http_or_too_much_is_corrupt(name: str) -> None:
    async with evil(LIES[name]) as port:
        with pytest.raises(Corrupt, match=f"127.0.0.1:{port} does not speak HTTP"):
            await get("127.0.0.1", port, "/", deadline=PATIENCE)


@pytest.mark.parametrize("name", SILENCES)
async def test_what_is_not_all_there_in_time_is_unavailable(name: str) -> None:
    async with evil(SILENCES[name]) as port:
        began = time.monotonic()
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port}"):
            await get("127.0.0.1", port, "/", deadline=0.3)
        assert time.monotonic() - began < 3


async def test_while_an_evil_server_floods_us_the_rest_of_the_agent_runs() -> None:
    chunks = (b"1000\r\n" + b"y" * 4096 + b"\r\n") * 100
    async with evil(saying(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)) as port, turning() as turns:
        with pytest.raises(Corrupt):
            await get("127.0.0.1", port, "/", deadline=PATIENCE)
        assert turns() > 60, "one turn for each 4 KiB at the least"


async def test_a_call_leaves_neither_tasks_nor_connections_behind() -> None:
    before = asyncio.all_tasks()
    async with serving(Echo(), limits=Limits(receive=PATIENCE)) as server:
        for _ in range(20):
            await get("127.0.0.1", server.port, "/", deadline=PATIENCE)
        await eventually(lambda: len(server._connections) == 0)
    async with evil(SILENCES["it never answers"]) as port:
        for _ in range(5):
            with pytest.raises(Unavailable):
                await get("127.0.0.1", port, "/", deadline=0.05)
    assert asyncio.all_tasks() == before


@settings(UNHURRIED, max_examples=100)
@given(raw=st.one_of(st.binary(max_size=200), st.binary(max_size=100).map(lambda tail: HEAD + tail)))
def test_whatever_bytes_come_the_call_ends_in_an_answer_or_one_of_two_errors(raw: bytes) -> None:
    async def story() -> None:
        async with evil(saying(raw)) as port:
            with suppress(Corrupt, Unavailable):
                assert (await get("127.0.0.1", port, "/", deadline=PATIENCE)).status >= 200

    asyncio.run(story())

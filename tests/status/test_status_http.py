"""The server's promises: it speaks HTTP, and no caller costs more than its limits."""

from __future__ import annotations

import asyncio
import logging
import shutil
import ssl
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eco.errors import Unavailable
from eco.status.client import get
from eco.status.http import Limits, Request, Response, serve, text
from tests.status.wire import GOOD, PATIENCE, UNHURRIED, Echo, call, eventually, hear_out, serving, status, turning

if TYPE_CHECKING:
    from pathlib import Path

CLOSE = b"Connection: close\r\n"


# ---------------------------------------------------------------- the protocol


async def test_a_request_reaches_the_handler_whole() -> None:
    echo = Echo()
    async with serving(echo) as server:
        answer = await call(
            server.port,
            b"POST /leave?why=it%20is%20old&now= HTTP/1.1\r\nHost: x\r\nX-Two: 1\r\nx-two: 2\r\n"
            b"Content-Length: 5\r\nConnection: close\r\n\r\nhello",
        )
    assert status(answer) == 200
    assert answer.endswith(b"/leave\n")
    assert echo.seen == [
        Request(
            method="POST",
            path="/leave",
            query={"why": "it is old", "now": ""},
            headers={"host": "x", "x-two": "1, 2", "content-length": "5", "connection": "close"},
            body=b"hello",
            address="127.0.0.1",
        )
    ]


async def test_every_response_says_that_it_is_of_this_moment_and_names_no_software() -> None:
    async with serving(Echo()) as server:
        head = (await call(server.port, GOOD)).split(b"\r\n\r\n")[0].lower()
    assert b"cache-control: no-store" in head
    assert b"x-content-type-options: nosniff" in head
    assert b"date: " in head
    assert b"server:" not in head


async def test_head_is_answered_like_get_without_the_body() -> None:
    async with serving(Echo()) as server:
        answer = await call(server.port, b"HEAD /good HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"Content-Length: 6\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_http_1_0_is_answered_and_hung_up_on() -> None:
    async with serving(Echo()) as server:
        answer = await call(server.port, b"GET /old HTTP/1.0\r\n\r\n")
    assert status(answer) == 200
    assert answer.endswith(b"\r\n\r\n/old\n")


async def test_pipelined_requests_are_answered_in_order() -> None:
    requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(5)) + GOOD
    async with serving(Echo()) as server:
        answer = await call(server.port, requests)
    bodies = [part.split(b"\n")[-2] for part in answer.split(b"HTTP/1.1 200")[1:]]
    assert bodies == [b"/0", b"/1", b"/2", b"/3", b"/4", b"/good"]


async def test_a_chunked_body_is_put_together() -> None:
    echo = Echo()
    async with serving(echo) as server:
        await call(
            server.port,
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            b"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nTrailer: x\r\n\r\n",
        )
    assert echo.seen[0].body == b"abcde"


async def test_a_caller_that_asks_first_is_told_to_go_on() -> None:
    echo = Echo()
    async with serving(echo) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        )
        go_on = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"hi")
        answer = await hear_out(reader)
        writer.close()
    assert go_on.startswith(b"HTTP/1.1 100 ")
    assert status(answer) == 200
    assert echo.seen[0].body == b"hi"


async def test_a_connection_serves_so_many_requests_and_then_says_that_it_closes() -> None:
    async with serving(Echo(), limits=Limits(requests=3)) as server:
        answer = await call(server.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 10)
    assert answer.count(b"HTTP/1.1 200") == 3
    assert answer.lower().count(b"connection: close") == 1


async def test_a_whole_url_as_the_target_means_its_path() -> None:
    echo = Echo()
    async with serving(echo) as server:
        await call(server.port, b"GET http://x:1/status?from=b HTTP/1.1\r\nHost: x\r\n" + CLOSE + b"\r\n")
    assert (echo.seen[0].path, echo.seen[0].query) == ("/status", {"from": "b"})


# ---------------------------------------------------------------- bad callers

BAD = {
    "garbage": (b"\x00\xff\x16\x03 what\r\n\r\n", 400),
    "a TLS greeting": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "a header without colon": (b"GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    "a negative length": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    "a length of a hundred digits": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n" % (b"9" * 100), 400),
    "a coding we do not know": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    "a chunk that is none": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "a target that is no URL": (b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a thousand questions": (b"GET /?" + b"a=1&" * 1000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a long header": (b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"c" * 30_000 + b"\r\n\r\n", 431),
    "a header without end": (b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"c" * 200_000, 431),
    "a request line without end": (b"GET /" + b"a" * 200_000, 431),
    "many headers": (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 10_000 + b"\r\n", 431),
    "a long body announced": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n", 413),
    "a long body in chunks": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        + (b"1000\r\n" + b"x" * 4096 + b"\r\n") * 20,
        413,
    ),
    "a body of crumbs": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 2000 + b"0\r\n\r\n",
        413,
    ),
    "trailers without end": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 10_000,
        431,
    ),
    "a long chunk extension": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"e" * 30_000,
        431,
    ),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_caller_gets_one_short_answer_and_is_hung_up_on(name: str) -> None:
    raw, expected = BAD[name]
    echo = Echo()
    async with serving(echo) as server:
        answer = await call(server.port, raw)
        good = await call(server.port, GOOD)
    assert status(answer) == expected
    assert b"Connection: close" in answer
    assert len(answer) < 500
    assert status(good) == 200
    assert [request.path for request in echo.seen] == ["/good"]


async def test_a_caller_refused_in_the_middle_of_its_request_still_hears_why() -> None:
    async with serving(Echo()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000)
        answer = await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()
    assert status(answer) == 413, "and no ConnectionResetError"


async def test_while_a_caller_sends_much_the_rest_of_the_agent_runs() -> None:
    raw = b"POST /much HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\nConnection: close\r\n\r\n" + b"x" * 60_000
    turned: list[int] = []
    async with turning() as turns:

        async def count(_: Request) -> Response:
            turned.append(turns())
            return text(200, "taken")

        async with serving(count) as server:
            before = turns()
            assert status(await call(server.port, raw)) == 200
    assert turned[0] - before >= 60_000 // 4096, "one turn for each 4 KiB at the least"


async def test_an_announced_gigabyte_is_refused_before_it_is_invited() -> None:
    async with serving(Echo()) as server:
        answer = await call(
            server.port, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\nExpect: 100-continue\r\n\r\n"
        )
    assert status(answer) == 413
    assert b"100 Continue" not in answer


async def test_a_gigabyte_that_comes_all_the_same_is_not_read() -> None:
    async with serving(Echo()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n")
        sent, chunk = 0, b"x" * 1_000_000
        try:
            while sent < 1_000_000_000:
                writer.write(chunk)
                await asyncio.wait_for(writer.drain(), PATIENCE)
                sent += len(chunk)
        except ConnectionError:
            pass
        answer = await hear_out(reader)
        writer.transport.abort()
    assert status(answer) in {413, 0}, "a reset may overtake the answer"
    assert sent < 50_000_000, "only what sockets buffer"


async def test_a_request_that_drips_is_cut_off() -> None:
    async with serving(Echo(), limits=Limits(receive=0.3)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        hearing = asyncio.create_task(hear_out(reader))
        began = time.monotonic()
        for byte in b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"slow" * 10_000:
            if hearing.done():
                break
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)
        assert status(await hearing) == 408
        assert time.monotonic() - began < 5
        writer.transport.abort()


async def test_a_caller_that_says_nothing_is_hung_up_on_without_a_word() -> None:
    async with serving(Echo(), limits=Limits(receive=0.1)) as server:
        assert await call(server.port, b"") == b""


async def test_a_connection_that_idles_between_requests_is_closed() -> None:
    async with serving(Echo(), limits=Limits(idle=0.1)) as server:
        answer = await call(server.port, b"GET /once HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status(answer) == 200
    assert answer.count(b"HTTP/1.1") == 1


async def test_the_idle_time_is_longer_than_the_time_to_send_a_request() -> None:
    async with serving(Echo(), limits=Limits(receive=0.2, idle=10 * PATIENCE)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(2):
            writer.write(b"GET /it HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200" in await asyncio.wait_for(reader.readuntil(b"/it\n"), PATIENCE)
            await asyncio.sleep(0.4)
        writer.write(b"GET /half HT")
        assert status(await hear_out(reader)) == 408
        writer.close()


async def test_a_caller_that_does_not_take_its_response_is_dropped() -> None:
    async def much(_: Request) -> Response:
        return Response(200, b"x" * 50_000_000)

    async with serving(much, limits=Limits(send=0.2)) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=4096)
        writer.write(GOOD)
        await eventually(lambda: len(server._connections) == 1)
        await eventually(lambda: len(server._connections) == 0)
        writer.transport.abort()


async def test_a_caller_that_takes_a_large_response_slowly_gets_all_of_it() -> None:
    async def much(_: Request) -> Response:
        return Response(200, b"x" * 3_000_000)

    async with serving(much, limits=Limits(send=PATIENCE)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=4096)
        writer.write(GOOD)
        heard = 0
        while chunk := await asyncio.wait_for(reader.read(30_000), PATIENCE):
            heard += len(chunk)
            await asyncio.sleep(0.001)
        writer.close()
    assert heard > 3_000_000


# ---------------------------------------------------------------- many callers


async def test_a_flood_of_idle_connections_is_bounded_and_keeps_nobody_out() -> None:
    async with serving(Echo(), limits=Limits(connections=8, connections_per_address=8)) as server:
        crowd = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(100)]
        answer = await call(server.port, GOOD)
        assert status(answer) == 200
        assert len(server._connections) <= 8
        for _, writer in crowd:
            writer.transport.abort()


async def test_of_callers_that_come_all_at_once_none_is_left_hanging() -> None:
    limits = Limits(connections=4, connections_per_address=4, receive=0.3)
    async with serving(Echo(), limits=limits) as server:
        answers = await asyncio.gather(*(call(server.port, b"") for _ in range(60)))
        assert {status(answer) for answer in answers} <= {0, 503}
        assert status(await call(server.port, GOOD)) == 200


async def test_those_that_wait_longest_make_room_first() -> None:
    async with serving(Echo(), limits=Limits(connections=2)) as server:
        oldest_reader, oldest = await asyncio.open_connection("127.0.0.1", server.port)
        await eventually(lambda: len(server._connections) == 1)
        newer_reader, newer = await asyncio.open_connection("127.0.0.1", server.port)
        await eventually(lambda: len(server._connections) == 2)
        assert status(await call(server.port, GOOD)) == 200
        assert await hear_out(oldest_reader) == b""
        newer.write(GOOD)
        assert status(await hear_out(newer_reader)) == 200
        oldest.close()
        newer.close()


async def test_when_every_place_is_busy_a_newcomer_hears_503() -> None:
    go_on = asyncio.Event()

    async def busy(_: Request) -> Response:
        await go_on.wait()
        return text(200, "done")

    async with serving(busy, limits=Limits(connections=3)) as server:
        working = [asyncio.create_task(call(server.port, GOOD)) for _ in range(3)]
        await eventually(lambda: [c.waiting_since for c in server._connections.values()] == [None] * 3)
        assert status(await call(server.port, b"")) == 503
        go_on.set()
        assert [status(answer) for answer in await asyncio.gather(*working)] == [200, 200, 200]


@pytest.mark.skipif(sys.platform != "linux", reason="needs more than one loopback address")
async def test_one_address_cannot_take_every_place() -> None:
    async with serving(Echo(), limits=Limits(connections=8, connections_per_address=3)) as server:
        quiet_reader, quiet = await asyncio.open_connection("127.0.0.1", server.port, local_addr=("127.0.60.9", 0))
        await eventually(lambda: len(server._connections) == 1)
        crowd = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(30)]
        await eventually(lambda: len(server._connections) == 4)
        quiet.write(GOOD)
        assert status(await hear_out(quiet_reader)) == 200
        quiet.close()
        for _, writer in crowd:
            writer.transport.abort()


# ---------------------------------------------------------------- our own faults


async def test_a_handler_that_raises_is_a_500_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_: Request) -> Response:
        raise KeyError("oops")

    with caplog.at_level(logging.ERROR):
        async with serving(broken) as server:
            answers = [await call(server.port, GOOD) for _ in range(3)]
    assert [status(answer) for answer in answers] == [500, 500, 500]
    assert b"oops" not in answers[0]
    assert len(caplog.records) == 1
    assert "The handler of GET '/good' failed" in caplog.text


async def test_a_handler_that_takes_too_long_is_a_503() -> None:
    async def slow(_: Request) -> Response:
        await asyncio.Event().wait()
        return text(200, "never")

    async with serving(slow, limits=Limits(handle=0.1)) as server:
        assert status(await call(server.port, GOOD)) == 503


async def test_a_header_that_cannot_be_sent_costs_only_that_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def splitting(request: Request) -> Response:
        return Response(200, b"", (("X", "a\r\nb"),)) if request.path == "/good" else text(200, "fine")

    async with serving(splitting) as server:
        assert await call(server.port, GOOD) == b""
        assert status(await call(server.port, GOOD.replace(b"/good", b"/"))) == 200
    assert "Serving an HTTP connection failed" in caplog.text


# ---------------------------------------------------------------- listening and closing


async def test_a_busy_port_is_said_with_its_address_and_a_remedy() -> None:
    async with serving(Echo()) as server:
        with pytest.raises(Unavailable, match=rf"127\.0\.0\.1, port {server.port} is in use .* status port"):
            await serve("127.0.0.1", server.port, Echo())


async def test_an_address_of_another_machine_is_said() -> None:
    with pytest.raises(Unavailable, match="no address of this machine"):
        await serve("192.0.2.1", 0, Echo())


@pytest.mark.parametrize("host", ["a..b", "x" * 70])
async def test_a_host_that_is_no_name_is_said(host: str) -> None:
    with pytest.raises(Unavailable, match="cannot listen"):
        await serve(host, 0, Echo())


async def test_the_port_is_free_again_as_soon_as_the_server_is_closed() -> None:
    first = await serve("127.0.0.1", 0, Echo())
    port = first.port
    await get("127.0.0.1", port, "/", deadline=PATIENCE)
    await first.close()
    second = await serve("127.0.0.1", port, Echo())
    await second.close()
    await second.close()


async def test_closing_ends_idle_connections_at_once_and_lets_a_request_in_hand_finish() -> None:
    go_on = asyncio.Event()

    async def busy(_: Request) -> Response:
        await go_on.wait()
        return text(200, "done")

    server = await serve("127.0.0.1", 0, busy, limits=Limits(receive=10 * PATIENCE))
    idle_reader, idle = await asyncio.open_connection("127.0.0.1", server.port)
    working = asyncio.create_task(call(server.port, GOOD.replace(CLOSE, b"")))
    await eventually(lambda: any(c.waiting_since is None for c in server._connections.values()))
    closing = asyncio.create_task(server.close(grace=PATIENCE))
    assert await hear_out(idle_reader) == b""
    go_on.set()
    answer = await working
    assert status(answer) == 200
    assert b"Connection: close" in answer
    await asyncio.wait_for(closing, PATIENCE)
    idle.close()


async def test_closing_is_bounded_though_a_handler_never_ends() -> None:
    async def stuck(_: Request) -> Response:
        await asyncio.Event().wait()
        return text(200, "never")

    server = await serve("127.0.0.1", 0, stuck)
    working = asyncio.create_task(call(server.port, GOOD))
    await eventually(lambda: any(c.waiting_since is None for c in server._connections.values()))
    began = time.monotonic()
    await server.close(grace=0.1)
    assert time.monotonic() - began < 5
    assert await working == b""
    await eventually(lambda: len(asyncio.all_tasks()) == 1)


# ---------------------------------------------------------------- TLS


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = (
        f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {key} -out {certificate} "
        "-days 2 -subj /CN=node-b -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([openssl, *made.split()], check=True, capture_output=True)
    return certificate, key


async def test_over_tls_the_handler_learns_the_callers_certificate(pair: tuple[Path, Path]) -> None:
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pair[0]))
    theirs.load_cert_chain(*pair)
    theirs.verify_mode = ssl.CERT_REQUIRED
    mine = ssl.create_default_context(cafile=str(pair[0]))
    mine.load_cert_chain(*pair)
    echo = Echo()
    server = await serve("127.0.0.1", 0, echo, ssl=theirs)
    for _ in range(2):
        response = await get("127.0.0.1", server.port, "/status", deadline=PATIENCE, ssl=mine)
        assert response.body == b"/status\n"
    certificate = echo.seen[0].certificate
    assert certificate is not None
    assert certificate["subject"] == ((("commonName", "node-b"),),)
    await server.close()


async def test_a_caller_that_never_begins_the_handshake_counts_and_is_dropped(pair: tuple[Path, Path]) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*pair)
    server = await serve("127.0.0.1", 0, Echo(), ssl=context, limits=Limits(receive=0.3, connections=4))
    crowd = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(20)]
    assert len(server._connections) <= 20
    answers = await asyncio.gather(*(hear_out(reader) for reader, _ in crowd))
    assert set(answers) == {b""}
    assert await call(server.port, GOOD) == b"" or not server._connections
    for _, writer in crowd:
        writer.transport.abort()
    await server.close()


# ---------------------------------------------------------------- hostile bytes

PIECES = st.sampled_from(
    (
        b"GET / HTTP/1.1\r\n",
        b"POST / HTTP/1.1\r\n",
        b"CONNECT x:1 HTTP/1.1\r\n",
        b"GET / HTTP/1.0\r\n",
        b"Host: x\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: upgrade\r\nUpgrade: h2c\r\n",
        b"\r\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"hello",
        b" ",
        b"\n",
    )
)
HOSTILE = st.lists(st.one_of(PIECES, st.binary(max_size=40)), max_size=12).map(b"".join)


@settings(UNHURRIED, max_examples=150)
@given(raw=HOSTILE)
def test_whatever_bytes_come_the_server_lives_and_answers_the_next_caller(raw: bytes) -> None:
    async def story() -> None:
        async with serving(Echo()) as server:
            answer = await call(server.port, raw, end=True)
            good = await call(server.port, GOOD)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
        assert b"HTTP/1.1 500" not in answer
        assert status(good) == 200

    asyncio.run(story())

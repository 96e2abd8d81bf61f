from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest
from aetcd.rpc import rpc_pb2 as messages

from eco.errors import Corrupt, EcoError, Refused, Unavailable
from eco.etcd.client import Denied, EtcdClient, Tls
from tests.etcd.servers import Server, founders, output, serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
    from pathlib import Path

    from eco.etcd.install import Binaries
    from tests.support import Address, Addresses


@pytest.fixture
async def client() -> AsyncIterator[EtcdClient]:
    client = EtcdClient()
    await client.warm()
    yield client
    await client.close()


@pytest.fixture
def three(etcd_binaries: Binaries, addresses: Addresses, tmp_path: Path) -> tuple[Server, ...]:
    return founders(etcd_binaries.etcd, addresses.several(3), tmp_path)


@pytest.fixture
def lone(etcd_binaries: Binaries, addresses: Addresses, tmp_path: Path) -> Server:
    (server,) = founders(etcd_binaries.etcd, addresses.several(1), tmp_path)
    return server


def urls_of(servers: Sequence[Server]) -> tuple[str, ...]:
    return tuple(url for server in servers for url in server.urls)


async def leader_among(servers: Sequence[Server], client: EtcdClient) -> tuple[Server, list[Server]]:
    """The leader's server, and the others."""
    statuses = [await client.status(server.urls) for server in servers]
    leader = next(s for s, status in zip(servers, statuses, strict=True) if status.member_id == status.leader)
    return leader, [server for server in servers if server is not leader]


# ------------------------------------------------------------------ looking


async def test_every_member_tells_of_itself_and_lists_all(three: tuple[Server, ...], client: EtcdClient) -> None:
    async with serving(three, client):
        statuses = [await client.status(server.urls) for server in three]
        members = await client.members(three[1].urls, linearizable=True)

    assert {status.member_id for status in statuses} == {member.id for member in members}
    assert len({(status.cluster_id, status.leader) for status in statuses}) == 1
    assert [member.id for member in members] == sorted(member.id for member in members)
    assert {member.name: member.peer_urls for member in members} == {s.name: (s.at.peer_url,) for s in three}
    assert {member.name: member.client_urls for member in members} == {s.name: s.urls for s in three}
    assert not any(member.is_learner for member in members)
    for status in statuses:
        assert status.version.startswith("3.")
        assert status.raft_index >= status.applied_index > 0
        assert status.term > 0
        assert status.revision == 1
        assert status.db_size > 0


async def test_a_member_without_quorum_still_tells_of_itself_but_reads_nothing(
    three: tuple[Server, ...], client: EtcdClient
) -> None:
    async with serving(three, client):
        survivor, *lost = three
        for server in lost:
            server.kill()
        await until(lambda: lost_leader(client, survivor), 15, "the survivor knows no leader")

        assert not await client.readable(survivor.urls)
        assert len(await client.members(survivor.urls, linearizable=False)) == 3
        with pytest.raises(Unavailable):
            await client.members(survivor.urls, linearizable=True)
        with pytest.raises(Unavailable):
            await client.add_learner(survivor.urls, "http://127.0.0.1:1")


async def lost_leader(client: EtcdClient, server: Server) -> bool:
    return not (await client.status(server.urls)).leader


async def test_a_restarted_server_is_seen_within_a_second(lone: Server, client: EtcdClient) -> None:
    async with serving([lone], client):
        lone.kill()
        end = time.monotonic() + 2
        while time.monotonic() < end:  # long enough for any back-off to grow
            with pytest.raises(Unavailable):
                await client.status(lone.urls)
        lone.start()
        newcomer = EtcdClient()
        await until(lambda: newcomer.readable(lone.urls), 15, "it serves")
        await newcomer.close()

        await until(lambda: client.readable(lone.urls), 1, "the client of old sees it, too")


# ------------------------------------------------------------------ changing


async def test_a_learner_joins_is_promoted_and_removed(
    lone: Server, etcd_binaries: Binaries, addresses: Addresses, tmp_path: Path, client: EtcdClient
) -> None:
    at = addresses.fresh()
    async with serving([lone], client):
        added, members = await client.add_learner(lone.urls, at.peer_url)
        assert {member.id: (member.name, member.is_learner) for member in members if member.id == added} == {
            added: ("", True)
        }
        with pytest.raises(Refused, match="in sync with leader"):
            await client.promote(lone.urls, added)

        learner = Server(etcd_binaries.etcd, "b", at, tmp_path / "b", f"{lone.founding},b={at.peer_url}", "existing")
        try:
            learner.start()
            await until(lambda: answers(client, learner), 15, "the learner answers")
            status = await client.status(learner.urls)
            assert (status.member_id, status.is_learner) == (added, True)
            assert not await client.readable(learner.urls)
            with pytest.raises(Refused, match="learner"):
                await client.members(learner.urls, linearizable=False)
            with pytest.raises(Refused, match="learner"):
                await client.promote(learner.urls, added)

            await until(lambda: accepted(client.promote((*learner.urls, *lone.urls), added)), 15, "promoted")
            assert not (await client.status(learner.urls)).is_learner
            with pytest.raises(Refused, match="can only promote a learner"):
                await client.promote(lone.urls, added)

            await until(lambda: accepted(client.remove(lone.urls, added)), 15, "removed")
            await client.remove(lone.urls, added)
            assert [member.id for member in await client.members(lone.urls, linearizable=True)] != [added]
        finally:
            learner.kill()


async def answers(client: EtcdClient, server: Server) -> bool:
    try:
        await client.status(server.urls)
    except Unavailable:
        return False
    return True


async def accepted(change: Awaitable[None]) -> bool:
    try:
        await change
    except EcoError:
        return False
    return True


async def test_peer_urls_are_changed(lone: Server, client: EtcdClient) -> None:
    async with serving([lone], client):
        me = (await client.status(lone.urls)).member_id
        await client.update_peer_urls(lone.urls, me, ("http://127.0.0.1:2", lone.at.peer_url))
        (member,) = await client.members(lone.urls, linearizable=True)

    assert member.peer_urls == ("http://127.0.0.1:2", lone.at.peer_url)


async def test_leadership_is_handed_to_the_voter_we_name(three: tuple[Server, ...], client: EtcdClient) -> None:
    async with serving(three, client):
        leader, (follower, other) = await leader_among(three, client)
        heir = (await client.status(follower.urls)).member_id
        with pytest.raises(Refused, match="not leader"):
            await client.move_leader(other.urls, heir)

        await client.move_leader(leader.urls, heir)

        assert (await client.status(leader.urls)).leader == heir


async def test_a_refusal_is_etcds_own_sentence(lone: Server, client: EtcdClient) -> None:
    async with serving([lone], client):
        me = (await client.status(lone.urls)).member_id

        with pytest.raises(Refused, match=r"^etcd at http://\S+ says: Peer URLs already exists$"):
            await client.add_learner(lone.urls, lone.at.peer_url)
        with pytest.raises(Refused, match="given member URLs are invalid"):
            await client.add_learner(lone.urls, "nonsense")
        with pytest.raises(Refused, match="re-configuration failed due to not enough started members"):
            await client.remove(lone.urls, me)


async def test_what_may_pass_is_unavailable(three: tuple[Server, ...], client: EtcdClient) -> None:
    async with serving(three, client):
        leader, (_, other) = await leader_among(three, client)
        other.kill()

        with pytest.raises(Unavailable, match="unhealthy cluster"):
            await client.add_learner(leader.urls, "http://127.0.0.1:3")


async def test_a_change_is_sent_to_the_first_voter_that_answers(
    lone: Server, addresses: Addresses, client: EtcdClient
) -> None:
    dead = addresses.fresh().client_url
    async with serving([lone], client):
        added, _ = await client.add_learner((dead, *lone.urls), "http://127.0.0.1:4")
        await client.remove((dead, *lone.urls), added)
        with pytest.raises(Unavailable):
            await client.remove((dead,), added)


# ------------------------------------------------------------------ what answers badly


async def test_a_refused_connection_is_unavailable_at_once(addresses: Addresses, client: EtcdClient) -> None:
    began = time.monotonic()

    with pytest.raises(Unavailable, match="cannot be reached: Connection refused"):
        await client.status((addresses.fresh().client_url,))

    assert time.monotonic() - began < 1
    assert not await client.readable((addresses.fresh().client_url,))


async def test_a_black_hole_takes_its_share_of_the_deadline_only(
    lone: Server, addresses: Addresses, client: EtcdClient
) -> None:
    at = addresses.fresh()
    async with serving([lone], client):
        with black_hole(at):
            began = time.monotonic()
            assert await client.status((at.client_url, *lone.urls)) == await client.status(lone.urls)
            assert time.monotonic() - began < 2


async def test_silence_is_unavailable_within_the_deadline(addresses: Addresses) -> None:
    client = EtcdClient(look=0.3)
    at = addresses.fresh()
    await client.warm()
    with black_hole(at):
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await client.status((at.client_url,))
        assert time.monotonic() - began < 1.5
    await client.close()


@contextmanager
def black_hole(at: Address) -> Iterator[socket.socket]:
    """Accept connections and say nothing."""
    with socket.create_server((at.host, at.client_port)) as listener:
        yield listener


@pytest.mark.parametrize(
    "url", ["", "nonsense", "ftp://127.0.0.1:1", "http://", "http://[::1", "http://h:x", "http://h:0"]
)
async def test_what_is_no_url_is_unavailable(url: str, client: EtcdClient) -> None:
    with pytest.raises(Unavailable, match="not a client URL"):
        await client.status((url,))


async def test_without_urls_nobody_is_asked(client: EtcdClient) -> None:
    with pytest.raises(Unavailable, match="no client URL"):
        await client.status(())
    with pytest.raises(Unavailable, match="no client URL"):
        await client.remove((), "ab")


@pytest.mark.parametrize(
    "reply", [b"", b"\xff\xff", b"\x08", messages.MemberListResponse(members=[{}]).SerializeToString()]
)
async def test_nonsense_for_a_status_is_corrupt(reply: bytes, addresses: Addresses, client: EtcdClient) -> None:
    at = addresses.fresh()
    async with answering(at, reply):
        with pytest.raises(Corrupt):
            await client.status((at.client_url,))
        with pytest.raises(Corrupt):
            await client.readable((at.client_url,))


@pytest.mark.parametrize(
    "reply",
    [
        b"\xff\xff",
        messages.MemberListResponse(members=[{"name": "no id"}]).SerializeToString(),
        messages.MemberListResponse(members=[{"ID": 1}, {"ID": 1}]).SerializeToString(),
        messages.MemberListResponse(members=[{"name": "x" * (33 << 20)}]).SerializeToString(),
    ],
)
async def test_nonsense_for_a_member_list_is_corrupt(reply: bytes, addresses: Addresses, client: EtcdClient) -> None:
    at = addresses.fresh()
    async with answering(at, reply):
        with pytest.raises(Corrupt):
            await client.members((at.client_url,), linearizable=False)


async def test_fields_of_a_newer_etcd_are_no_hindrance(addresses: Addresses, client: EtcdClient) -> None:
    at = addresses.fresh()
    known = messages.StatusResponse(header={"cluster_id": 0xC, "member_id": 0xA}, version="4.0.0", leader=0xB)
    unknown = b"\x9a\x06\x03new"  # field 99

    async with answering(at, known.SerializeToString() + unknown):
        status = await client.status((at.client_url,))

    assert (status.cluster_id, status.member_id, status.leader, status.version) == ("c", "a", "b", "4.0.0")


@asynccontextmanager
async def answering(at: Address, reply: bytes) -> AsyncIterator[None]:
    """A gRPC server that gives these bytes to every call."""

    class Always(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, _: object) -> object:
            return grpc.unary_unary_rpc_method_handler(self.reply)

        async def reply(self, *_: object) -> bytes:
            return reply

    server = grpc.aio.server(options=[("grpc.max_send_message_length", 64 << 20)])
    server.add_generic_rpc_handlers((Always(),))
    server.add_insecure_port(f"{at.host}:{at.client_port}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


# ------------------------------------------------------------------ authentication and TLS


async def test_with_authentication_on_a_denied_read_still_proves_quorum(
    lone: Server, etcd_binaries: Binaries, client: EtcdClient
) -> None:
    async with serving([lone], client):
        for words in ("user add root:secret", "auth enable"):
            await output(etcd_binaries.etcdctl, f"--endpoints={lone.at.client_url}", *words.split())

        assert await client.readable(lone.urls)
        with pytest.raises(Denied):
            await client.add_learner(lone.urls, "http://127.0.0.1:5")


KEY = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"


@dataclass(frozen=True)
class Papers:
    """A small authority, made with openssl: PEM files in `home`."""

    home: Path

    def make(self, name: str, *, alternative: str) -> None:
        """Write NAME.pem and NAME.key, signed by the authority, which is made at the first call."""
        if not (self.home / "ca.pem").exists():
            self._run(f"req -x509 {KEY} -keyout ca.key -subj /CN=ca -days 2", "ca")
        (self.home / "extensions").write_text(f"subjectAltName={alternative}\n")
        self._run(f"req -new {KEY} -keyout {name}.key -subj /CN={name}", name, ".csr")
        self._run(
            f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions", name
        )

    def read(self, name: str) -> bytes:
        return (self.home / name).read_bytes()

    def _run(self, words: str, name: str, suffix: str = ".pem") -> None:
        argv = ["openssl", *words.split(), "-out", f"{name}{suffix}"]
        subprocess.run(argv, cwd=self.home, check=True, capture_output=True)


async def test_tls_proves_both_sides(lone: Server, tmp_path: Path) -> None:
    papers = Papers(tmp_path)
    papers.make("server", alternative=f"IP:{lone.at.host}")
    papers.make("client", alternative="DNS:client")
    lone.flags = (
        f"--listen-client-urls=https://{lone.at.host}:{lone.at.client_port}",
        f"--advertise-client-urls=https://{lone.at.host}:{lone.at.client_port}",
        f"--cert-file={tmp_path}/server.pem",
        f"--key-file={tmp_path}/server.key",
        f"--trusted-ca-file={tmp_path}/ca.pem",
        "--client-cert-auth",
    )
    ca, cert, key = papers.read("ca.pem"), papers.read("client.pem"), papers.read("client.key")
    urls = (f"https://{lone.at.host}:{lone.at.client_port}",)
    trusted = EtcdClient(Tls(ca, cert, key))
    others = [EtcdClient(tls) for tls in (None, Tls(ca), Tls(b"", cert, key), Tls(ca, cert, key, "elsewhere"))]
    try:
        lone.start()
        await until(lambda: trusted.readable(urls), 20, "it serves over TLS")
        for client in others:
            with pytest.raises(Unavailable):
                await client.status(urls)
    finally:
        lone.kill()
        for client in (trusted, *others):
            await client.close()


async def test_the_server_may_be_known_by_another_name(lone: Server, tmp_path: Path) -> None:
    papers = Papers(tmp_path)
    papers.make("server", alternative="DNS:etcd.example.com")
    urls = (f"https://{lone.at.host}:{lone.at.client_port}",)
    lone.flags = (
        f"--listen-client-urls={urls[0]}",
        f"--advertise-client-urls={urls[0]}",
        f"--cert-file={tmp_path}/server.pem",
        f"--key-file={tmp_path}/server.key",
    )
    client = EtcdClient(Tls(papers.read("ca.pem"), server_name="etcd.example.com"))
    try:
        lone.start()
        await until(lambda: client.readable(urls), 20, "it serves over TLS")
    finally:
        lone.kill()
        await client.close()


# ------------------------------------------------------------------ being a good guest


def test_the_module_alone_does_not_load_grpc() -> None:
    code = "import sys, eco.etcd.client; sys.exit('grpc' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_connections_that_nobody_uses_are_closed(lone: Server, addresses: Addresses) -> None:
    client = EtcdClient(look=0.2, idle=0.5)
    at = addresses.fresh()
    async with serving([lone], client):
        with black_hole(at) as listener:
            with pytest.raises(Unavailable):
                await client.status((at.client_url,))
            connection, _ = listener.accept()
            connection.setblocking(False)

            async def closed() -> bool:
                await client.status(lone.urls)
                try:
                    while connection.recv(4096):
                        pass
                except BlockingIOError:
                    return False
                return True

            await until(closed, 5, "the connection is closed")
            connection.close()


async def test_closing_twice_is_fine(lone: Server) -> None:
    client = EtcdClient()
    await client.close()
    async with serving([lone], client):
        await client.close()
        await client.close()

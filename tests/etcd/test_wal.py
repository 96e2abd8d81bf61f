from __future__ import annotations

import asyncio
import os
import struct
from functools import cache
from typing import TYPE_CHECKING

import grpc.aio
import pytest
from aetcd.rpc import rpc_pb2 as messages
from aetcd.rpc import rpc_pb2_grpc as stubs
from google_crc32c import extend
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eco.errors import Unavailable
from eco.etcd import wal
from eco.etcd.client import EtcdClient
from eco.etcd.wal import Log
from tests.etcd.servers import Server, founders, output, serving, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from eco.etcd.install import Binaries
    from tests.support import Addresses

METADATA, ENTRY, STATE, CRC, MARK = range(1, 6)
PREALLOCATED = bytes(2048)


# ------------------------------------------------------------------ a log, written as etcd writes it


def varint(number: int) -> bytes:
    head = b""
    while number > 0x7F:
        head += bytes([number & 0x7F | 0x80])
        number >>= 7
    return head + bytes([number])


def fields(*numbers: int) -> bytes:
    return b"".join(bytes([at << 3]) + varint(number) for at, number in enumerate(numbers, 1))


def framed(record: bytes) -> bytes:
    padding = -len(record) % 8
    return struct.pack("<Q", len(record) | ((0x80 | padding) << 56 if padding else 0)) + record + bytes(padding)


class Writer:
    """Segments in memory; `cut` begins the next one."""

    def __init__(self, member: int = 0xA, cluster: int = 0xC) -> None:
        self.identity = fields(member, cluster)
        self.crc = 0
        self.segments: list[bytes] = []
        self.indices: list[int] = []
        self.index = 0
        self.state_data = b""
        self.cut()

    def write(self, kind: int, data: bytes) -> None:
        if kind != CRC:
            self.crc = extend(self.crc, data)
        record = bytes([0x08, kind, 0x10]) + varint(self.crc) + (b"\x1a" + varint(len(data)) + data if data else b"")
        self.segments[-1] += framed(record)

    def cut(self) -> None:
        self.indices.append(self.index + 1 if self.segments else 0)
        self.segments.append(b"")
        self.write(CRC, b"")
        self.write(METADATA, self.identity)
        if len(self.segments) > 1:
            self.write(STATE, self.state_data)
        else:
            self.mark(0, 0)

    def entry(self, term: int, index: int, data: bytes = b"value") -> None:
        self.index = index
        self.write(ENTRY, fields(0, term, index) + b"\x22" + varint(len(data)) + data)

    def state(self, term: int, vote: int, commit: int) -> None:
        self.state_data = fields(term, vote, commit)
        self.write(STATE, self.state_data)

    def mark(self, index: int, term: int) -> None:
        self.write(MARK, fields(index, term) + b"\x1a\x02\x08\x01")

    def save(self, directory: Path, first: int = 0) -> Path:
        directory.mkdir(exist_ok=True, parents=True)
        for number, (index, segment) in enumerate(zip(self.indices, self.segments, strict=True)):
            if number >= first:
                path = directory / f"{number:016x}-{index:016x}.wal"
                path.write_bytes(segment + PREALLOCATED)
        return directory


def frames(segment: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """(offset, whole size) of every frame up to the zeros."""
    at = 0
    while at + 8 <= len(segment) and (length := struct.unpack_from("<Q", segment, at)[0]):
        size = 8 + -(-(length & (1 << 56) - 1) // 8) * 8
        yield at, size
        at += size


def agreed(directory: Path) -> Log:
    """Read the log in both ways; they have to tell the same of its identity and its end."""
    log, glance = wal.read(directory), wal.read(directory, whole=False)
    told = ("member_id", "cluster_id", "last_term", "last_index", "term", "vote", "commit", "torn", "damage")
    assert [getattr(log, name) for name in told] == [getattr(glance, name) for name in told]
    return log


def test_a_log_tells_whose_it_is_and_how_far_it_reaches(tmp_path: Path) -> None:
    writer = Writer()
    for index in range(1, 101):
        writer.entry(2, index)
        writer.state(2, 0xA, index - 1)

    log = agreed(writer.save(tmp_path))

    assert log == Log("a", "c", last_term=2, last_index=100, term=2, vote="a", commit=99)


def test_a_later_entry_replaces_the_tail_it_overlaps(tmp_path: Path) -> None:
    writer = Writer()
    for index in range(1, 11):
        writer.entry(2, index)
    writer.entry(3, 6)
    writer.state(3, 0, 5)

    log = agreed(writer.save(tmp_path))

    assert (log.last_term, log.last_index) == (3, 6)


def test_a_received_snapshot_replaces_the_log_it_is_ahead_of(tmp_path: Path) -> None:
    writer = Writer()
    for index in range(1, 11):
        writer.entry(2, index)
    writer.mark(500, 4)
    uncommitted = agreed(writer.save(tmp_path / "uncommitted"))
    writer.state(4, 0, 500)
    committed = agreed(writer.save(tmp_path / "committed"))
    writer.entry(4, 501)
    continued = agreed(writer.save(tmp_path / "continued"))

    assert (uncommitted.last_term, uncommitted.last_index) == (2, 10)
    assert (committed.last_term, committed.last_index) == (4, 500)
    assert (continued.last_term, continued.last_index) == (4, 501)
    assert (continued.snapshot_index, continued.snapshot_term) == (500, 4)


def test_a_mark_of_ones_own_snapshot_changes_nothing(tmp_path: Path) -> None:
    writer = Writer()
    for index in range(1, 11):
        writer.entry(2, index)
    writer.state(2, 0, 10)
    writer.mark(8, 2)

    log = agreed(writer.save(tmp_path))

    assert (log.last_term, log.last_index) == (2, 10)


def test_old_segments_may_be_gone_and_a_new_one_still_without_entries(tmp_path: Path) -> None:
    writer = Writer()
    for index in range(1, 31):
        writer.entry(2, index)
        writer.state(2, 0, index)
        if index % 10 == 0:
            writer.cut()

    log = agreed(writer.save(tmp_path, first=1))

    assert (log.last_index, log.commit, log.damage) == (30, 30, "")


def test_a_learner_that_has_received_nothing_has_a_sound_log(tmp_path: Path) -> None:
    assert agreed(Writer().save(tmp_path)) == Log("a", "c")


@pytest.mark.parametrize("names", [(), ("0.tmp", "lost+found", "0000000000000000-0000000000000000.wal.broken")])
def test_without_segments_there_is_no_log(names: Sequence[str], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).touch()

    assert "there is no write-ahead log" in agreed(tmp_path).damage
    assert "there is no write-ahead log" in agreed(tmp_path / "nowhere").damage


@cache
def in_three_segments() -> Writer:
    writer = Writer()
    for index in range(1, 31):
        writer.entry(2, index, bytes([index]) * 100)
        writer.state(2, 0xA, index)
        if index in (10, 20):
            writer.cut()
    return writer


def three_segments(directory: Path) -> list[Path]:
    """Thirty entries, ten to a segment, all committed."""
    return sorted(in_three_segments().save(directory).iterdir())


def test_a_missing_segment_is_damage(tmp_path: Path) -> None:
    three_segments(tmp_path)[1].unlink()

    assert "a segment of the write-ahead log" in agreed(tmp_path).damage


def test_a_segment_of_another_log_is_damage(tmp_path: Path) -> None:
    last = three_segments(tmp_path)[2]
    stranger = Writer(member=0xB)
    stranger.entry(2, 21)
    last.write_bytes(stranger.segments[0])

    assert "checksum mismatch at byte 0 in 0000000000000002" in wal.read(tmp_path).damage


def test_a_log_that_ends_before_its_commit_index_is_damage(tmp_path: Path) -> None:
    writer = Writer()
    writer.entry(2, 1)
    writer.state(2, 0xA, 7)

    assert "ends at index 1, before its commit index 7" in agreed(writer.save(tmp_path)).damage


def test_a_log_without_identity_is_damage(tmp_path: Path) -> None:
    writer = Writer(member=0)
    writer.entry(2, 1)

    assert "does not say whose it is" in agreed(writer.save(tmp_path)).damage


def test_a_record_cut_by_the_end_of_the_last_file_is_torn(tmp_path: Path) -> None:
    whole = Writer()
    whole.entry(2, 1)
    kept = len(whole.segments[-1])
    whole.entry(2, 2, b"x" * 2000)
    size = len(whole.segments[-1])
    path = next(whole.save(tmp_path).iterdir())

    for end in (kept + 3, kept + 8, kept + 11, kept + 1000, size - 1):
        path.write_bytes(whole.segments[-1][:end])
        log = agreed(tmp_path)
        assert (log.last_index, log.torn, log.damage) == (1, True, "")


def test_a_record_that_misses_a_sector_is_torn_in_the_last_file_only(tmp_path: Path) -> None:
    writer = Writer()
    writer.entry(2, 1)
    writer.entry(2, 2, b"x" * 2000)
    torn = writer.segments[-1][:1024] + bytes(512) + writer.segments[-1][1536:]
    writer.cut()
    writer.segments[0] = torn

    assert "checksum mismatch" in agreed(writer.save(tmp_path)).damage
    (tmp_path / f"{1:016x}-{3:016x}.wal").unlink()
    log = agreed(tmp_path)
    assert (log.last_index, log.torn, log.damage) == (1, True, "")


def test_a_flipped_length_is_damage_not_the_end_of_the_log(tmp_path: Path) -> None:
    paths = three_segments(tmp_path)
    sound = paths[2].read_bytes()
    (offset, _) = list(frames(sound))[5]

    for byte in range(8):
        for bit in range(8):
            broken = bytearray(sound)
            broken[offset + byte] ^= 1 << bit
            paths[2].write_bytes(broken)
            assert wal.read(tmp_path).damage


# ------------------------------------------------------------------ hostile bytes

HASTY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@HASTY
@given(raw=st.binary(max_size=300), number=st.integers(0, 2))
def test_random_bytes_are_never_a_sound_log(raw: bytes, number: int, tmp_path: Path) -> None:
    path = three_segments(tmp_path)[number]
    path.write_bytes(raw)

    log = wal.read(tmp_path)

    assert log.damage or log.torn or log.last_index == 20 < number * 15
    wal.read(tmp_path, whole=False)


@HASTY
@given(data=st.data())
def test_a_flip_that_the_checksum_covers_is_never_overlooked(data: st.DataObject, tmp_path: Path) -> None:
    paths = three_segments(tmp_path)
    path = data.draw(st.sampled_from(paths))
    raw = bytearray(path.read_bytes())
    offset, _ = data.draw(st.sampled_from(list(frames(raw))))
    size = raw[offset] - 2  # without the type and, for a short record, what stands before it
    raw[offset + 8 + 2 + data.draw(st.integers(0, size - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(raw)

    log = wal.read(tmp_path)

    assert log.damage
    assert not log.torn
    wal.read(tmp_path, whole=False)


@HASTY
@given(flips=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=40))
def test_many_flips_neither_crash_nor_hang(flips: list[tuple[int, int]], tmp_path: Path) -> None:
    path = three_segments(tmp_path)[-1]
    raw = bytearray(path.read_bytes())
    for at, value in flips:
        raw[at % len(raw)] = value
    path.write_bytes(raw)

    for whole in (True, False):
        assert isinstance(wal.read(tmp_path, whole=whole), Log)


@HASTY
@given(end=st.integers(0, 4000))
def test_a_log_cut_anywhere_never_reaches_further_than_before(end: int, tmp_path: Path) -> None:
    path = three_segments(tmp_path)[-1]
    path.write_bytes(path.read_bytes()[:end])

    log = wal.read(tmp_path)

    assert not log.damage
    assert 20 <= log.last_index <= 30


def test_a_huge_sparse_file_is_read_in_bounded_memory(tmp_path: Path) -> None:
    path = three_segments(tmp_path)[-1]
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    assert agreed(tmp_path).last_index == 30

    with path.open("r+b") as file:
        file.write(struct.pack("<Q", 1 << 39))
    assert "impossible length" in wal.read(tmp_path).damage


# ------------------------------------------------------------------ etcd's own


@pytest.fixture
def lone(etcd_binaries: Binaries, addresses: Addresses, tmp_path: Path) -> Server:
    (server,) = founders(etcd_binaries.etcd, addresses.several(1), tmp_path)
    return server


async def write(server: Server, count: int, size: int) -> None:
    """Put values of random bytes, several at a time."""
    async with grpc.aio.insecure_channel(f"{server.at.host}:{server.at.client_port}") as channel:
        put = stubs.KVStub(channel).Put
        left = iter(range(count))

        async def writer() -> None:
            for number in left:
                await put(messages.PutRequest(key=b"%d" % (number % 50), value=os.urandom(size)), wait_for_ready=True)

        await asyncio.gather(*(writer() for _ in range(8)))


async def test_a_killed_etcds_log_says_what_etcd_said(lone: Server) -> None:
    client = EtcdClient()
    async with serving([lone], client):
        await write(lone, 100, 50)
        status = await client.status(lone.urls)
        lone.kill()

        log = agreed(lone.wal)

    assert (log.member_id, log.cluster_id, log.vote) == (status.member_id, status.cluster_id, status.member_id)
    assert (log.last_term, log.term, log.torn, log.damage) == (status.term, status.term, False, "")
    assert log.last_index >= status.raft_index > 100


async def test_restarts_leave_a_sound_log_that_only_grows(lone: Server) -> None:
    logs = []
    for _ in range(3):
        client = EtcdClient()
        async with serving([lone], client):
            await write(lone, 20, 50)
            lone.kill()
            logs.append(agreed(lone.wal))

    assert not any(log.damage or log.torn for log in logs)
    ends = [(log.last_term, log.last_index) for log in logs]
    assert ends == sorted(set(ends))


async def test_a_log_of_several_segments_is_followed_through_all(lone: Server) -> None:
    lone.flags = ("--quota-backend-bytes=1000000000",)
    client = EtcdClient()
    async with serving([lone], client):
        await write(lone, 150, 1 << 20)
        status = await client.status(lone.urls)
        lone.kill()
        log = agreed(lone.wal)
        lone.start()
        await lone.served(client)
        lone.kill()
        again = agreed(lone.wal)

    assert len(wal.segments(lone.wal)) > 2
    assert (log.last_term, log.torn, log.damage) == (status.term, False, "")
    assert log.last_index >= status.raft_index
    assert (again.last_term, again.damage) == (status.term + 1, "")


async def test_a_member_that_began_with_a_snapshot_reaches_as_far_as_its_leader(
    lone: Server, etcd_binaries: Binaries, addresses: Addresses, tmp_path: Path
) -> None:
    at = addresses.fresh()
    lone.flags = ("--snapshot-count=10", "--snapshot-catchup-entries=1")
    client = EtcdClient()
    async with serving([lone], client):
        await write(lone, 200, 50)
        added, _ = await client.add_learner(lone.urls, at.peer_url)
        initial = f"{lone.founding},b={at.peer_url}"
        learner = Server(etcd_binaries.etcd, "b", at, tmp_path / "b", initial, "existing")

        async def caught_up() -> bool:
            try:
                mine, its = await client.status(lone.urls), await client.status(learner.urls)
            except Unavailable:
                return False
            return its.applied_index >= mine.applied_index

        try:
            learner.start()
            await until(caught_up, 20, "the learner catches up")
            target = (await client.status(lone.urls)).raft_index
        finally:
            learner.kill()

        log = agreed(learner.wal)

    assert log.snapshot_index > 100
    assert (log.member_id, log.damage) == (added, "")
    assert log.last_index >= target


async def test_a_restored_directory_has_a_sound_log(lone: Server, etcd_binaries: Binaries, tmp_path: Path) -> None:
    client = EtcdClient()
    async with serving([lone], client):
        await write(lone, 20, 50)
        await output(etcd_binaries.etcdctl, f"--endpoints={lone.at.client_url}", "snapshot", "save", tmp_path / "db")
    restored = tmp_path / "restored"
    flags = (
        f"--name={lone.name}",
        f"--initial-cluster={lone.founding}",
        f"--initial-advertise-peer-urls={lone.at.peer_url}",
    )
    await output(etcd_binaries.etcdutl, "snapshot", "restore", tmp_path / "db", f"--data-dir={restored}", *flags)

    log = agreed(restored / "member" / "wal")

    assert log.damage == ""
    assert log.member_id
    assert log.last_index == log.commit == log.snapshot_index > 0


async def test_etcd_agrees_about_what_is_torn_and_what_is_damaged(lone: Server) -> None:
    client = EtcdClient()
    async with serving([lone], client):
        await write(lone, 30, 3000)
        lone.kill()
        (segment,) = wal.segments(lone.wal)
        sound = segment.read_bytes()
        log = agreed(lone.wal)
        offset = [at for at, size in frames(sound) if size > 3000][-1]
        middle = (offset + 1500) // 512 * 512

        segment.write_bytes(sound[: offset + 1500])
        cut = agreed(lone.wal)
        segment.write_bytes(sound[:middle] + bytes(512) + sound[middle + 512 :])
        holed = agreed(lone.wal)
        lone.start()
        await lone.served(client)
        lone.kill()
        flipped = bytearray(sound)
        flipped[middle] ^= 1
        segment.write_bytes(flipped)
        damaged = agreed(lone.wal)
        lone.start()
        ended = await asyncio.to_thread(lone.ended, 15)

    assert log.last_index > cut.last_index == holed.last_index > 20
    assert (cut.torn, cut.damage, holed.torn, holed.damage) == (True, "", True, "")
    assert "checksum mismatch" in damaged.damage
    assert ended != 0


async def test_etcd_itself_drops_what_lies_behind_a_flipped_length_and_we_do_not(lone: Server) -> None:
    client = EtcdClient()
    async with serving([lone], client):
        await write(lone, 30, 3000)
        revision = (await client.status(lone.urls)).revision
        lone.kill()
        (segment,) = wal.segments(lone.wal)
        flipped = bytearray(segment.read_bytes())
        flipped[[at for at, size in frames(flipped) if size > 3000][10] + 3] ^= 0x80
        segment.write_bytes(flipped)
        (lone.directory / "member" / "snap" / "db").unlink()
        log = wal.read(lone.wal)
        lone.start()
        await lone.served(client)

        assert (await client.status(lone.urls)).revision < revision

    assert log.damage

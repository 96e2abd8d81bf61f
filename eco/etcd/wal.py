"""What a write-ahead log holds, read offline: whose it is, how far it reaches, whether it is sound.

A log is a directory of segments `<seq>-<index>.wal`. A segment is a row of frames, each a
little-endian 64-bit length (its top byte is 0x80 plus the count of padding bytes, where there
are any), a protobuf record {1: type, 2: crc, 3: data} and zeros up to a multiple of eight; zeros
fill the preallocated rest. The crc32c rolls over the data of all records and is carried into the
next segment by a crc record. Each segment begins with crc, metadata (member and cluster id) and,
but for the first, the HardState. Source: etcd server/storage/wal, the same from 3.4 to 3.7.

Raft's rule for the tail: an entry replaces every earlier one of the same or a higher index, so
the last entry record is the last entry, whatever its index. A snapshot received from the leader
replaces a log that it is ahead of, once it is committed.

etcd cuts off what a power cut tore: in the last segment alone, a record that passes the end of
the file, or one that fails its check and has an all-zero sector. So do we, but more strictly:
etcd also takes a flipped bit in a length for a cut, and drops all acknowledged writes behind it.
Here that is damage, and so is a log that ends before its own commit index.

This module never writes and takes no lock. It uses memory for one chunk and one record.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from struct import Struct
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from google_crc32c import extend

from eco.etcd.ids import hexed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from eco.core.model import Id

_METADATA, _ENTRY, _STATE, _CRC, _SNAPSHOT = range(1, 6)
_TYPE_TAG, _CRC_TAG, _DATA_TAG = 0x08, 0x10, 0x1A
_NAME = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}\.wal")
_LENGTH = Struct("<Q")
_SIZE = (1 << 56) - 1
_TOP = (0x00, 0x87, 0x86, 0x85, 0x84, 0x83, 0x82, 0x81)
"""The top byte of a length, by the length modulo 8."""
_SECTOR = 512
_CHUNK = 1 << 20
_LONGEST_RECORD = 256 << 20
_LONGEST_RECORD_HEAD = 18
_HEAD_OF_SEGMENT = 3
_GLANCE = 16
_MORE = 0x80
_U64 = (1 << 64) - 1


@dataclass(frozen=True)
class Log:
    """What the records that were read say. Everything is "" or 0 that they do not tell.

    `last_term` and `last_index` are the last entry's, by which Raft ranks logs. `term`, `vote`
    and `commit` are the last HardState's; the commit index is written lazily and may lag.
    `snapshot_term` and `snapshot_index` are the last snapshot mark's. `torn`: a last write was
    cut short and is not counted, as etcd will not count it either. `damage` says what is wrong,
    "" when nothing is; then the other values are those up to the damage.
    """

    member_id: Id = ""
    cluster_id: Id = ""
    last_term: int = 0
    last_index: int = 0
    term: int = 0
    vote: Id = ""
    commit: int = 0
    snapshot_term: int = 0
    snapshot_index: int = 0
    torn: bool = False
    damage: str = ""


def segments(directory: Path) -> tuple[Path, ...]:
    """List the log's segments in order; whatever else lies there is not etcd's to read. Raises `OSError`."""
    return tuple(sorted(path for path in directory.iterdir() if _NAME.fullmatch(path.name)))


def read(directory: Path, *, whole: bool = True) -> Log:
    """Read the log in `directory`. Raises `OSError` when the disk does not give it.

    The whole log is read and every checksum compared: some 5 microseconds a record. Without
    `whole`, all frames of the last segment are walked, but only its first and last records are
    compared: enough to know whose log it is and where it ends before etcd, which checks all,
    is started on it.
    """
    paths = segments(directory) if directory.is_dir() else ()
    if not paths:
        return Log(damage=f"there is no write-ahead log in {directory}")
    numbers = [int(path.name[:16], 16) for path in paths]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return Log(damage=f"a segment of the write-ahead log in {directory} is missing")
    reading = _Reading()
    if whole or not reading.glance(paths[-1]):
        reading = _Reading()
        reading.whole(paths)
    log = reading.log()
    return log if log.damage else replace(log, damage=_contradiction(log))


def _contradiction(log: Log) -> str:
    if not log.member_id or not log.cluster_id:
        return "the write-ahead log does not say whose it is"
    if log.commit > log.last_index:
        return f"the write-ahead log ends at index {log.last_index}, before its commit index {log.commit}"
    return ""


class _Broken(Exception):
    """Reading cannot go on. `torn`: a cut write would look like this, if it was the last one."""

    def __init__(self, what: str, *, torn: bool = False) -> None:
        super().__init__(what)
        self.torn = torn


_Frame: TypeAlias = tuple[int, bytes, int, int]
"""(offset of the frame in its file, a buffer, begin and end of the record in it)."""


class _Reading:
    """What a `Log` is made of, while records are taken in. They are decoded at the end only."""

    def __init__(self) -> None:
        self.crc: int | None = None
        self.metadata = b""
        self.state = b""
        self.entry = b""
        self.mark = b""
        self.before_mark = b""
        self.torn = False
        self.damage = ""

    def whole(self, paths: Sequence[Path]) -> None:
        """Take in all segments, up to the first that is broken."""
        for path in paths:
            try:
                with path.open("rb") as file:
                    self.take(_frames(file))
            except _Broken as broken:
                self.torn = broken.torn and path == paths[-1]
                self.damage = "" if self.torn else f"the write-ahead log is damaged: {broken} in {path.name}"
                return

    def glance(self, path: Path) -> bool:
        """Take in head and tail of the last segment; False when that does not tell the last entry."""
        try:
            with path.open("rb") as file:
                frames = _frames(file)
                self.take(islice(frames, _HEAD_OF_SEGMENT))
                tail = deque(frames, maxlen=_GLANCE)
            if len(tail) == _GLANCE:
                _, self.crc, _ = _unpacked(*tail.popleft())
            self.take(tail)
        except _Broken:
            return False
        return bool(self.entry)

    def take(self, frames: Iterable[_Frame]) -> None:
        """Check and keep records in order. Raises `_Broken`. This is the hot loop."""
        running = self.crc
        for frame in frames:
            kind, crc, data = _unpacked(*frame)
            if kind != _CRC:
                running = extend(running or 0, data)
            elif running is None:
                running = crc
            if running != crc:
                offset, buffer, start, end = frame
                torn = _has_zero_sector(offset + _LENGTH.size, buffer[start:end])
                raise _Broken(f"checksum mismatch at byte {offset}", torn=torn)
            if kind == _ENTRY:
                self.entry = data
            elif kind == _STATE:
                self.state = data
            elif kind != _CRC:
                self.keep(kind, data, frame[0])
        if running is None:
            raise _Broken("no record", torn=True)
        self.crc = running

    def keep(self, kind: int, data: bytes, offset: int) -> None:
        """Keep one of the rarer records. Raises `_Broken`."""
        if kind == _SNAPSHOT:
            self.mark, self.before_mark = data, self.entry
        elif kind == _METADATA and self.metadata in (b"", data):
            self.metadata = data
        else:
            raise _Broken(f"a record that does not belong there at byte {offset}")

    def log(self) -> Log:
        """Decode what was kept."""
        member, cluster = _numbers(self.metadata, 2)
        _, last_term, last_index = _numbers(self.entry, 3)
        term, vote, commit = _numbers(self.state, 3)
        mark_index, mark_term = _numbers(self.mark, 2)
        ahead = mark_index > last_index or mark_term > last_term
        if ahead and mark_index <= commit and self.entry is self.before_mark:
            last_index, last_term = mark_index, mark_term
        return Log(
            member_id=hexed(member),
            cluster_id=hexed(cluster),
            last_term=last_term,
            last_index=last_index,
            term=term,
            vote=hexed(vote),
            commit=commit,
            snapshot_term=mark_term,
            snapshot_index=mark_index,
            torn=self.torn,
            damage=self.damage,
        )


def _frames(file: BinaryIO) -> Iterator[_Frame]:
    """Yield each frame up to the zeros or the end of the file. Raises `_Broken`."""
    buffer, at, base, wanted = b"", 0, 0, _LENGTH.size
    while True:
        buffer, base, at = buffer[at:] + file.read(max(_CHUNK, wanted)), base + at, 0
        if len(buffer) < wanted:
            if buffer:
                raise _Broken(f"a record cut short at byte {base}", torn=_is_cut(base, buffer))
            return
        wanted = _LENGTH.size
        while len(buffer) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, at)
            if not length:
                return
            size = length & _SIZE
            if length >> 56 != _TOP[size & 7] or size > _LONGEST_RECORD:
                raise _Broken(f"an impossible length at byte {base + at}")
            start = at + _LENGTH.size
            following = start + (size + 7 & ~7)
            if following > len(buffer):
                wanted = following - at
                break
            yield base + at, buffer, start, start + size
            at = following


def _unpacked(offset: int, buffer: bytes, start: int, end: int) -> tuple[int, int, bytes]:
    """Split a record into type, crc and data. Raises `_Broken`."""
    try:
        crc, at = _varint(buffer, start + 3)
        if buffer[start] == _TYPE_TAG and buffer[start + 2] == _CRC_TAG:
            if at == end:
                return buffer[start + 1], crc, b""
            size, data = _varint(buffer, at + 1)
            if buffer[at] == _DATA_TAG and data + size == end:
                return buffer[start + 1], crc, buffer[data:end]
    except IndexError:
        pass
    torn = _lacks_head(offset + _LENGTH.size, buffer[start:end])
    raise _Broken(f"a malformed record at byte {offset}", torn=torn)


def _numbers(message: bytes, count: int) -> tuple[int, ...]:
    """Decode the varint fields 1 to `count` at the head of a message; what follows is not needed."""
    numbers, at = [0] * count, 0
    try:
        while at < len(message) and 0 < (field := message[at] >> 3) <= count and not message[at] & 7:
            numbers[field - 1], at = _varint(message, at + 1)
    except IndexError:
        pass
    return tuple(numbers)


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """Decode (value, position after it). Raises `IndexError` past the end or past 64 bits."""
    value = raw[at]
    if value < _MORE:
        return value, at + 1
    value &= 0x7F
    for shift in range(7, 64, 7):
        at += 1
        byte = raw[at]
        if byte < _MORE:
            return (value | byte << shift) & _U64, at + 1
        value |= (byte & 0x7F) << shift
    raise IndexError(at)


def _is_cut(offset: int, frame: bytes) -> bool:
    """Tell whether a frame that the end of its file cuts short is as long as its own record says."""
    start = _LENGTH.size
    if len(frame) < start + _LONGEST_RECORD_HEAD or _lacks_head(offset + start, frame[start:]):
        return True
    try:
        _, at = _varint(frame, start + 3)
        size, at = _varint(frame, at + 1)
    except IndexError:
        return False
    (length,) = _LENGTH.unpack_from(frame)
    return at + size == start + (int(length) & _SIZE)


def _lacks_head(offset: int, record: bytes) -> bool:
    """Tell whether a sector with the first bytes of a record, which are its type, crc and size, is all zero."""
    share = -offset % _SECTOR
    return _has_zero_sector(offset, record[: share if share >= _LONGEST_RECORD_HEAD else share + _SECTOR])


def _has_zero_sector(offset: int, data: bytes) -> bool:
    """Tell whether the share of `data`, which lies at `offset` of its file, in any one sector is all zero."""
    edges = (0, *range(-offset % _SECTOR, len(data), _SECTOR), len(data))
    return any(start < end and not any(data[start:end]) for start, end in pairwise(edges))

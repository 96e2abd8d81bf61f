"""The smallest log that etcd would have written: whose it is, and one committed entry."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from google_crc32c import extend

if TYPE_CHECKING:
    from pathlib import Path

METADATA, ENTRY, STATE, CRC, SNAPSHOT = range(1, 6)


def write_log(directory: Path, member: str, cluster: str) -> None:
    """Write the log of this member (ids in hex) into `directory`, unless there is one."""
    if directory.is_dir():
        return
    identity = fields(int(member, 16), int(cluster, 16))
    mark, entry = fields(0, 0) + b"\x1a\x02\x08\x01", fields(0, 2, 1) + b"\x22\x01x"
    records = ((METADATA, identity), (SNAPSHOT, mark), (ENTRY, entry), (STATE, fields(2, 0, 1)))
    crc, segment = 0, framed(CRC, 0, b"")
    for kind, data in records:
        crc = extend(crc, data)
        segment += framed(kind, crc, data)
    directory.mkdir(parents=True)
    (directory / f"{0:016x}-{0:016x}.wal").write_bytes(segment + bytes(2048))


def fields(*numbers: int) -> bytes:
    """A protobuf message of these numbers, in fields 1, 2, 3 …"""
    return b"".join(bytes([at << 3]) + varint(number) for at, number in enumerate(numbers, 1))


def framed(kind: int, crc: int, data: bytes) -> bytes:
    record = bytes([0x08, kind, 0x10]) + varint(crc) + (b"\x1a" + varint(len(data)) + data if data else b"")
    padding = -len(record) % 8
    return struct.pack("<Q", len(record) | ((0x80 | padding) << 56 if padding else 0)) + record + bytes(padding)


def varint(number: int) -> bytes:
    head = b""
    while number > 0x7F:
        head += bytes([number & 0x7F | 0x80])
        number >>= 7
    return head + bytes([number])

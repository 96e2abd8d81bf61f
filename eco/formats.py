"""JSON in and out for the values of the core: stamps, charters, rosters, reports.

Everything read from a disk, a store or a peer is hostile until parsed here: size bounded by the
caller, types and enums checked strictly, unknown fields ignored (a newer agent may have written
them), a newer `version` refused.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar, cast

import msgspec

from eco.errors import Corrupt

T = TypeVar("T")

VERSION = 1
"""Of every JSON document we write; one written with a higher number is not interpreted."""


class _Versioned(msgspec.Struct):
    version: int = VERSION


def parse(kind: type[T], raw: bytes, what: str) -> T:
    """`raw` as a `kind` (a frozen dataclass). Raises `Corrupt`, naming `what` and the first fault."""
    try:
        version = msgspec.json.decode(raw, type=_Versioned).version
        if version > VERSION:
            raise Corrupt(f"{what} has format version {version}; this eco reads up to {VERSION}: upgrade it")
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as fault:
        raise Corrupt(f"{what} is malformed: {fault}") from fault
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise Corrupt(f"{what} is not JSON: {fault}") from fault


def plain(value: object) -> dict[str, Any]:
    """`value` (a frozen dataclass) as JSON types."""
    return cast("dict[str, Any]", msgspec.to_builtins(value))


def dump(value: object) -> bytes:
    """`value` as one line of JSON with its format version, newline at the end."""
    return json.dumps({"version": VERSION, **plain(value)}, separators=(",", ":")).encode() + b"\n"

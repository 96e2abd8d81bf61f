"""JSON in and out for the values of the core: stamps, charters, rosters, reports, journal lines.

Everything read from a disk, a store or a peer is hostile until parsed here: size bounded by the
caller, types and enums checked strictly, unknown fields ignored (a newer agent may have written
them), a newer `version` refused.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from eco.errors import Corrupt

T = TypeVar("T")

VERSION = 1
"""Of every JSON document we write; one written with a higher number is not interpreted."""


@cache
def _adapter(kind: type[T]) -> TypeAdapter[T]:
    with_config(ConfigDict(extra="ignore", strict=False))(kind)
    return TypeAdapter(kind)


def parse(kind: type[T], raw: bytes, what: str) -> T:
    """`raw` as a `kind` (a frozen dataclass). Raises `Corrupt`, naming `what` and the first fault."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as fault:
        raise Corrupt(f"{what} is not JSON: {fault}") from fault
    if not isinstance(document, dict):
        raise Corrupt(f"{what} is not a JSON object")
    version = document.get("version", VERSION)
    if not isinstance(version, int) or version > VERSION:
        raise Corrupt(f"{what} has format version {version!r}; this eco reads up to {VERSION}: upgrade it")
    try:
        return cast("T", _adapter(kind).validate_python(document))
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "it"
        raise Corrupt(f"{what} is malformed: {where}: {first['msg']}") from fault


def plain(value: object) -> dict[str, Any]:
    """`value` (a frozen dataclass) as JSON types."""
    return cast("dict[str, Any]", _adapter(type(value)).dump_python(value, mode="json"))


def dump(value: object) -> bytes:
    """`value` as one line of JSON with its format version, newline at the end."""
    return json.dumps({"version": VERSION, **plain(value)}, separators=(",", ":")).encode() + b"\n"

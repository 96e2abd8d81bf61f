"""Reading the journal: the decisions an agent wrote down, newest last.

A journal is as hostile as any file: a power cut tears its last line, an older or newer agent
wrote other fields, somebody edited it. A line that is no decision is skipped and counted; it
never hides the others.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from eco.formats import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CHUNK = 1 << 16
MOST = 16 << 20
"""Bytes read from the end of one journal file: enough for thousands of decisions."""


@dataclass(frozen=True)
class Entry:
    """One decision. Absent texts are "", absent lists empty; `facts` is whatever stood there."""

    at: str = ""
    boot: float = 0.0
    me: str = ""
    situation: str = ""
    step: str = ""
    because: str = ""
    outcome: str = ""
    refused: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """The last entries of a journal in the order they happened, and the number of lines among
    them that are no decision (a torn last line is not counted: that is how a power cut looks)."""

    entries: tuple[Entry, ...]
    skipped: int = 0


def last(journal: Path, count: int) -> Page:
    """The last `count` entries of `journal` and, where it holds fewer, of its rotated predecessor.

    Raises `OSError` when the journal cannot be read; a missing predecessor is none.
    """
    page = _page(_tail(journal, count), count)
    if len(page.entries) == count:
        return page
    try:
        before = _page(_tail(journal.with_name(journal.name + ".1"), count), count - len(page.entries))
    except FileNotFoundError:
        return page
    return Page(before.entries + page.entries, before.skipped + page.skipped)


def parse(line: bytes) -> Entry | None:
    """One journal line, or None when it is no decision."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.get("version", VERSION) != VERSION:
        return None
    fields = cast("dict[str, object]", document)
    facts, boot = fields.get("facts"), fields.get("boot")
    return Entry(
        boot=float(boot) if isinstance(boot, float) else 0.0,
        **{name: text(fields.get(name)) for name in ("at", "me", "situation", "step", "because", "outcome")},
        refused=_texts(fields.get("refused")),
        alarms=_texts(fields.get("alarms")),
        facts=cast("dict[str, object]", facts) if isinstance(facts, dict) else {},
    )


def _page(lines: list[bytes], count: int) -> Page:
    torn = lines.pop()
    entries = [parse(line) for line in lines if line.strip()]
    if torn.strip():
        entries += [entry] if (entry := parse(torn)) else []
    wanted = entries[-count:]
    kept = tuple(entry for entry in wanted if entry)
    return Page(kept, len(wanted) - len(kept))


def _tail(journal: Path, count: int) -> list[bytes]:
    """The file's last lines, at least `count` if it has them; the last has no newline yet."""
    with journal.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        floor = max(0, position - MOST)
        tail = b""
        step = CHUNK
        while position > floor and tail.count(b"\n") <= count:
            step = min(step, position - floor)
            position -= step
            file.seek(position)
            tail = file.read(step) + tail
            step *= 2
    lines = tail.split(b"\n")
    return lines if position == 0 else lines[1:]


def text(value: object) -> str:
    """A value for people: texts as they are, everything else as JSON."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(text(item) for item in value) if isinstance(value, list) else ()

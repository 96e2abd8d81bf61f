"""The journal: every decision that changed something, with the facts it was based on (rule I11).

One JSON object a line in `<data-dir>/eco/journal.jsonl`, rotated to `.1` at 8 MiB. A step is
written before it is taken and again with its outcome; a wait is written when its sentence changes.
Steps that change the cluster or the disk carry the whole observation.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from eco.core.sight import Known, Unknown

if TYPE_CHECKING:
    from pathlib import Path

    from eco.core.decision import Decision
    from eco.core.model import Observation

log = logging.getLogger(__name__)

LIMIT = 8 << 20
"""Bytes at which the file is rotated."""


@dataclass
class Journal:
    """Appends to `path`. A journal that cannot be written is reported once and never stops etcd."""

    path: Path
    trouble: str = ""
    """Why the last line could not be written, "" when it was."""
    _last: str = field(default="", repr=False)

    def waited(self, decision: Decision, o: Observation, at: str) -> None:
        """Write a wait, if its sentence (numbers apart) is a new one."""
        gist = decision.situation.value + "".join(c for c in decision.because if not c.isdigit())
        if gist != self._last:
            self._last = gist
            self.write(decision, o, at, "waits", facts=False)

    def write(self, decision: Decision, o: Observation, at: str, outcome: str, *, facts: bool) -> None:
        """Append one line."""
        line = {
            "version": 1,
            "at": at,
            "boot": round(o.now, 3),
            "me": o.me,
            "situation": decision.situation.value,
            "step": type(decision.step).__name__,
            "because": decision.because,
            "outcome": outcome,
            "refused": decision.refused,
            "alarms": decision.alarms,
            "facts": as_json(o) if facts else {},
        }
        self._append(json.dumps(line, separators=(",", ":")).encode() + b"\n")

    def _append(self, line: bytes) -> None:
        try:
            if self.path.exists() and self.path.stat().st_size > LIMIT:
                self.path.replace(self.path.with_suffix(".jsonl.1"))
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                _write(handle, line)
            finally:
                os.close(handle)
            self.trouble = ""
        except OSError as fault:
            if not self.trouble:
                log.warning("The journal cannot be written: %s. Everything else goes on.", fault)
            self.trouble = str(fault)


def _write(handle: int, line: bytes) -> None:
    """Append a line whole; what a power cut or a full disk tore before it stays a line of its own."""
    end = os.lseek(handle, 0, os.SEEK_END)
    if end and os.pread(handle, 1, end - 1) != b"\n":
        line = b"\n" + line
    if os.write(handle, line) < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def as_json(value: object) -> Any:
    """A value of the core as JSON types: a sight is `{"known": …}` or `{"unknown": because}`."""
    match value:
        case Known(inner):
            return {"known": as_json(inner)}
        case Unknown(because):
            return {"unknown": because}
        case Enum():
            return value.value
        case dict():
            return {str(key): as_json(item) for key, item in value.items()}
        case tuple() | list():
            return [as_json(item) for item in value]
        case _ if is_dataclass(value):
            return {f.name: as_json(getattr(value, f.name)) for f in fields(value)}
        case _:
            return value

"""Why etcd ended, from its exit status and its last words. Pure.

etcd logs one JSON object a line; a Go panic leaves plain text. The sentences below were provoked on
3.4.23, 3.5.33, 3.6.14 and 3.7.1: a busy port, a removed member, a full and a read-only disk, flipped
bits and cut files. Whether data is damaged is only ever read off the line that etcd died of: much
lesser things are warned of in passing.
"""

from __future__ import annotations

import json
import re
import signal
from dataclasses import dataclass

from eco.core.model import Exit

LONGEST = 300
"""Characters of the last words."""

_REMOVED = re.compile(
    r"the member has been permanently removed from the cluster|data-dir used by this member must be"
    # Asked for its status between its removal and its end, 3.6 panics (membership.IsLocalMemberLearner).
    r"|failed to find local ID in cluster members"
)
_PORT_BUSY = re.compile(r"address already in use")
_DISK = re.compile(r"no space left on device|disk quota exceeded|read-only file system|input/output error")
_DAMAGED = re.compile(
    r"""crc\ mismatch | wal:\ file\ not\ found | failed\ to\ (read|repair)\ WAL | proto:\s
    | was\ the\ raft\ log\ corrupted | cannot\ use\ none\ as\ id
    | invalid\ database | file\ size\ too\ small | checksum\ error | Page\ expected\ to\ be | freepages:
    | (invalid|unexpected)\ (freelist|page) | already\ freed
    | failed\ to\ recover\ (from|v3\ backend\ from)\ snapshot | older\ than\ snapshot\ index
    | failed\ to\ restore\ mvcc\ store""",
    re.VERBOSE | re.IGNORECASE,
)
_GO_DIES = re.compile(r"(?:panic|fatal error): (.+)")


def judge(status: int | None, log: bytes, *, disk: str = "") -> tuple[Exit, str]:
    """What an end that nobody asked for means, and a clause for a human, at most 300 characters.

    `status` is the exit code, negative for a signal, None where it is not known (an earlier agent's child).
    `log` is what etcd wrote since it started, `disk` what the filesystem itself says is wrong with it: a full
    one takes no last words.
    """
    lines = [line for raw in log.decode(errors="replace").splitlines() if (line := _read(raw))]
    if removed := next((line for line in lines if _REMOVED.search(line.text)), None):
        return Exit.REMOVED, _clause(removed.text)
    if status == 0:
        return Exit.REMOVED, "it exited by itself without an error, as a removed member does"
    death = _death(lines)
    words = _clause(death.text if death else disk or _unspoken(status, _complaint(lines)))
    for exit_, pattern in ((Exit.PORT_BUSY, _PORT_BUSY), (Exit.DISK, _DISK)):
        if death and pattern.search(death.text):
            return exit_, words
    if disk:
        return Exit.DISK, words
    return (Exit.DAMAGED if death and _DAMAGED.search(death.text) else Exit.CRASHED), words


@dataclass(frozen=True)
class _Line:
    level: str
    text: str


def _read(raw: str) -> _Line | None:
    """A line of the log; None for one that was cut short, as a full disk does."""
    if match := _GO_DIES.match(raw):
        return _Line("go", match.group(1))
    if not raw.startswith("{"):
        return _Line("plain", raw)
    try:
        entry = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    parts = (entry.get("msg"), entry.get("error"))
    return _Line(str(entry.get("level")), ": ".join(str(part) for part in parts if part))


def _death(lines: list[_Line]) -> _Line | None:
    """The line etcd died of. zap's own says more than the Go panic that follows it; of Go's, the first counts."""
    fatal = [line for line in lines if line.level in {"fatal", "panic", "dpanic"}]
    go = [line for line in lines if line.level == "go"]
    return fatal[-1] if fatal else go[0] if go else None


def _complaint(lines: list[_Line]) -> str:
    """What etcd said when it refused its flags: a last warning, or plain text ahead of its usage."""
    if lines and lines[-1].level in {"warn", "error"}:
        return lines[-1].text
    return next((line.text for line in lines if line.level == "plain" and line.text.strip()), "")


def _unspoken(status: int | None, complaint: str) -> str:
    if status is None:
        return "it left no word, and its exit status went to an earlier agent"
    if status < 0:
        cause = " (by hand, or because memory ran out)" if status == -signal.SIGKILL else ""
        return f"it was killed by {_name(-status)}{cause}"
    return f"it exited with status {status}" + (f": {complaint}" if complaint else " and left no word")


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _clause(text: str) -> str:
    line = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(line.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"

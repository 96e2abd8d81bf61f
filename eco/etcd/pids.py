"""Which process a pid stands for, now.

A pid alone names nothing: it is given again. A pid with its start time names one process, and its
command line tells which data directory it works on. Read from /proc, or asked of `ps` where there is
none.
"""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PROC = Path("/proc")
_HAS_PROC = (_PROC / "self" / "stat").exists()


def start_time(pid: int) -> str | None:
    """An opaque text that differs between two processes with the same pid; None when there is none, or a zombie."""
    state, started = _from_proc(pid) if _HAS_PROC else _from_ps(pid)
    return None if state[:1] in {"", "Z", "X"} else started


def lives(pid: int, started: str) -> bool:
    """Whether a process that was this one lately still is; cheap enough to be asked many times a second."""
    if _HAS_PROC:
        return start_time(pid) == started
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def is_running(pid: int, started: str, data: Path) -> bool:
    """Whether this very process still runs and its command line names the directory."""
    return start_time(pid) == started and names(_command(pid), data)


def find(data: Path, lock: Path) -> int | None:
    """The process whose command line names the directory and that has `lock` open; None where /proc cannot tell."""
    for pid in _others():
        if names(_command(pid), data) and _has_open(_PROC / str(pid), lock):
            return pid
    return None


def find_started(words: Iterable[str]) -> int | None:
    """A process of my user with all of these words in its command line; None where /proc cannot tell."""
    wanted, me = set(words), os.geteuid()
    for pid in _others():
        if wanted.issubset(_command(pid).split("\0")) and start_time(pid) is not None:
            with suppress(FileNotFoundError):
                if (_PROC / str(pid)).stat().st_uid == me:
                    return pid
    return None


def _others() -> Iterator[int]:
    """Every process but this one; none where there is no /proc."""
    for name in os.listdir(_PROC) if _HAS_PROC else ():  # noqa: PTH208 — names are all that is wanted, and fast
        if name.isdigit() and int(name) != os.getpid():
            yield int(name)


def names(command: str, data: Path) -> bool:
    """Whether a command line, its words parted by NUL or blanks, names exactly this directory."""
    return re.search(rf"(?:^|[=\s\0]){re.escape(str(data))}/?(?:[\s\0]|$)", command) is not None


def _from_proc(pid: int) -> tuple[str, str]:
    """State and start time, fields 3 and 22 of proc(5)'s stat; the name before them may hold anything."""
    try:
        fields = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
        return fields[0].decode(), fields[19].decode()
    except (OSError, IndexError):
        return "", ""


def _from_ps(pid: int) -> tuple[str, str]:
    state, _, started = _ps(pid, "stat=,lstart=").strip().partition(" ")
    return state, started.strip()


def _command(pid: int) -> str:
    if not _HAS_PROC:
        return _ps(pid, "command=").strip()
    try:
        return os.fsdecode((_PROC / str(pid) / "cmdline").read_bytes())
    except OSError:
        return ""


def _ps(pid: int, columns: str) -> str:
    ps = ["/bin/ps", "-ww", "-o", columns, "-p", str(pid)]
    try:
        return subprocess.run(ps, capture_output=True, text=True, errors="replace", timeout=5, check=False).stdout  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _has_open(process: Path, file: Path) -> bool:
    with suppress(OSError):
        wanted = file.stat()
        for link in (process / "fd").iterdir():
            with suppress(OSError):
                if os.path.samestat(link.stat(), wanted):
                    return True
    return False

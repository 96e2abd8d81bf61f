"""Processes that belong to one test, and to nobody else.

A process is only ever ended by its pid, and only if its command line names the test's own
directory: several suites may run on this machine.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


def etcd_binary() -> Path:
    """The etcd under test: `ECO_ETCD_BIN_DIR`, else PATH, else what `eco etcd path` says."""
    if directory := os.environ.get("ECO_ETCD_BIN_DIR"):
        return Path(directory) / "etcd"
    if found := shutil.which("etcd"):
        return Path(found)
    told = subprocess.run([sys.executable, "-m", "eco.cli", "etcd", "path"], capture_output=True, text=True, check=True)
    path = Path(told.stdout.strip().splitlines()[-1])
    return path / "etcd" if path.is_dir() else path


def _field(pid: int, number: int) -> str | None:
    """A field of /proc/PID/stat counted as proc(5) does, None when there is no such process."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()[number - 3]


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    return _field(pid, 3) not in {None, "Z", "X"}


def is_stopped(pid: int) -> bool:
    """Whether it is stopped by a signal."""
    return _field(pid, 3) == "T"


def cpu_seconds(pid: int) -> float:
    """User and system time it has used; 0 when it is gone."""
    user, system = _field(pid, 14), _field(pid, 15)
    return (int(user) + int(system)) / TICKS if user is not None and system is not None else 0.0


def resident_bytes(pid: int) -> int:
    """Its resident set; 0 when it is gone."""
    pages = _field(pid, 24)
    return int(pages) * os.sysconf("SC_PAGE_SIZE") if pages is not None else 0


def started_at(pid: int) -> float:
    """When it began, in seconds since boot, to a clock tick; 0 when it is gone."""
    return int(_field(pid, 22) or 0) / TICKS


def command_line(pid: int) -> list[str]:
    """Its arguments; empty when it is gone or a zombie."""
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return raw.decode(errors="replace").split("\0")[:-1]


def naming(directory: Path) -> list[int]:
    """Every living process, other than this one, whose command line names `directory` or something below it."""
    wanted = re.compile(rf"{re.escape(str(directory))}(?:/|$)")
    pids = (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    return [pid for pid in pids if pid != os.getpid() and any(map(wanted.search, command_line(pid))) and is_alive(pid)]


def etcd_of(data: Path) -> int | None:
    """The etcd that runs on this data directory."""
    for pid in naming(data):
        if Path(command_line(pid)[0]).name == "etcd":
            return pid
    return None


def send(pid: int, number: signal.Signals) -> None:
    """Signal one process; one that is already gone is fine."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)

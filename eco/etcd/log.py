"""etcd's log: a file of its own, shown on the agent's stderr, never larger than it should be.

etcd's stdout and stderr *are* this file. Were they the agent's, etcd would die of SIGPIPE with its
next line after whatever reads the agent's output is gone, and an agent's end must never be etcd's.
It also keeps what only a Go panic prints. The file is opened for appending, so that it can be emptied
under a running etcd.
"""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 16 << 20
"""Bytes at which the log is moved to `<name>.1`; the one before is dropped."""

TAIL = 64 << 10
"""Bytes of the end that can hold last words."""

_BLOCK = 1 << 20

_logger = logging.getLogger(__name__)


class Log:
    """The log at `path`. `relay` is the file descriptor that new lines are shown on, None for none.

    `start` is where in the file the running etcd began to write.
    """

    def __init__(self, path: Path, relay: int | None) -> None:
        self._path = path
        self._relay = relay
        self._shown = self._size()
        self.start = self._shown

    def open(self) -> int:
        """A descriptor for a new etcd's output; the caller closes it. A disk that takes no log gives /dev/null."""
        self.start = self._size()
        try:
            return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as fault:
            _logger.warning("etcd's log %s cannot be written: %s", self._path, fault.strerror)
            return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)

    def follow(self) -> None:
        """Show the whole lines that are new, and keep the file small."""
        with suppress(OSError):  # no file yet, or nobody reads our stderr: neither is etcd's concern
            self._show()
        if self._size() > LARGEST:
            self.start = self._shown = 0
            trim_log(self._path)

    def last(self) -> bytes:
        """The end of what this etcd wrote."""
        size = self._size()
        begin = max(self.start if self.start <= size else 0, size - TAIL)
        try:
            return self._read(begin, TAIL)
        except OSError:
            return b""

    def _show(self) -> None:
        if self._shown > self._size():
            self._shown = 0
        if self._relay is None:
            return
        block = self._read(self._shown, _BLOCK)
        whole = block[: block.rfind(b"\n") + 1]
        self._shown += len(whole)
        while whole:
            whole = whole[os.write(self._relay, whole) :]

    def _read(self, begin: int, count: int) -> bytes:
        with self._path.open("rb") as file:
            file.seek(begin)
            return file.read(count)

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0


def trim_log(path: Path) -> None:
    """Copy the log to `<name>.1` and empty it, under a writer that appends. Lines written in between are lost;
    on a full disk the copy is."""
    copy = path.with_name(f"{path.name}.1")
    try:
        shutil.copyfile(path, copy)
    except OSError:
        copy.unlink(missing_ok=True)
    os.truncate(path, 0)

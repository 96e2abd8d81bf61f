"""Effects on a disk that a power cut may interrupt anywhere: small, labelled, repeatable.

Each is atomic: before it nothing has happened, after it everything is on the disk. `on_effect` is
told the label of every single act before it is done ("stamp.write", "stamp.rename", "stamp.sync"),
so that a test stage can cut the power there. What the system refuses comes out as a sentence.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eco.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_DIRECTORY, _FILE = 0o700, 0o600


class Durable:
    """Performs effects. Raises `Unavailable` with what is wrong with the disk."""

    def __init__(self, on_effect: Callable[[str], None] = lambda _: None) -> None:
        self._on_effect = on_effect

    def make(self, label: str, directory: Path) -> None:
        """Make a directory for our eyes only; one that is there is fine."""
        with explained(directory):
            if directory.is_dir():
                return
            self._on_effect(f"{label}.make")
            directory.mkdir(mode=_DIRECTORY)
            self._sync(label, directory.parent)

    def replace(self, label: str, path: Path, content: bytes) -> None:
        """Give a file this content, whether it is there or not."""
        fresh = path.with_name(f"{path.name}.tmp")
        with explained(path):
            self._on_effect(f"{label}.write")
            _write(fresh, content)
            self._on_effect(f"{label}.rename")
            fresh.replace(path)
            self._sync(label, path.parent)

    def rename(self, label: str, old: Path, new: Path) -> None:
        """Move a file or directory to a place where there is none."""
        with explained(old):
            self._on_effect(f"{label}.rename")
            old.rename(new)
            self._sync(label, new.parent)
            self._sync(label, old.parent)

    def remove(self, label: str, path: Path) -> None:
        """Remove a file; one that is not there is fine."""
        with explained(path):
            self._on_effect(f"{label}.remove")
            path.unlink(missing_ok=True)
            self._sync(label, path.parent)

    def _sync(self, label: str, directory: Path) -> None:
        self._on_effect(f"{label}.sync")
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            _flush(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the system says about `path` into `Unavailable` with a sentence about what to do."""
    try:
        yield
    except OSError as fault:
        raise Unavailable(_sentence(fault, path)) from fault


def _sentence(fault: OSError, path: Path) -> str:
    match fault.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return f"the disk of {path} is full: free some space; what was there is untouched"
        case errno.EROFS:
            return f"the filesystem of {path} is read-only: look for disk errors in the kernel's log"
        case errno.EIO:
            return f"the disk of {path} fails to read or write: look for disk errors in the kernel's log"
        case errno.EACCES | errno.EPERM:
            return f"{path} is not open to user {os.geteuid()}, as whom I run{_owner(path)}: change its owner or mine"
        case errno.ENOTDIR | errno.EEXIST:
            return f"{path} is not a directory, or something on the way to it is not"
        case _:
            return f"{path} cannot be used: {fault.strerror or fault}"


def _owner(path: Path) -> str:
    """Say whose the nearest thing is that is there."""
    for place in (path, *path.parents):
        try:
            return f" ({place} belongs to user {place.stat().st_uid})"
        except OSError:
            continue
    return ""


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _FILE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        _flush(file.fileno())


def _flush(descriptor: int) -> None:
    """Wait until it is on the disk; macOS's fsync stops at the drive's cache."""
    if hasattr(fcntl, "F_FULLFSYNC"):
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fsync(descriptor)

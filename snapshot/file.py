"""The file store: objects are files below one directory that every node mounts.

    snapshot:
      provider: file
      dir: /mnt/eco          # NFS, EFS, CephFS …; a local directory for one node or a test

**Create-if-absent is link(2).** The bytes go to a file of their own in `<dir>/.tmp/`, are fsynced,
and get their final name by a hard link, which exactly one of many can make. Whoever sees the name
sees all the bytes; a crash leaves at most a nameless file in `.tmp/`, which may be deleted at any
time. A file system that cannot link (SMB, FAT, most object stores mounted as directories) is refused
in a sentence: O_EXCL would show half an object after a crash, and a plain rename lets two win.
Over NFS a link may be made and its reply lost, so that the retry meets its own file; whether the
name is ours is then asked of the inode.

**A file system may hang** as long as its server does, and the thread that asked with it. So every
call runs in a daemon thread and has a deadline; the threads are counted (`LANES`), and while all of
them hang, calls wait for one in vain and are `Unavailable`. Daemon threads, because an executor's
would be joined at exit, and a dead file server must not keep the agent from stopping.

What one node wrote, another may see only after the attribute cache of its mount has aged (`actimeo`).
That delays eco and cannot mislead it: what must be exclusive is decided by a create.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import secrets
import threading
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from eco.errors import Bug, Corrupt, EcoError, Problem, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T")

DEADLINE = 5.0
"""Seconds that a call may take."""

LANES = 4
"""Calls at once, and the threads that may hang at most."""

LIMIT = 1 << 20
"""Bytes of an object that is read as a whole."""

_TEMPORARY = ".tmp"
_PART = r"[a-z0-9_=-][a-z0-9._=-]{0,199}"
_KEY = re.compile(rf"{_PART}(/{_PART})*")

_CANNOT_LINK = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_CURES: Mapping[int, tuple[type[EcoError], str]] = {
    errno.ENOSPC: (Unavailable, "free space on it or enlarge it"),
    errno.EDQUOT: (Unavailable, "raise the quota or free space"),
    errno.EROFS: (Refused, "remount it writable, once its log says why it is not"),
    errno.EACCES: (Refused, "give the user that eco runs as read and write access to it"),
    errno.EPERM: (Refused, "give the user that eco runs as read and write access to it"),
    errno.ENOTDIR: (Refused, "a file stands where a directory belongs; move it away"),
}


class FileStore:
    """Objects as files below one directory, created by link(2)."""

    summary: ClassVar[str] = "files below one directory that every node mounts"

    def __init__(self, root: Path, *, deadline: float = DEADLINE) -> None:
        """`root` is made (0700) by the first create; each call takes at most `deadline` seconds."""
        self._root = root
        self._deadline = deadline
        self._lanes = asyncio.Semaphore(LANES)

    @classmethod
    def parse(cls, settings: Mapping[str, object], base: Path) -> tuple[FileStore | None, tuple[Problem, ...]]:
        """As `eco.ports.Store.parse`; the one setting is `dir`."""
        problems = [
            Problem(f"snapshot.{key}", _shown(settings[key]), "the file store has no such setting, only dir")
            for key in settings
            if key != "dir"
        ]
        directory = settings.get("dir")
        if isinstance(directory, str) and directory and directory.isprintable():
            return (None, tuple(problems)) if problems else (cls(base / directory), ())
        hint = "write a directory that every node mounts, such as /mnt/eco"
        return None, (*problems, Problem("snapshot.dir", _shown(directory), hint))

    async def create(self, key: str, data: bytes) -> bool:
        """As `eco.ports.Store.create`."""
        return await self._ask(f"creating {key}", partial(_create, self._root, _named(key), data))

    async def read(self, key: str) -> bytes | None:
        """As `eco.ports.Store.read`."""
        data = await self._ask(f"reading {key}", partial(_read, self._root / _named(key)))
        if data is not None and len(data) > LIMIT:
            raise Corrupt(f"{self._root / key} has more than {LIMIT} bytes: it is none of our records")
        return data

    async def list(self, prefix: str) -> tuple[str, ...]:
        """As `eco.ports.Store.list`; files whose path is not a key are passed over."""
        if prefix and not (prefix.endswith("/") and _named(prefix[:-1])):
            raise Bug(f"a prefix ends in a slash: {prefix!r}")
        return await self._ask(f"listing {prefix or 'it'}", partial(_list, self._root, prefix))

    async def replace(self, key: str, data: bytes) -> None:
        """As `eco.ports.Store.replace`."""
        await self._ask(f"replacing {key}", partial(_replace, self._root, _named(key), data))

    async def foreign(self) -> bool:
        """As `eco.ports.Store.foreign`."""
        return await self._ask("looking for backups", partial(_holds_backups, self._root))

    async def close(self) -> None:
        """Nothing is held; a hanging thread ends with the process."""

    async def _ask(self, what: str, work: Callable[[], T]) -> T:
        """Run `work` in a thread of its own, within the deadline, with its faults in our words."""
        try:
            async with asyncio.timeout(self._deadline):
                await self._lanes.acquire()
                return await asyncio.wrap_future(self._in_thread(work))
        except TimeoutError:
            late = f"the directory {self._root} gave no answer within {self._deadline:g} s while {what}"
            raise Unavailable(f"{late}: see whether its file server is well") from None
        except OSError as fault:
            raise _in_words(fault, f"the directory {self._root} failed while {what}") from fault

    def _in_thread(self, work: Callable[[], T]) -> Future[T]:
        """Start `work`; its lane is free again when it has ended, however late that is."""
        outcome: Future[T] = Future()
        outcome.set_running_or_notify_cancel()
        loop = asyncio.get_running_loop()

        def run() -> None:
            try:
                outcome.set_result(work())
            except BaseException as fault:  # noqa: BLE001 — handed over whole to whoever waits
                outcome.set_exception(fault)
            with contextlib.suppress(RuntimeError):  # the loop was closed while the file system hung
                loop.call_soon_threadsafe(self._lanes.release)

        try:
            threading.Thread(target=run, name="file-store", daemon=True).start()
        except RuntimeError as fault:  # the system gives no more threads
            self._lanes.release()
            raise Unavailable(f"no thread could be started for the directory {self._root}: {fault}") from fault
        return outcome


# ---------------------------------------------------------------- in the thread


def _create(root: Path, key: str, data: bytes) -> bool:
    path = root / key
    _make(path.parent)
    with _written(root, data) as temporary:
        is_ours = _link(temporary, path)
    # Synced by the losers, too: what they obey from here on must survive a power cut.
    _sync(path.parent)
    return is_ours


def _link(temporary: Path, path: Path) -> bool:
    try:
        path.hardlink_to(temporary)
    except OSError as fault:
        if _are_one(temporary, path):
            return True
        if fault.errno == errno.EEXIST:
            return False
        if fault.errno in _CANNOT_LINK:
            raise Refused(
                f"the file system of {path.parent} makes no hard links ({fault.strerror}), without which no object"
                " can be created exactly once; use one that does: NFS, EFS, CephFS, ext4, xfs"
            ) from fault
        raise
    return True


def _are_one(temporary: Path, path: Path) -> bool:
    try:
        return temporary.samefile(path)
    except FileNotFoundError:
        return False


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as opened:
            return opened.read(LIMIT + 1)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None


def _list(root: Path, prefix: str) -> tuple[str, ...]:
    paths = (
        os.path.relpath(Path(folder, name), root)
        for folder, _, names in os.walk(root / prefix, onerror=_unless_gone)
        for name in names
    )
    return tuple(sorted(path for path in paths if _KEY.fullmatch(path)))


def _unless_gone(fault: OSError) -> None:
    if not isinstance(fault, FileNotFoundError):
        raise fault


def _replace(root: Path, key: str, data: bytes) -> None:
    path = root / key
    _make(path.parent)
    with _written(root, data) as temporary:
        temporary.replace(path)
    _sync(path.parent)


def _holds_backups(root: Path) -> bool:
    try:
        return any(path.name.endswith("_etcd.backup") for path in root.iterdir())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _written(root: Path, data: bytes) -> Iterator[Path]:
    """Hold these bytes in a durable file that has no key, and remove it afterwards."""
    temporary = root / _TEMPORARY / secrets.token_hex(16)
    _make(temporary.parent)
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _make(directory: Path) -> None:
    """Make the directory and those above it, durably."""
    if directory.is_dir():
        return
    _make(directory.parent)
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    _sync(directory.parent)


def _sync(directory: Path) -> None:
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    except OSError as fault:
        if fault.errno != errno.EINVAL:  # how a file system says that its directories need no sync
            raise
    finally:
        os.close(opened)


# ---------------------------------------------------------------- words


def _named(key: str) -> str:
    """Give the key back, if it is one that stays inside the directory. Raises `Bug`."""
    if not _KEY.fullmatch(key):
        raise Bug(f"not a key of the store: {key!r}")
    return key


def _shown(value: object) -> str:
    return "" if value is None else value[:80] if isinstance(value, str) else f"<{type(value).__name__}>"


def _in_words(fault: OSError, what: str) -> EcoError:
    kind, cure = _CURES.get(fault.errno or 0, (Unavailable, ""))
    said = f"{what}: {fault.strerror or fault}"
    return kind(f"{said}; {cure}" if cure else said)

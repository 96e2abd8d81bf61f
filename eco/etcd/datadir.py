"""The data directory: `member/`, which is etcd's, and `eco/`, which says whose data that is.

    member/                     untouched
    eco/stamp.json              the stamp of the data set; written before anything is reported
    eco/agent.lock              held by the one agent of this directory, with its pid
    eco/old/<time>-g<n>-<why>/  data that was set aside, with its stamp; nobody deletes it here
    eco/paused                  present while paused
    eco/operator.token          who can read it may ask this agent for something

An empty directory gets a stamp with a new incarnation, on the disk before the first look returns:
no peer ever hears of an incarnation that a power cut could take back. A data set without a stamp
is a plain etcd's; its incarnation is kept in memory until somebody stamps it.

Whatever the stamp and the log say is read and never mended here. `--wal-dir` is not supported: log
and data are read, and set aside, together.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import secrets
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING

from eco.core.model import Data, Disk, Stamp
from eco.errors import Corrupt, Unavailable
from eco.etcd import wal
from eco.etcd.durable import Durable, explained
from eco.etcd.volume import identity
from eco.formats import dump, parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_logger = logging.getLogger(__name__)

_LONGEST_STAMP = 1 << 20
_YOUNGEST_DATABASE = 1 << 20
_NO_LOG = wal.Log()
_DRAWN = re.compile(r"[0-9a-f]{8,64}")
"""Of what is drawn at random for a stamp: it becomes part of keys in the store."""


class EtcdDirectory:
    """An `eco.ports.DataDirectory` over `path`. New data sets are named for the instance `me`.

    `on_effect` is told the label of each act on the disk before it is done. Every method raises
    `Unavailable` with a sentence when the disk does not play along; nothing is half done then that
    the same call does not finish later.
    """

    def __init__(self, path: Path, me: str = "", on_effect: Callable[[str], None] = lambda _: None) -> None:
        self.path = path.absolute()
        self._me = me
        self._durable = Durable(on_effect)
        self._eco = self.path / "eco"
        self._member = self.path / "member"
        self._stamp_file = self._eco / "stamp.json"
        self._pause_file = self._eco / "paused"
        self._token_file = self._eco / "operator.token"
        self._lock: int | None = None
        self._drawn: Stamp | None = None
        self._log: tuple[object, wal.Log] = (None, _NO_LOG)
        self._device = (-1, "")

    def open(self) -> None:
        """Make what is missing, and lock out other agents until `close`. Raises `Unavailable`."""
        if self._lock is not None:
            return
        with explained(self.path):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _warn_of_strangers(self.path)
        self._durable.make("open", self._eco)
        self._lock = self._locked()
        if not self.token:
            self._durable.replace("open.token", self._token_file, secrets.token_hex(16).encode())

    def close(self) -> None:
        """Let the directory go; idempotent."""
        if self._lock is not None:
            os.close(self._lock)
        self._lock, self._drawn, self._log = None, None, (None, _NO_LOG)

    @property
    def token(self) -> str:
        """What a caller has to know to be obeyed; "" before the first `open`."""
        with explained(self._token_file):
            return self._token_file.read_text(errors="replace").strip() if self._token_file.exists() else ""

    @property
    def paused(self) -> bool:
        """Whether somebody asked this agent to keep its hands off."""
        with explained(self._pause_file):
            return self._pause_file.exists()

    def set_paused(self, *, paused: bool) -> None:
        """Remember it across restarts."""
        if paused:
            self._durable.replace("pause", self._pause_file, b"eco resume takes this away\n")
        else:
            self._durable.remove("resume", self._pause_file)

    def look(self, *, running: bool) -> Disk:
        """Stamp and data, read offline. While etcd runs, what the log said before still stands.

        Raises `Corrupt` for a stamp that is not one: then nothing is changed.
        """
        self._hold()
        stamp = self._stamp()
        data, log = self._data(running=running)
        stamped = stamp is not None
        if stamp is None:
            stamp = self._drawn = self._drawn or self._draw()
            if data is Data.ABSENT and not running:
                self.stamp("stamp.begin", stamp)
                stamped = True
        return Disk(
            stamp=stamp,
            data=data,
            stamped=stamped,
            member_id=log.member_id,
            cluster_id=log.cluster_id,
            last_term=log.last_term,
            last_index=log.last_index,
            damage=log.damage,
            volume=self._volume(),
            size=self._size() if running else 0,
        )

    def stamp(self, label: str, stamp: Stamp) -> None:
        """Replace the stamp durably."""
        self._durable.replace(label, self._stamp_file, dump(stamp))

    def set_aside(self, label: str, why: str, then: Stamp) -> None:
        """Rename `member/`, if there is one, into `eco/old/` with a copy of its stamp, then write `then`.

        After a crash in the middle, the same call does the rest; at worst a directory with nothing
        but a copy of the stamp is left over.
        """
        with explained(self._member):
            anything = self._member.exists()
        if anything:
            old = self._eco / "old"
            aside = self._free(old, why)
            self._durable.make(f"{label}.old", old)
            self._durable.make(label, aside)
            if self._stamp_file.exists():
                with explained(self._stamp_file):
                    raw = self._stamp_file.read_bytes()
                self._durable.replace(f"{label}.copy", aside / "stamp.json", raw)
            self._durable.rename(f"{label}.member", self._member, aside / "member")
            _logger.warning("%s was set aside as %s: %s", self._member, aside, why, extra={"event": "set-aside"})
        self._log = (None, _NO_LOG)
        self.stamp(f"{label}.stamp", then)

    # ------------------------------------------------------------ holding it

    def _locked(self) -> int:
        """Lock out other agents. The descriptor is not inherited: etcd outlives its agent, the lock must not."""
        path = self._eco / "agent.lock"
        with explained(path):
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(lock, 20).decode(errors="replace").strip()
                os.close(lock)
                raise Unavailable(f"another agent (process {holder}) works on {self.path}: stop it first") from None
        with suppress(OSError):  # on a full disk a second agent is refused without a name
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
        return lock

    def _hold(self) -> None:
        """Begin anew where the directory that we locked is not the one at our path any more.

        That is so when it was wiped under us, or when its volume is mounted late.
        """
        if self._lock is not None:
            with explained(self._eco):
                here = (self._eco / "agent.lock").stat() if (self._eco / "agent.lock").exists() else None
            if here is not None and os.path.samestat(here, os.fstat(self._lock)):
                return
            _logger.warning("%s is not the directory it was: it is read anew", self.path, extra={"event": "data.anew"})
            self.close()
        self.open()

    # ------------------------------------------------------------ reading it

    def _stamp(self) -> Stamp | None:
        with explained(self._stamp_file):
            try:
                with self._stamp_file.open("rb") as file:
                    raw = file.read(_LONGEST_STAMP + 1)
            except FileNotFoundError:
                return None
        if len(raw) > _LONGEST_STAMP:
            raise Corrupt(f"{self._stamp_file} is too long to be a stamp")
        stamp = parse(Stamp, raw, str(self._stamp_file))
        for what, drawn in (("incarnation", stamp.incarnation), ("nonce", stamp.nonce)):
            if not _DRAWN.fullmatch(drawn):
                raise Corrupt(f"{self._stamp_file} has the {what} {drawn[:80]!r}, which eco has never drawn")
        return stamp

    def _draw(self) -> Stamp:
        return Stamp(name=self._me, incarnation=secrets.token_hex(8), nonce=secrets.token_hex(8), volume=self._volume())

    def _volume(self) -> str:
        with explained(self.path):
            device = self.path.stat().st_dev
        if self._device[0] != device:
            self._device = (device, identity(self.path))
        return self._device[1]

    def _data(self, *, running: bool) -> tuple[Data, wal.Log]:
        directory = self._member / "wal"
        with explained(directory):
            if running:
                return (Data.PRESENT if directory.is_dir() else Data.ABSENT), replace(self._log[1], damage="")
            segments = wal.segments(directory) if directory.is_dir() else ()
            if not segments and not self._has_lived(self._member / "snap" / "db"):
                self._log = (None, _NO_LOG)
                return Data.ABSENT, _NO_LOG
            state = tuple((path.name, *_version(path.stat())) for path in segments)
            if state != self._log[0]:
                self._log = (state, wal.read(directory, whole=False))
        log = self._log[1]
        return (Data.DAMAGED if log.damage else Data.PRESENT), log

    def _size(self) -> int:
        """Bytes of the database and of a snapshot that comes in beside it."""
        try:
            with os.scandir(self._member / "snap") as files:
                return sum(file.stat().st_size for file in files)
        except OSError:  # it is being made, or a file of it was just renamed
            return 0

    def _has_lived(self, database: Path) -> bool:
        """Tell whether anything was ever applied to etcd's database.

        etcd makes the database before the log: when it is killed in its very first moments, the
        one is there without the other, and nothing is lost. The first applied entry writes the
        key below, and a database so young is small.
        """
        if not database.exists():
            return False
        return database.stat().st_size > _YOUNGEST_DATABASE or b"consistent_index" in database.read_bytes()

    def _free(self, old: Path, why: str) -> Path:
        """Choose a name under which nothing was set aside yet."""
        stamp = self._stamp()
        said = re.sub(r"[^a-z0-9]+", "-", why.lower()).strip("-")[:40].rstrip("-") or "unsaid"
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-g{stamp.generation if stamp else 0}-{said}"
        names = (name if number == 1 else f"{name}-{number}" for number in count(1))
        return next(old / each for each in names if not (old / each).exists())


def _warn_of_strangers(path: Path) -> None:
    stat = path.stat()
    if stat.st_uid != os.geteuid():
        _logger.warning(
            "%s belongs to user %d and I run as user %d: what etcd writes will be mine", path, stat.st_uid, os.geteuid()
        )
    if stat.st_mode & 0o002:
        _logger.warning("%s can be changed by every user of this machine: chmod 700 it", path)


def _version(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_size, stat.st_mtime_ns, stat.st_ino

"""The etcd process of one data directory: started, watched, adopted, stopped.

etcd must outlive its agent, and a new agent must find it again instead of starting a second one. So
etcd runs in a session of its own, with its output in a file, and inherits an open lock on `eco/lock`:
while it lives, the lock is held, whoever else dies. `eco/etcd.pid` names it by pid *and* start time,
and an agent that starts adopts the process if that is still true and its command line names this
directory. A child and an adopted process are watched alike, by a pidfd where the system has them and by
polling elsewhere; only a child leaves an exit status.

The agent's own lock, which refuses a second agent, is the data directory's (`eco.etcd.datadir`).

A crash of an etcd that had served is answered by a start at once; starts that fail before serving are
spaced by 1, 2, 4 … 30 seconds.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eco import clock
from eco.core.model import Exit, Process, Running, Stopped
from eco.errors import Bug, Corrupt, Unavailable
from eco.etcd.exits import judge
from eco.etcd.flags import SIGNATURE
from eco.etcd.log import Log
from eco.etcd.pids import find, find_started, is_running, lives, names, start_time
from eco.formats import dump, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

SLOWEST = 30.0
"""Seconds of the longest back-off."""

LAST = 10.0
"""Seconds that a killed process may take to be gone; one that waits for its disk takes longer."""

POLL = 0.05
"""Seconds between two looks where the system cannot tell of an exit."""

_CRAMPED = 1 << 20
"""Free bytes below which a filesystem counts as full."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PidFile:
    """`eco/etcd.pid`: which process etcd is. `since` is on CLOCK_BOOTTIME, `log` is where in its log it began."""

    pid: int
    started: str
    since: float
    log: int


class EtcdProcess:
    """`eco.ports.Child` on a real process. Made inside the event loop that runs it.

    `on_exit` is called in the loop the moment etcd ends. `relay` is the descriptor on which etcd's log lines are
    shown, None for none. Raises `Unavailable` when the directory cannot be written.
    """

    def __init__(self, data_dir: Path, on_exit: Callable[[], None], *, relay: int | None = 2) -> None:
        self._data = data_dir.absolute()
        self._home = self._data / "eco"
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._lock_path = self._home / "lock"
        self._lock = _lock(self._lock_path)
        self._log = Log(self._home / "etcd.log", relay)
        self._stopped = Stopped()
        self._record: PidFile | None = None
        self._adopted = self._asked = False
        self._served = True
        self._pidfd: int | None = None
        self._gone = asyncio.Event()
        self._adopt()

    def look(self) -> Process:
        """Whether etcd runs, and if not, how it ended. Also shows what is new in its log."""
        self._check()
        self._log.follow()
        if self._record is None:
            return self._stopped
        return Running(self._record.pid, self._record.since, self._adopted)

    def served(self) -> None:
        """Forget failed starts: etcd has served, so that its next end is answered at once."""
        if self._record is not None:
            self._served = True
            self._stopped = Stopped()

    async def start(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Exec etcd. Raises `Unavailable` when somebody holds the directory, or the program cannot be run."""
        if self._record is not None:
            raise Bug("etcd was to be started while it runs")
        if not names("\0".join(argv), self._data):
            raise Bug(f"etcd was to be started with words that do not name {self._data}: nobody could adopt it")
        lock = self._hold()
        self._served = self._asked = self._adopted = False
        since = clock.now()
        try:
            pid = self._spawn(argv, env, lock)
        except OSError as fault:
            words = f"{argv[0]} cannot be run: {fault.strerror}"
            self._fail(Exit.CRASHED, words)
            raise Unavailable(words) from fault
        self._record = PidFile(pid, start_time(pid) or "", since, self._log.start)
        self._remember(self._record)
        self._watch(pid)
        _logger.info("etcd runs as process %d", pid, extra={"event": "etcd.start"})

    async def stop(self, grace: float) -> None:
        """SIGTERM, `grace` seconds, SIGKILL; returns when it is gone. Raises `Unavailable` when it does not go."""
        if self._record is None:
            return
        gone, self._asked = self._gone, True
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, LAST)):
            self._signal(number)
            with suppress(TimeoutError):
                await asyncio.wait_for(gone.wait(), patience)
                return
        raise Unavailable("etcd was killed and is still there: it waits for its disk, perhaps")

    def close(self) -> None:
        """Let go of etcd, which runs on; another agent may adopt it. Idempotent; nothing else is called after it."""
        self._unwatch()
        self._record = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # ------------------------------------------------------------ the lock and adoption

    def _hold(self) -> int:
        """The lock that etcd is to inherit: the one at its path, should the directory have been replaced."""
        if self._lock is not None and not _is_at(self._lock, self._lock_path):
            os.close(self._lock)
            self._lock = None
        if self._lock is None:
            self._lock = _lock(self._lock_path)
        if self._lock is None:
            raise Unavailable(
                f"{self._lock_path} is held by a process that is not known to be its etcd "
                f"(`fuser {self._lock_path}` names it): nothing is started on this data beside it"
            )
        return self._lock

    def _adopt(self) -> None:
        record = self._recorded() or self._searched()
        if record is None:
            return
        self._record, self._adopted, self._log.start = record, True, record.log
        self._watch(record.pid)
        _logger.info("etcd runs already, as process %d: adopted", record.pid, extra={"event": "etcd.adopt"})
        if not is_running(record.pid, record.started, self._data):  # it ended, or its pid changed hands, meanwhile
            self._unwatch()
            self._record = None

    def _recorded(self) -> PidFile | None:
        path = self._home / "etcd.pid"
        try:
            record = parse(PidFile, path.read_bytes(), str(path))
        except (OSError, Corrupt):
            return None
        return record if is_running(record.pid, record.started, self._data) else None

    def _searched(self) -> PidFile | None:
        """It by the process table: the lock's holder, when the agent was killed before it wrote the pid down; or
        one that eco started on this directory, when the directory was wiped under it, lock and pid file with it."""
        pid = None
        if self._lock is None:
            pid = find(self._data, self._lock_path)
        elif not (self._home / "etcd.pid").exists():
            pid = find_started((f"--data-dir={self._data}", *SIGNATURE))
        return PidFile(pid, start_time(pid) or "", clock.now(), 0) if pid else None

    # ------------------------------------------------------------ the process

    def _spawn(self, argv: Sequence[str], env: Mapping[str, str], lock: int) -> int:
        out = self._log.open()
        try:
            return _Detached(
                list(argv),
                cwd=self._data,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                pass_fds=(lock,),
            ).pid
        finally:
            os.close(out)

    def _remember(self, record: PidFile) -> None:
        """Replace the pid file. Without fsync: after a power cut there is no process to be found."""
        path = self._home / "etcd.pid"
        fresh = path.with_name("etcd.pid.new")
        try:
            fresh.write_bytes(dump(record))
            fresh.chmod(0o600)
            fresh.replace(path)
        except OSError as fault:
            _logger.warning("%s cannot be written: %s", path, fault.strerror)

    def _signal(self, number: signal.Signals) -> None:
        record = self._record
        with suppress(ProcessLookupError):
            if self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd, number)
            elif record is not None and start_time(record.pid) == record.started:
                os.kill(record.pid, number)

    # ------------------------------------------------------------ its end

    def _watch(self, pid: int) -> None:
        self._gone = asyncio.Event()
        try:
            self._pidfd = os.pidfd_open(pid)
        except (AttributeError, OSError):
            self._loop.call_later(POLL, self._poll, pid)
        else:
            self._loop.add_reader(self._pidfd, self._check)

    def _unwatch(self) -> None:
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def _poll(self, pid: int) -> None:
        self._check()
        if self._record is not None and self._record.pid == pid:
            self._loop.call_later(POLL, self._poll, pid)

    def _check(self) -> None:
        record = self._record
        if record is None:
            return
        try:
            pid, status = os.waitpid(record.pid, os.WNOHANG)
        except ChildProcessError:
            if not lives(record.pid, record.started):
                self._ended(None)
        else:
            if pid:
                self._ended(os.waitstatus_to_exitcode(status))

    def _ended(self, status: int | None) -> None:
        self._unwatch()
        self._record = None
        self._log.follow()
        exit_, words = (Exit.ASKED, "") if self._asked else judge(status, self._log.last(), disk=_trouble(self._data))
        self._fail(exit_, words)
        with suppress(OSError):
            (self._home / "etcd.pid").unlink()
        level = logging.INFO if exit_ is Exit.ASKED else logging.ERROR
        _logger.log(level, "etcd ended: %s", words or exit_.value, extra={"event": "etcd.exit", "exit": exit_.name})
        self._gone.set()
        self._on_exit()

    def _fail(self, exit_: Exit, words: str) -> None:
        """Note an end, and when the next start may be."""
        if self._served or exit_ is Exit.ASKED:
            self._stopped = Stopped(exit_, words, self._stopped.failures)
            return
        failures = self._stopped.failures + 1
        pause = min(SLOWEST, 2.0 ** min(failures - 1, 10))
        self._stopped = Stopped(exit_, words, failures, clock.now() + pause)


class _Detached(subprocess.Popen[bytes]):
    """A process that outlives this object on purpose: `EtcdProcess` alone reaps it."""

    def __del__(self) -> None:
        """Neither warn that it still runs nor have the next `Popen` reap it."""


def _lock(path: Path) -> int | None:
    """An exclusive lock on `path`, held while the descriptor or a copy of it is open; None when it is taken."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise Unavailable(f"{path} cannot be opened: {fault.strerror}") from fault
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        os.close(lock)
        if isinstance(fault, BlockingIOError):
            return None
        raise Unavailable(f"{path} cannot be locked: {fault.strerror}") from fault
    return lock


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _trouble(data: Path) -> str:
    """What the filesystem says is wrong with it, or ""."""
    try:
        state = os.statvfs(data)
    except OSError as fault:
        return f"the data directory cannot be looked at: {fault.strerror}"
    if state.f_flag & os.ST_RDONLY:
        return "the data directory is on a read-only file system"
    return "no space is left for the data directory" if state.f_bavail * state.f_frsize < _CRAMPED else ""

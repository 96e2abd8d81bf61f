"""The etcd programs: where they are, which version they are, and that they come here.

`find` is on the way of every start, so it only looks at names and sizes: the version of a program is
asked of the program once and remembered by path, time and size. `install` puts a version into eco's
cache, whole or not at all; how it is obtained is `eco.etcd.obtain`'s knowledge.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from eco.errors import Corrupt, EcoError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

DEFAULT = "3.6.14"
"""The version that is installed unless another one is asked for."""

RELEASES = "https://github.com/etcd-io/etcd/releases/download"
"""Where etcd's maintainers publish, one directory a version."""

REMEDY = "run `eco etcd install`, or install the distribution's package (etcd-server on Debian, etcd elsewhere)"


class Version(NamedTuple):
    """An etcd version; prints as `3.6.14`."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @classmethod
    def parse(cls, text: str) -> Version:
        """`3.6.14`, `v3.6.14` or `3.6.14-rc.0`. Raises `ValueError`."""
        match = re.fullmatch(r"v?(\d{1,4})\.(\d{1,4})\.(\d{1,4})(?:[-+][\w.+-]*)?", text, re.ASCII)
        if match is None:
            raise ValueError(f"{text!r} is not a version such as {DEFAULT}")
        return cls(*(int(part) for part in match.groups()))

    @property
    def objection(self) -> str:
        """Why it must not be run, or ""."""
        if self < (3, 4):
            return f"etcd {self} is too old: 3.4 is the oldest that eco can run"
        if (3, 5, 0) <= self <= (3, 5, 2):
            return f"etcd {self} can let its members' data differ without a word: use 3.5.3 or newer"
        return ""

    @property
    def warning(self) -> str:
        """What its user should know, or ""."""
        if self < (3, 5, 31) or (3, 6) <= self < (3, 6, 12):
            return f"etcd {self} has known faults in membership changes: upgrade to 3.5.31, 3.6.12 or newer"
        return ""


@dataclass(frozen=True)
class Binaries:
    """The programs of one etcd, by absolute path. Debian's etcd 3.4 has no etcdutl."""

    etcd: Path
    etcdctl: Path | None
    etcdutl: Path | None
    version: Version


# ---------------------------------------------------------------- finding


def find(configured: str | None) -> Binaries:
    """The etcd to run: the configured one (a path to the program or its directory), else that in the directory
    `ECO_ETCD_BIN_DIR`, else the first good one of PATH and eco's cache.

    Raises `Unavailable` with what was wrong with each and what to do.
    """
    named = configured or os.environ.get("ECO_ETCD_BIN_DIR")
    if named:
        path = Path(named).expanduser().absolute()
        return _identify(path / "etcd" if path.is_dir() else path)
    faults = []
    for candidate in _candidates():
        try:
            return _identify(candidate)
        except Unavailable as fault:
            faults.append(str(fault))
    raise Unavailable("; ".join(faults) or f"no etcd was found in PATH or {cache()}: {REMEDY}")


def cache() -> Path:
    """Where eco keeps the etcd versions that it installed, one directory each."""
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    except RuntimeError:  # a container's user without a home
        base = Path("/var/cache")
    return base / "eco" / "etcd"


def _candidates() -> Iterator[Path]:
    if on_path := shutil.which("etcd"):
        yield Path(on_path).absolute()
    yield from (home / "etcd" for home in sorted(_cached(), key=_preference, reverse=True))


def _cached() -> Iterator[Path]:
    for home in cache().glob("3.*"):
        with suppress(ValueError):
            Version.parse(home.name)
            if (home / "etcd").is_file():
                yield home


def _preference(home: Path) -> tuple[bool, Version]:
    return home.name == DEFAULT, Version.parse(home.name)


def _identify(etcd: Path) -> Binaries:
    version = _version(etcd)
    if version.objection:
        raise Unavailable(f"{version.objection} ({etcd}): {REMEDY}")
    return Binaries(etcd, _sibling(etcd, "etcdctl"), _sibling(etcd, "etcdutl"), version)


def _sibling(etcd: Path, name: str) -> Path | None:
    beside = etcd.with_name(name)
    if os.access(beside, os.X_OK):
        return beside
    elsewhere = shutil.which(name)
    return Path(elsewhere).absolute() if elsewhere else None


def _version(etcd: Path) -> Version:
    """Which version the program says it is. Remembered, because asking takes 50 ms."""
    try:
        status = etcd.stat()
    except OSError as fault:
        raise Unavailable(f"there is no etcd at {etcd} ({fault.strerror}): {REMEDY}") from fault
    memory = cache() / "versions.json"
    known = _remembered(memory)
    key = f"{etcd}:{status.st_mtime_ns}:{status.st_size}"
    with suppress(KeyError, ValueError):
        return Version.parse(known[key])
    version = _ask(etcd)
    others = {name: value for name, value in known.items() if not name.startswith(f"{etcd}:")}
    with suppress(OSError):  # a read-only home costs those 50 ms at each start, no more
        _replace(memory, json.dumps({**others, key: str(version)}))
    return version


def _remembered(memory: Path) -> dict[str, str]:
    with suppress(OSError, ValueError, RecursionError):
        known = json.loads(memory.read_bytes())
        if isinstance(known, dict):
            return {name: value for name, value in known.items() if isinstance(value, str)}
    return {}


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.replace(path)


def _ask(etcd: Path) -> Version:
    env = {name: value for name, value in os.environ.items() if not name.startswith("ETCD_")}
    try:
        told = subprocess.run(  # noqa: S603 - the program we are asked to run
            [etcd, "--version"], capture_output=True, text=True, errors="replace", env=env, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise Unavailable(f"{etcd} cannot be run ({fault}): {REMEDY}") from fault
    match = re.search(r"^etcd Version: (\S+)$", told.stdout, re.MULTILINE)
    try:
        return Version.parse(match.group(1) if match else "")
    except ValueError:
        raise Unavailable(f"{etcd} does not say which version of etcd it is: {REMEDY}") from None


# ---------------------------------------------------------------- installing


def install(version: str = DEFAULT, *, progress: Callable[[str], None], releases: str = RELEASES) -> Binaries:
    """Have this version in eco's cache. `progress` is told each stage and, every few seconds, how long it takes.

    Raises `Unavailable` when neither the release nor a build is to be had, `Corrupt` when what came is not what
    was asked for, `ValueError` when `version` is none.
    """
    wanted = Version.parse(version)
    if wanted.objection:
        raise Unavailable(f"{wanted.objection}; install {DEFAULT}")
    home = cache() / str(wanted)
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with _alone(home.with_name(f".{home.name}.lock"), progress):
            if not (home / "etcd").is_file():
                _bring(wanted, home, progress, releases)
    except OSError as fault:
        raise Unavailable(f"etcd {wanted} cannot be installed in {home}: {fault}") from fault
    return _identify(home / "etcd")


def _bring(version: Version, home: Path, progress: Callable[[str], None], releases: str) -> None:
    from eco.etcd.obtain import obtain  # noqa: PLC0415 - only an installation pays for its imports

    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".installing-") as scratch:
        programs = Path(scratch) / "programs"
        programs.mkdir()
        obtain(str(version), programs, progress, releases)
        if (came := _ask(programs / "etcd")) != version:
            raise Corrupt(f"what came as etcd {version} says it is {came}: nothing was installed")
        programs.rename(home)
    progress(f"etcd {version} is in {home}")


@contextmanager
def _alone(lock: Path, progress: Callable[[str], None]) -> Iterator[None]:
    """One installation of a version at a time; the second then finds the work done."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another installation of this version is at work: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    """Have an etcd, any good one unless a version is named, and print its path."""
    import argparse  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="python -m eco.etcd.install", description=main.__doc__)
    parser.add_argument("--version", help=f"install this one even where another etcd is found (default {DEFAULT})")
    wanted = parser.parse_args(arguments).version
    try:
        binaries = _found() if wanted is None else None
        binaries = binaries or install(wanted or DEFAULT, progress=lambda line: print(line, file=sys.stderr))  # noqa: T201
    except (EcoError, ValueError) as fault:
        sys.stderr.write(f"{fault}\n")
        return 1
    sys.stdout.write(f"{binaries.etcd}\n")
    return 0


def _found() -> Binaries | None:
    try:
        return find(None)
    except Unavailable:
        return None


if __name__ == "__main__":
    sys.exit(main())

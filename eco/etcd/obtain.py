"""How an etcd comes to a machine: the published release, else a build from its sources.

The release archive is checked against the release's SHA256SUMS. Where it cannot be reached, the same
version is built from Go modules: `gomod/<version>/` pins every module by its sum, so that a proxy can
refuse but not deceive. Both have an end in time and say how far they are.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING
from urllib.request import urlopen

from eco.errors import Corrupt, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAMS = ("etcd", "etcdctl", "etcdutl")

PINNED = {"3.5.33": "9f4b125", "3.6.14": "fc04cf7", "3.7.1": "5e7fd0d"}
"""Versions that can be built, with the commit each is tagged at."""

CONNECT = 5.0
"""Seconds for a connection, and for the next bytes of a download."""

DOWNLOAD = 600.0
"""Seconds for one download."""

BUILD = 1800.0
"""Seconds for a build: a minute or two, a quarter of an hour on a machine that is busy with other things."""

REPORT = 10.0
"""Seconds between two words on how far it is."""

LARGEST = 256 << 20
"""Bytes of the largest download that is read: real ones have about 25 MB."""

_GOMOD = Path(__file__).parent / "gomod"


def obtain(version: str, into: Path, progress: Callable[[str], None], releases: str) -> None:
    """Put etcd and the tools that this version has into the directory `into`.

    Raises `Unavailable` when neither way works, and `Corrupt` when a download is not what its sum says.
    """
    try:
        _download(version, into, progress, releases)
    except Unavailable as unreachable:
        progress(f"{unreachable}; building from Go modules instead")
        try:
            _build(version, into, progress)
        except Unavailable as fault:
            package = "install the distribution's package (etcd-server on Debian, etcd elsewhere)"
            raise Unavailable(f"{unreachable}; {fault}; {package}") from fault


class _Watch:
    """Says every few seconds how long something takes, and ends it after `limit` seconds."""

    def __init__(self, what: str, limit: float, progress: Callable[[str], None]) -> None:
        self._what, self._limit, self._progress = what, limit, progress
        self._start = self._said = time.monotonic()

    def look(self, note: str = "") -> None:
        """Called often. Raises `Unavailable` when the time is up."""
        now = time.monotonic()
        if now - self._start > self._limit:
            raise Unavailable(f"{self._what} took more than {self._limit:.0f} s")
        if now - self._said >= REPORT:
            self._said = now
            self._progress(f"{self._what}: {note}{now - self._start:.0f} s")


# ---------------------------------------------------------------- the release


def _download(version: str, into: Path, progress: Callable[[str], None], releases: str) -> None:
    system, suffix = ("darwin", "zip") if sys.platform == "darwin" else ("linux", "tar.gz")
    machine = platform.machine().lower()
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    name = f"etcd-v{version}-{system}-{architecture}.{suffix}"
    sums, archive = into.parent / "SHA256SUMS", into.parent / name
    progress(f"downloading {name}")
    _fetch(f"{releases}/v{version}/{sums.name}", sums, progress)
    wanted = _sum(sums.read_text(errors="replace"), name)
    _fetch(f"{releases}/v{version}/{name}", archive, progress)
    with archive.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != wanted:
        raise Corrupt(f"{name} has SHA-256 {actual}, but its SHA256SUMS says {wanted}: nothing was installed")
    _unpack(archive, into)


def _sum(sums: str, name: str) -> str:
    for line in sums.splitlines():
        match line.split():
            case [digest, listed] if listed.removeprefix("*") == name:
                return digest
    raise Unavailable(f"the release does not list {name}")


def _fetch(url: str, target: Path, progress: Callable[[str], None]) -> None:
    watch = _Watch(f"downloading {target.name}", DOWNLOAD, progress)
    size = 0
    try:
        with urlopen(url, timeout=CONNECT) as answer, target.open("wb") as out:  # noqa: S310 - an address of ours
            while block := answer.read1(1 << 20):
                out.write(block)
                size += len(block)
                if size > LARGEST:
                    raise Unavailable(f"{url} is larger than {LARGEST >> 20} MiB")
                watch.look(f"{size >> 20} MiB, ")
    except OSError as fault:  # URLError is one
        raise Unavailable(f"{url} cannot be fetched ({getattr(fault, 'reason', '') or fault})") from fault


def _unpack(archive: Path, into: Path) -> None:
    """The programs of an archive, wherever they lie in it; nothing else is written."""
    try:
        for name, file in _files(archive):
            program = PurePosixPath(name).name
            if program in PROGRAMS:
                with (into / program).open("wb") as out:
                    shutil.copyfileobj(file, out)
                (into / program).chmod(0o755)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as fault:
        raise Corrupt(f"{archive.name} cannot be unpacked: {fault}") from fault


def _files(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as bundle:
            for name in bundle.namelist():
                with bundle.open(name) as file:
                    yield name, file
    else:
        with tarfile.open(archive) as tape:
            for entry in tape:
                if content := tape.extractfile(entry):  # None for a directory
                    yield entry.name, content


# ---------------------------------------------------------------- the sources


def _build(version: str, into: Path, progress: Callable[[str], None]) -> None:
    """The three programs, without cgo, as etcd's own release script builds them."""
    if version not in PINNED:
        raise Unavailable(f"only {', '.join(PINNED)} can be built from Go modules, not {version}")
    go = shutil.which("go")
    if go is None:
        raise Unavailable("a build needs the Go toolchain, which is not in PATH")
    commit = f"-X go.etcd.io/etcd/api/v3/version.GitSHA={PINNED[version]}"
    command = [go, "build", "-trimpath", "-buildvcs=false", f"-ldflags=-s -w {commit}", f"-o={into}/"]
    command += [f"go.etcd.io/etcd/{module}/v3" for module in ("server", "etcdctl", "etcdutl")]
    log = into.parent / "build.log"
    progress(f"building etcd {version}: a minute or two when nothing is cached")
    _run(command, _GOMOD / version, log, _Watch(f"building etcd {version}", BUILD, progress))
    (into / "server").rename(into / "etcd")


def _run(command: list[str], directory: Path, log: Path, watch: _Watch) -> None:
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=directory, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)  # noqa: S603
        try:
            while process.poll() is None:
                watch.look()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        lines = [
            line for line in log.read_text(errors="replace").splitlines() if not line.startswith("go: downloading")
        ]
        raise Unavailable(f"`go build` failed: {' / '.join(lines[-3:]) or process.returncode}")

from __future__ import annotations

import hashlib
import io
import os
import platform
import sys
import tarfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eco.errors import Corrupt, Unavailable
from eco.etcd.install import Version, cache, find, install, main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine().lower())
SYSTEM, SUFFIX = ("darwin", "zip") if sys.platform == "darwin" else ("linux", "tar.gz")


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without etcd and Go: an empty cache, and a PATH with nothing but the shell's programs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{tmp_path / 'sh'}")
    monkeypatch.delenv("ECO_ETCD_BIN_DIR", raising=False)
    (tmp_path / "bin").mkdir()
    (tmp_path / "sh").mkdir()
    for program in ("mkdir", "cp"):
        (tmp_path / "sh" / program).symlink_to(f"/bin/{program}")
    return tmp_path


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def script(version: str) -> str:
    """A program that says it is this version of etcd, and notes beside itself that it was asked."""
    return f'#!/bin/sh\necho asked >> "$0.asked"\necho "etcd Version: {version}"\n'


def etcd(directory: Path, version: str) -> Path:
    return program(directory / "etcd", script(version))


def times_asked(path: Path) -> int:
    asked = path.with_name("etcd.asked")
    return len(asked.read_text().splitlines()) if asked.exists() else 0


# ---------------------------------------------------------------- finding


def test_the_configured_etcd_comes_before_all_others(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = etcd(machine / "mine", "3.5.33")
    monkeypatch.setenv("ECO_ETCD_BIN_DIR", str(etcd(machine / "theirs", "3.6.14").parent))
    etcd(machine / "bin", "3.7.1")

    assert find(str(mine)).etcd == mine
    assert find(str(mine.parent)).etcd == mine
    assert find(str(mine)).version == (3, 5, 33)


def test_the_named_directory_comes_before_path_and_path_before_the_cache(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_cache = etcd(cache() / "3.6.14", "3.6.14")
    assert find(None).etcd == in_cache

    in_path = etcd(machine / "bin", "3.5.33")
    assert find(None).etcd == in_path

    named = etcd(machine / "named", "3.7.1")
    monkeypatch.setenv("ECO_ETCD_BIN_DIR", str(named.parent))
    assert find(None).etcd == named


def test_of_the_cached_versions_the_default_is_taken_else_the_newest() -> None:
    etcd(cache() / "3.5.33", "3.5.33")
    newest = etcd(cache() / "3.10.0", "3.10.0")
    (cache() / "3.11.0").mkdir()
    assert find(None).etcd == newest

    default = etcd(cache() / "3.6.14", "3.6.14")
    assert find(None).etcd == default


def test_the_tools_beside_etcd_are_taken_else_those_of_path(machine: Path) -> None:
    home = etcd(machine / "home", "3.6.14").parent
    beside = program(home / "etcdctl", "")
    program(machine / "bin" / "etcdctl", "")
    elsewhere = program(machine / "bin" / "etcdutl", "")

    found = find(str(home))

    assert (found.etcdctl, found.etcdutl) == (beside, elsewhere)


def test_an_etcd_without_tools_is_an_etcd(machine: Path) -> None:
    found = find(str(etcd(machine / "home", "3.4.23")))

    assert (found.etcdctl, found.etcdutl) == (None, None)


def test_where_there_is_no_etcd_the_error_says_what_to_do(machine: Path) -> None:
    with pytest.raises(Unavailable, match=r"no etcd was found.*`eco etcd install`.*etcd-server"):
        find(None)
    with pytest.raises(Unavailable, match=r"there is no etcd at .*/nowhere.*`eco etcd install`"):
        find(str(machine / "nowhere"))


@pytest.mark.parametrize("version", ["2.3.8", "3.3.27", "3.5.0", "3.5.2"])
def test_an_etcd_that_must_not_be_run_is_refused(machine: Path, version: str) -> None:
    with pytest.raises(Unavailable, match=rf"etcd {version} .*`eco etcd install`"):
        find(str(etcd(machine / "home", version)))


def test_an_etcd_in_path_that_must_not_be_run_gives_way_to_a_good_one(machine: Path) -> None:
    etcd(machine / "bin", "3.5.1")
    good = etcd(cache() / "3.6.14", "3.6.14")

    assert find(None).etcd == good


@pytest.mark.parametrize(
    ("version", "warned"),
    [("3.4.45", True), ("3.5.30", True), ("3.5.31", False), ("3.6.0", True), ("3.6.12", False), ("3.7.0", False)],
)
def test_an_old_patch_release_is_warned_of(version: str, warned: bool) -> None:  # noqa: FBT001
    assert ("upgrade" in Version.parse(version).warning) == warned


@pytest.mark.parametrize("text", ["exit 1", "echo etcd Version: three", "kill -9 $$"])
def test_a_program_that_is_no_etcd_is_called_none(machine: Path, text: str) -> None:
    with pytest.raises(Unavailable, match="does not say which version"):
        find(str(program(machine / "home" / "etcd", f"#!/bin/sh\n{text}\n")))


def test_a_program_that_cannot_be_run_is_named(machine: Path) -> None:
    broken = program(machine / "home" / "etcd", "#!/no/such/shell\n")

    with pytest.raises(Unavailable, match=f"{broken} cannot be run"):
        find(str(broken))


def test_an_etcd_is_asked_for_its_version_only_once(machine: Path) -> None:
    path = etcd(machine / "bin", "3.6.14")

    assert find(None) == find(None)
    assert times_asked(path) == 1


def test_a_replaced_etcd_is_asked_again(machine: Path) -> None:
    path = etcd(machine / "bin", "3.6.14")
    find(None)
    path.unlink()
    etcd(machine / "bin", "3.10.0")

    assert find(None).version == (3, 10, 0)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b'{"a": 1}', b"[" * 100_000])
def test_a_spoilt_memory_of_versions_only_costs_time(machine: Path, content: bytes) -> None:
    path = etcd(machine / "bin", "3.6.14")
    find(None)
    (cache() / "versions.json").write_bytes(content)

    assert find(None).etcd == path


def test_what_configures_an_etcd_does_not_reach_it_when_it_is_asked(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETCD_NAME", "stranger")
    path = program(machine / "bin" / "etcd", '#!/bin/sh\necho "etcd Version: 3.6.${ETCD_NAME:-14}"\n')

    assert find(None).etcd == path


@given(st.text(max_size=30) | st.from_regex(r"v?\d+\.\d+\.\d+.*"))
def test_a_version_is_three_numbers_or_none_at_all(text: str) -> None:
    try:
        version = Version.parse(text)
    except ValueError:
        return
    assert Version.parse(str(version)) == version


# ---------------------------------------------------------------- the release


class Release:
    """A published release on a server of its own, and what was asked of it."""

    def __init__(self, root: Path, version: str = "3.6.14") -> None:
        self.requests: list[str] = []
        self.directory = root / f"v{version}"
        self.directory.mkdir(parents=True)
        self.name = f"etcd-v{version}-{SYSTEM}-{ARCHITECTURE}.{SUFFIX}"
        self.publish({"etcd": script(version), "etcdctl": "ctl", "etcdutl": "utl", "README.md": "read me"})
        release = self

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                release.requests.append(self.path.rpartition("/")[2])

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(root)))
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def publish(self, programs: dict[str, str]) -> None:
        data = packed(self.name.removesuffix(f".{SUFFIX}"), programs)
        (self.directory / self.name).write_bytes(data)
        sums = [f"{'0' * 64}  etcd-v0-plan9-mips.zip", f"{hashlib.sha256(data).hexdigest()}  {self.name}"]
        (self.directory / "SHA256SUMS").write_text("\n".join(sums) + "\n")

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def packed(stem: str, programs: dict[str, str]) -> bytes:
    out = io.BytesIO()
    if SUFFIX == "zip":
        with zipfile.ZipFile(out, "w") as bundle:
            for name, text in programs.items():
                bundle.writestr(f"{stem}/{name}", text)
    else:
        with tarfile.open(fileobj=out, mode="w:gz") as tape:
            for name, text in programs.items():
                entry = tarfile.TarInfo(f"{stem}/{name}")
                entry.size = len(text)
                tape.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


@pytest.fixture
def release(tmp_path: Path) -> Iterator[Release]:
    release = Release(tmp_path / "releases")
    yield release
    release.close()


def nothing_came() -> bool:
    return not list(cache().glob("3.*"))


def test_the_release_is_installed_whole_and_then_found(release: Release) -> None:
    said: list[str] = []

    installed = install("3.6.14", progress=said.append, releases=release.url)

    assert installed == find(None)
    assert sorted(path.name for path in (cache() / "3.6.14").glob("etcd*[!d]")) == ["etcdctl", "etcdutl"]
    assert all(os.access(path, os.X_OK) for path in (installed.etcd, installed.etcdctl, installed.etcdutl) if path)
    assert not (cache() / "3.6.14" / "README.md").exists()
    assert said[-1] == f"etcd 3.6.14 is in {cache() / '3.6.14'}"


def test_what_is_there_is_not_fetched_again(release: Release) -> None:
    install("3.6.14", progress=print, releases=release.url)
    fetched = len(release.requests)

    install("v3.6.14", progress=print, releases=release.url)

    assert len(release.requests) == fetched


def test_of_many_installations_at_once_one_does_the_work(release: Release) -> None:
    with ThreadPoolExecutor(8) as pool:
        runs = [pool.submit(install, "3.6.14", progress=print, releases=release.url) for _ in range(8)]

    assert {run.result().etcd for run in runs} == {cache() / "3.6.14" / "etcd"}
    assert release.requests.count(release.name) == 1


def test_an_archive_that_is_not_the_published_one_is_not_installed(release: Release) -> None:
    (release.directory / "SHA256SUMS").write_text(f"{'0' * 64}  {release.name}\n")

    with pytest.raises(Corrupt, match="nothing was installed"):
        install("3.6.14", progress=print, releases=release.url)

    assert nothing_came()


def test_an_archive_that_cannot_be_unpacked_is_not_installed(release: Release) -> None:
    archive = release.directory / release.name
    archive.write_bytes(archive.read_bytes()[:-200])
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    (release.directory / "SHA256SUMS").write_text(f"{digest}  {release.name}\n")

    with pytest.raises(Corrupt, match="cannot be unpacked"):
        install("3.6.14", progress=print, releases=release.url)

    assert nothing_came()


def test_a_release_that_says_it_is_another_version_is_not_installed(release: Release) -> None:
    release.publish({"etcd": script("3.5.33")})

    with pytest.raises(Corrupt, match=r"says it is 3\.5\.33"):
        install("3.6.14", progress=print, releases=release.url)

    assert nothing_came()


def test_a_version_that_must_not_be_run_is_not_installed(release: Release) -> None:
    with pytest.raises(Unavailable, match=r"3\.5\.1 .*install 3\.6\.14"):
        install("3.5.1", progress=print, releases=release.url)

    assert release.requests == []


def test_a_cache_that_cannot_be_written_is_named(machine: Path, release: Release) -> None:
    (machine / "cache").write_text("a file where the directory should be")

    with pytest.raises(Unavailable, match="cannot be installed in"):
        install("3.6.14", progress=print, releases=release.url)


# ---------------------------------------------------------------- the build

UNREACHABLE = "http://127.0.0.1:9"

GO = """#!/bin/sh
[ "$CGO_ENABLED $GOFLAGS $GOWORK" = "0 -mod=readonly off" ] || exit 1
[ -f go.mod ] && [ -f go.sum ] || exit 1
for word; do case $word in -o=*) out=${word#-o=};; esac; done
cp VERSION "$out/server" && cp VERSION "$out/etcdctl" && cp VERSION "$out/etcdutl"
"""


def test_without_a_release_the_same_version_is_built(machine: Path) -> None:
    built = program(machine / "built", script("3.6.14"))
    program(machine / "bin" / "go", GO.replace("VERSION", str(built)))
    said: list[str] = []

    installed = install("3.6.14", progress=said.append, releases=UNREACHABLE)

    assert installed.version == (3, 6, 14)
    assert installed.etcdutl == cache() / "3.6.14" / "etcdutl"
    assert any("cannot be fetched" in line for line in said)


def test_without_release_and_go_the_error_names_the_package() -> None:
    with pytest.raises(Unavailable, match=r"cannot be fetched.*Go toolchain.*etcd-server"):
        install("3.6.14", progress=print, releases=UNREACHABLE)

    assert nothing_came()


def test_a_version_without_pinned_modules_is_not_built(release: Release) -> None:
    with pytest.raises(Unavailable, match=r"only 3\.5\.33, 3\.6\.14, 3\.7\.1 can be built"):
        install("3.6.13", progress=print, releases=release.url)


def test_a_build_that_fails_says_why_and_leaves_nothing(machine: Path) -> None:
    program(
        machine / "bin" / "go", "#!/bin/sh\necho 'go: downloading x v1' >&2\necho 'x: checksum mismatch' >&2\nexit 1\n"
    )

    with pytest.raises(Unavailable, match="`go build` failed: x: checksum mismatch"):
        install("3.6.14", progress=print, releases=UNREACHABLE)

    assert nothing_came()


def test_the_module_prints_where_etcd_is(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = etcd(machine / "bin", "3.6.14")

    assert main([]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert main(["--version", "3.5.1"]) == 1
    assert "3.5.1" in capsys.readouterr().err

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eco.errors import Corrupt, Refused, Unavailable
from eco.testing import Place, SharedStoreConformance
from snapshot.file import LANES, FileStore, _in_words, _link

if TYPE_CHECKING:
    from collections.abc import Callable


class TestConformance(SharedStoreConformance):
    crowd: ClassVar[int] = 120  # a directory has no pages, and every create is three fsyncs

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return Place(FileStore, {"dir": "shared/store"}, tmp_path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def modes(*places: Path) -> set[str]:
    return {oct(place.stat().st_mode)[-3:] for place in places}


# ---------------------------------------------------------------- crashes

DIE_BEFORE = """
import asyncio, os, signal, sys
from pathlib import Path
from snapshot.file import FileStore

def die(event, _):
    if event == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    store = FileStore(Path(sys.argv[1]))
    await store.replace("before", b"")  # so that every directory is there
    sys.addaudithook(die)  # the interpreter tells of each system call before it makes it
    await getattr(store, sys.argv[3])("key", b"new")

asyncio.run(main())
"""


def die_before(event: str, method: str, root: Path) -> None:
    run = subprocess.run([sys.executable, "-c", DIE_BEFORE, str(root), event, method], check=False, timeout=60)
    assert run.returncode == -signal.SIGKILL


async def test_a_crash_between_write_and_link_leaves_nothing_visible(root: Path) -> None:
    die_before("os.link", "create", root)

    store = FileStore(root)
    assert len(files(root / ".tmp")) == 1
    assert await store.list("") == ("before",)
    assert await store.read("key") is None
    assert await store.create("key", b"another's")


async def test_a_crash_between_link_and_tidying_leaves_the_whole_object(root: Path) -> None:
    die_before("os.remove", "create", root)

    store = FileStore(root)
    assert await store.list("") == ("before", "key")
    assert await store.read("key") == b"new"
    assert not await store.create("key", b"another's")


async def test_a_crash_before_the_rename_leaves_the_old_object(root: Path) -> None:
    store = FileStore(root)
    await store.create("key", b"old")

    die_before("os.rename", "replace", root)

    assert await store.read("key") == b"old"


async def test_nothing_temporary_stays_behind(root: Path) -> None:
    store = FileStore(root)
    await store.create("key", b"data")
    await store.create("key", b"data")
    await store.replace("key", b"data")
    assert files(root) == ["key"]


async def test_what_only_the_owner_may_see_only_the_owner_can(root: Path) -> None:
    await FileStore(root).create("a/b", b"secret")
    assert modes(root / "a" / "b") == {"600"}
    assert modes(root, root / "a", root / ".tmp") == {"700"}


# ---------------------------------------------------------------- strangers


async def test_files_that_are_no_objects_are_passed_over(root: Path) -> None:
    store = FileStore(root)
    await store.create("a/key", b"")
    for stranger in ("README", ".nfs0000a1", "a/key~", "a/.hidden", "lost found/x"):
        touch(root / stranger)
    assert await store.list("") == ("a/key",)


async def test_backups_of_the_original_operator_are_seen_at_the_root_alone(root: Path) -> None:
    store = FileStore(root)
    assert not await store.foreign()
    touch(root / "below" / "a_0000000000000001_etcd.backup")
    assert not await store.foreign()
    touch(root / "node-1_00000000000000ff_etcd.backup")
    assert await store.foreign()


async def test_looking_creates_nothing(root: Path) -> None:
    store = FileStore(root)
    assert await store.list("") == ()
    assert await store.read("key") is None
    assert files(root) == []


# ---------------------------------------------------------------- faults


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 — a thread ends, which has no event
            await asyncio.sleep(0.01)


def at_work() -> int:
    return sum(thread.name == "file-store" for thread in threading.enumerate())


async def test_a_hanging_file_system_is_unavailable_in_time_and_holds_few_threads(root: Path) -> None:
    """Opening a pipe that nobody writes to hangs as a dead file server does."""
    store = FileStore(root, deadline=0.1)
    await FileStore(root).create("fine", b"data")
    os.mkfifo(root / "stuck")
    await until(lambda: at_work() == 0)

    for _ in range(LANES + 2):
        with pytest.raises(Unavailable, match=r"gave no answer within 0\.1 s while reading stuck"):
            await store.read("stuck")
    with pytest.raises(Unavailable, match="reading fine"):
        await store.read("fine")
    assert at_work() == LANES

    os.close(os.open(root / "stuck", os.O_WRONLY | os.O_NONBLOCK))  # the server is back
    await until(lambda: at_work() == 0)
    await asyncio.sleep(0)  # the lanes are given back by the loop
    assert await store.read("fine") == b"data"


NO_THREADS = """
import asyncio, resource, sys
from pathlib import Path
from eco.errors import Unavailable
from snapshot.file import LANES, FileStore

async def main():
    store = FileStore(Path(sys.argv[1]), deadline=2.0)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 20, hard))  # below what is in use: no stack can be had
    said = []
    for _ in range(LANES + 1):
        try:
            await store.read("key")
        except Unavailable as fault:
            said.append(str(fault))
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    print(*said, await store.read("key"), sep="\\n")

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only there does the limit keep threads from starting")
def test_a_system_that_gives_no_more_threads_is_unavailable_until_it_does(root: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", NO_THREADS, str(root)], capture_output=True, text=True, check=False)

    *said, read = ended.stdout.splitlines()
    assert (read, ended.returncode) == ("None", 0), ended.stderr
    assert len(said) == LANES + 1
    assert all(line.startswith(f"no thread could be started for the directory {root}: ") for line in said)


def test_a_hanging_file_system_does_not_keep_the_agent_from_exiting(root: Path) -> None:
    root.mkdir()
    os.mkfifo(root / "stuck")
    program = (
        "import asyncio, pathlib, sys; from snapshot.file import FileStore\n"
        "asyncio.run(FileStore(pathlib.Path(sys.argv[1]), deadline=0.1).read('stuck'))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(root)], check=False, timeout=60, capture_output=True, text=True
    )
    assert run.stderr.splitlines()[-1].startswith("eco.errors.Unavailable"), run.stderr


async def test_a_file_where_a_directory_belongs_is_told(root: Path) -> None:
    touch(root)
    store = FileStore(root)
    with pytest.raises(Refused, match="a file stands where a directory belongs"):
        await store.create("key", b"")
    with pytest.raises(Refused, match="a file stands where a directory belongs"):
        await store.list("")


async def test_an_object_below_another_object_is_refused(root: Path) -> None:
    store = FileStore(root)
    await store.create("a", b"")
    with pytest.raises(Refused):
        await store.create("a/b", b"")
    assert await store.read("a/b") is None


async def test_an_object_beyond_a_record_is_corrupt_by_name(root: Path) -> None:
    store = FileStore(root)
    await store.create("big", b"x" * (1 << 20))
    with (root / "big").open("ab") as grown:
        grown.write(b"x")
    with pytest.raises(Corrupt, match="big has more than 1048576 bytes"):
        await store.read("big")


@pytest.mark.parametrize(
    ("number", "kind", "cure"),
    [
        (errno.ENOSPC, Unavailable, "free space"),
        (errno.EDQUOT, Unavailable, "quota"),
        (errno.EIO, Unavailable, "Input/output"),
        (errno.ESTALE, Unavailable, "tale"),
        (errno.EROFS, Refused, "remount it writable"),
        (errno.EACCES, Refused, "read and write access"),
    ],
)
def test_a_fault_of_the_disk_is_told_with_its_cure(number: int, kind: type[Exception], cure: str) -> None:
    told = _in_words(OSError(number, os.strerror(number)), "the directory /mnt/eco failed while creating x")
    assert type(told) is kind
    assert str(told).startswith(f"the directory /mnt/eco failed while creating x: {os.strerror(number)}")
    assert cure in str(told)


def test_a_link_whose_reply_was_lost_is_known_by_its_inode(tmp_path: Path) -> None:
    """An NFS client asks again, and the server answers that the name is taken: by this very link."""
    (tmp_path / "temporary").touch()
    (tmp_path / "taken").touch()
    assert _link(tmp_path / "temporary", tmp_path / "key")
    assert _link(tmp_path / "temporary", tmp_path / "key")
    assert not _link(tmp_path / "temporary", tmp_path / "taken")


def test_a_file_system_that_cannot_link_is_refused(tmp_path: Path) -> None:
    """A directory can be linked nowhere; its errno is that of a file system without links."""
    (tmp_path / "temporary").mkdir()
    with pytest.raises(Refused, match="makes no hard links"):
        _link(tmp_path / "temporary", tmp_path / "key")


# ---------------------------------------------------------------- settings


def test_a_relative_directory_is_beside_the_configuration(tmp_path: Path) -> None:
    store, problems = FileStore.parse({"dir": "registry"}, tmp_path)
    assert isinstance(store, FileStore)
    assert store._root == tmp_path / "registry"
    assert problems == ()
    assert list(tmp_path.iterdir()) == []


def test_everything_wrong_with_the_settings_is_told_at_once() -> None:
    store, problems = FileStore.parse({"bucket": "b", "dir": 7, "prefix": ["x"]}, Path("/etc"))
    assert store is None
    assert [str(problem) for problem in problems] == [
        "snapshot.bucket: b — the file store has no such setting, only dir",
        "snapshot.prefix: <list> — the file store has no such setting, only dir",
        "snapshot.dir: <int> — write a directory that every node mounts, such as /mnt/eco",
    ]


def test_a_missing_directory_is_asked_for() -> None:
    _, problems = FileStore.parse({}, Path("/etc"))
    assert [str(problem) for problem in problems] == [
        "snapshot.dir: write a directory that every node mounts, such as /mnt/eco"
    ]


WORDS = st.text(st.sampled_from("ab/.~\0\né"))


@given(st.dictionaries(st.sampled_from(["dir", "bucket"]), st.none() | WORDS | st.integers() | st.lists(WORDS)))
def test_any_settings_are_either_a_store_or_problems(settings: dict[str, object]) -> None:
    store, problems = FileStore.parse(settings, Path("/etc"))
    assert (store is None) == bool(problems)

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from eco.core.model import Data, Disk, Join, Stamp
from eco.errors import Corrupt, Unavailable
from eco.etcd.client import EtcdClient
from eco.etcd.datadir import EtcdDirectory
from tests.etcd.servers import Server, founders, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from eco.etcd.install import Binaries
    from tests.support import Addresses

MINE = Stamp(name="a", incarnation="11111111", nonce="22222222", generation=3, token="t", member_id="a1", started=True)  # noqa: S106
NEXT = Stamp(
    name="a", incarnation="33333333", nonce="44444444", join=Join(4, "u", "c1", "b1", (("a", "http://a:2380"),))
)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[EtcdDirectory]:
    directory = EtcdDirectory(tmp_path / "data", "a")
    directory.open()
    yield directory
    directory.close()


def fill(path: Path) -> None:
    """A data set that holds something, though nothing etcd would start on."""
    snap = path / "member" / "snap"
    snap.mkdir(parents=True)
    (snap / "db").write_bytes(b"consistent_index: all that was acknowledged")


def kept(path: Path) -> list[bytes]:
    """The databases that are still anywhere below `path`."""
    return [file.read_bytes() for file in path.rglob("db")]


# ------------------------------------------------------------------ whose data


def test_an_empty_directory_has_a_stamp_on_disk_before_it_is_reported(data: EtcdDirectory) -> None:
    disk = data.look(running=False)

    assert (disk.data, disk.stamped, disk.stamp.name, disk.stamp.generation) == (Data.ABSENT, True, "a", 0)
    assert (disk.stamp.started, disk.stamp.join, disk.member_id, disk.damage) == (False, None, "", "")
    assert len({disk.stamp.incarnation, disk.stamp.nonce, ""}) == 3
    assert disk.stamp.incarnation in (data.path / "eco" / "stamp.json").read_text()


def test_an_incarnation_outlives_its_agent(data: EtcdDirectory) -> None:
    disk = data.look(running=False)
    data.close()

    assert data.look(running=False) == disk
    assert disk.volume == disk.stamp.volume


def test_a_stamp_is_read_as_it_was_written(data: EtcdDirectory) -> None:
    for stamp in (MINE, NEXT):
        data.stamp("test", stamp)
        assert data.look(running=False).stamp == stamp


@pytest.mark.parametrize(
    "raw", [b"", b"{", b'{"name": "a"', b"[]", b"{}", b"\xff\xfe", b'{"version": 99}', b"[" * 100_000, b" " * (2 << 20)]
)
def test_what_is_no_stamp_is_said_and_left_alone(raw: bytes, data: EtcdDirectory) -> None:
    file = data.path / "eco" / "stamp.json"
    file.write_bytes(raw)
    fill(data.path)

    with pytest.raises(Corrupt, match=r"stamp\.json"):
        data.look(running=False)

    assert file.read_bytes() == raw
    assert len(kept(data.path / "member")) == 1


def test_data_without_a_stamp_keeps_one_incarnation_until_it_is_stamped(data: EtcdDirectory) -> None:
    fill(data.path)

    first, second = data.look(running=False), data.look(running=True)

    assert first.stamp == second.stamp
    assert not first.stamped
    assert not second.stamped
    assert not (data.path / "eco" / "stamp.json").exists()
    data.stamp("adopt", replace(first.stamp, generation=1))
    assert data.look(running=False).stamped


# ------------------------------------------------------------------ what data


@pytest.mark.parametrize("names", [(), ("member/",), ("member/snap/",), ("member/wal/",), ("lost+found/", "notes.txt")])
def test_nothing_that_etcd_wrote_is_no_data(names: tuple[str, ...], data: EtcdDirectory) -> None:
    for name in names:
        path = data.path / name
        path.mkdir(parents=True) if name.endswith("/") else path.touch()

    assert data.look(running=False).data is Data.ABSENT
    assert all((data.path / name).exists() for name in names)


def test_a_database_without_its_log_is_damaged(data: EtcdDirectory) -> None:
    fill(data.path)

    disk = data.look(running=False)

    assert disk.data is Data.DAMAGED
    assert "no write-ahead log" in disk.damage


async def test_a_plain_etcds_data_is_read_as_etcd_would(
    etcd_binaries: Binaries, addresses: Addresses, data: EtcdDirectory
) -> None:
    server = Server(etcd_binaries.etcd, "a", addresses.fresh(), data.path)
    client = EtcdClient()
    async with serving([server], client):
        status = await client.status(server.urls)
        while_running = data.look(running=True)
        server.kill()
        disk = data.look(running=False)
        still = data.look(running=True)

    assert (while_running.data, while_running.stamped, while_running.member_id) == (Data.PRESENT, False, "")
    assert (disk.data, disk.stamped, disk.damage) == (Data.PRESENT, False, "")
    assert (disk.member_id, disk.cluster_id, disk.last_term) == (status.member_id, status.cluster_id, status.term)
    assert disk.last_index >= status.raft_index
    assert replace(still, size=0) == disk
    assert still.size > 0

    segment = next((data.path / "member" / "wal").glob("*.wal"))
    raw = bytearray(segment.read_bytes())
    raw[60] ^= 0xFF
    segment.write_bytes(raw)
    damaged = data.look(running=False)
    assert damaged.data is Data.DAMAGED
    assert "write-ahead log is damaged" in damaged.damage
    assert data.look(running=True).damage == ""


def test_an_etcd_that_died_before_it_had_a_log_leaves_no_data(
    etcd_binaries: Binaries, addresses: Addresses, data: EtcdDirectory
) -> None:
    (server,) = founders(etcd_binaries.etcd, addresses.several(1), data.path.parent)
    server.directory = data.path
    limited = ["sh", "-c", 'ulimit -f 2000; exec "$@"', "sh", *server.argv()]

    subprocess.run(limited, check=False, capture_output=True, timeout=30)

    assert (data.path / "member" / "snap" / "db").exists()
    assert data.look(running=False).data is Data.ABSENT


# ------------------------------------------------------------------ setting aside


def test_data_set_aside_is_kept_with_its_stamp(data: EtcdDirectory) -> None:
    data.stamp("test", MINE)
    fill(data.path)

    data.set_aside("aside", "a Newer generation / was founded!", NEXT)

    assert data.look(running=False) == Disk(NEXT, Data.ABSENT, volume=data.look(running=False).volume)
    (aside,) = (data.path / "eco" / "old").iterdir()
    assert aside.name[16:] == "-g3-a-newer-generation-was-founded"
    assert len(kept(aside / "member")) == 1
    assert b'"11111111"' in (aside / "stamp.json").read_bytes()


def test_data_is_set_aside_as_often_as_it_takes(data: EtcdDirectory) -> None:
    for _ in range(3):
        fill(data.path)
        data.set_aside("aside", "again", NEXT)

    assert len(kept(data.path / "eco" / "old")) == 3


def test_setting_nothing_aside_begins_an_empty_data_set(data: EtcdDirectory) -> None:
    data.stamp("test", MINE)

    data.set_aside("aside", "member/ is gone", NEXT)

    assert data.look(running=False).stamp == NEXT
    assert not (data.path / "eco" / "old").exists()


# ------------------------------------------------------------------ power cuts


class PowerCut(BaseException):
    """Not an error that anything may catch."""


def cut_at(number: int) -> tuple[Callable[[str], None], list[str]]:
    """A hook that cuts the power before the effect of that number, and the labels it has seen."""
    seen: list[str] = []

    def hook(label: str) -> None:
        if len(seen) == number:
            raise PowerCut(label)
        seen.append(label)

    return hook, seen


def cut_everywhere(
    home: Path, prepare: Callable[[Path], None], act: Callable[[EtcdDirectory], object]
) -> Iterator[Path]:
    """Do `act` on prepared directories, each cut one effect later than the one before, until it succeeds."""
    for number in range(50):
        path = home / str(number)
        path.mkdir(parents=True)
        prepare(path)
        hook, _ = cut_at(number)
        directory = EtcdDirectory(path, "a", hook)
        try:
            act(directory)
        except PowerCut:
            directory.close()
            yield path
        else:
            directory.close()
            assert number > 2
            yield path
            return
    raise AssertionError("it never came to an end")


def stamped(path: Path) -> None:
    """A data set with its stamp and its agent's files."""
    directory = EtcdDirectory(path, "a")
    directory.open()
    directory.stamp("test", MINE)
    directory.close()
    fill(path)


def test_a_power_cut_at_the_first_look_costs_nothing(tmp_path: Path) -> None:
    for path in cut_everywhere(tmp_path, lambda _: None, lambda data: data.look(running=False)):
        written = (path / "eco" / "stamp.json").exists()
        before = (path / "eco" / "stamp.json").read_bytes() if written else b""
        directory = EtcdDirectory(path, "a")
        disk = directory.look(running=False)
        directory.close()
        assert (disk.data, disk.stamped) == (Data.ABSENT, True)
        assert not written or disk.stamp.incarnation.encode() in before
        assert directory.token


def test_a_power_cut_while_stamping_leaves_one_stamp_or_the_other(tmp_path: Path) -> None:
    stamps = []
    for path in cut_everywhere(tmp_path, stamped, lambda data: data.stamp("test", NEXT)):
        directory = EtcdDirectory(path, "a")
        stamps.append(directory.look(running=False).stamp)
        directory.close()

    assert stamps[0] == MINE
    assert stamps[-1] == NEXT
    assert set(stamps) == {MINE, NEXT}


def test_a_power_cut_while_setting_aside_loses_no_data_and_is_made_good(tmp_path: Path) -> None:
    for path in cut_everywhere(tmp_path, stamped, lambda data: data.set_aside("aside", "test", NEXT)):
        assert len(kept(path)) == 1
        directory = EtcdDirectory(path, "a")
        disk = directory.look(running=False)
        assert disk.stamp in (MINE, NEXT)
        assert disk.stamp == MINE or disk.data is Data.ABSENT

        directory.set_aside("aside", "test", NEXT)

        assert directory.look(running=False).stamp == NEXT
        assert directory.look(running=False).data is Data.ABSENT
        assert len(kept(path / "eco" / "old")) == 1
        directory.close()


def test_a_pause_survives_restarts_and_power_cuts(tmp_path: Path) -> None:
    seen = set()
    for path in cut_everywhere(tmp_path, stamped, pause_and_resume):
        directory = EtcdDirectory(path, "a")
        seen.add(directory.paused)
        directory.set_paused(paused=True)
        assert directory.paused
        assert EtcdDirectory(path).paused
        directory.set_paused(paused=False)
        directory.set_paused(paused=False)
        assert not EtcdDirectory(path).paused

    assert seen == {True, False}


def pause_and_resume(data: EtcdDirectory) -> None:
    data.set_paused(paused=True)
    data.set_paused(paused=False)


# ------------------------------------------------------------------ disks that do not play along


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (errno.ENOSPC, "is full: free some space"),
        (errno.EDQUOT, "is full: free some space"),
        (errno.EROFS, "is read-only"),
        (errno.EIO, "fails to read or write"),
        (errno.EACCES, f"not open to user {os.geteuid()}, as whom I run"),
        (errno.ENOENT, "cannot be used: No such file"),
    ],
)
def test_whatever_the_system_refuses_is_a_sentence_and_nothing_is_lost(fault: int, words: str, tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / str(number)
        path.mkdir()
        stamped(path)
        seen: list[str] = []

        def refuse(label: str, seen: list[str] = seen, number: int = number) -> None:
            seen.append(label)
            if len(seen) > number:
                raise OSError(fault, os.strerror(fault))

        directory = EtcdDirectory(path, "a", refuse)
        directory.open()
        said = sentence(partial(directory.set_aside, "aside", "test", NEXT))
        directory.close()

        assert len(kept(path)) == 1
        if not said:
            assert number > 6
            return
        assert words in said


def sentence(act: Callable[[], None]) -> str:
    """What the disk is said not to do; "" when all went well."""
    try:
        act()
    except Unavailable as said:
        return str(said)
    return ""


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "deeper"):
        with pytest.raises(Unavailable, match="not a directory"):
            EtcdDirectory(path).open()

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "eco").touch()
    with pytest.raises(Unavailable, match="not a directory"):
        EtcdDirectory(tmp_path / "data").open()


MOUNTED = """
import sys
from pathlib import Path
from eco.core.model import Data
from eco.errors import Unavailable
from eco.etcd.datadir import EtcdDirectory

directory = EtcdDirectory(Path(sys.argv[1]), "a")
try:
    print(directory.look(running=False).data.name)
except Unavailable as said:
    print(said)
"""


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounting needs root on Linux")
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("true", "ABSENT"),
        ('dd if=/dev/zero of="$1/big" bs=4096 2>/dev/null || true', "is full: free some space"),
        ('mount -o remount,ro "$1"', "is read-only"),
    ],
)
def test_a_real_disk_that_is_full_or_read_only_is_said_to_be(script: str, words: str, tmp_path: Path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here")
    whole = f'mount -t tmpfs -o size=64k tmpfs "$1" && {script} && exec "$2" -c "$3" "$1"'
    argv = ["unshare", "-m", "sh", "-c", whole, "sh", str(tmp_path), sys.executable, MOUNTED]

    done = subprocess.run(argv, check=False, capture_output=True, text=True)

    if "permission denied" in done.stderr.lower() or "not permitted" in done.stderr.lower():
        pytest.skip("no mounting here")
    assert words in done.stdout, done.stderr


# ------------------------------------------------------------------ one agent


def test_a_second_agent_is_refused_by_name(data: EtcdDirectory) -> None:
    second = EtcdDirectory(data.path)

    with pytest.raises(Unavailable, match=rf"another agent \(process {os.getpid()}\) works on .*: stop it first"):
        second.open()

    data.close()
    second.open()
    second.open()
    second.close()
    second.close()


def test_what_the_agent_starts_does_not_hold_its_lock(data: EtcdDirectory) -> None:
    argv = [sys.executable, "-c", "input(print('runs', flush=True))"]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False)
    try:
        assert child.stdout is not None
        assert child.stdout.readline()
        data.close()
        data.open()
    finally:
        child.communicate(b"\n")


def test_what_is_written_is_for_our_eyes_only(data: EtcdDirectory) -> None:
    data.look(running=False)
    fill(data.path)
    data.set_aside("aside", "test", NEXT)
    data.set_paused(paused=True)

    for path in (data.path / "eco").rglob("*"):
        if "member" not in path.parts:
            assert path.stat().st_mode & 0o077 == 0, path
    assert data.path.stat().st_mode & 0o077 == 0


def test_the_operators_token_is_secret_and_lasts(data: EtcdDirectory) -> None:
    token = data.token

    data.close()
    data.open()

    assert data.token == token
    assert len(token) == 32


def test_a_directory_that_is_wiped_under_its_agent_is_a_new_data_set(data: EtcdDirectory) -> None:
    before = data.look(running=False)
    shutil.rmtree(data.path)

    after = data.look(running=False)

    assert after.data is Data.ABSENT
    assert after.stamp.incarnation != before.stamp.incarnation
    with pytest.raises(Unavailable, match="another agent"):
        EtcdDirectory(data.path).open()


def test_strange_owners_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tmp_path.chmod(0o777)
    directory = EtcdDirectory(tmp_path)

    directory.open()

    assert "can be changed by every user" in caplog.text
    directory.close()


@pytest.mark.parametrize("field", ["incarnation", "nonce"])
@pytest.mark.parametrize("drawn", ["", "ABCDEF01", "../x", "0123456", "0" * 65, "0123456789abcde\n"])
def test_a_stamp_that_eco_has_not_drawn_is_corrupt(data: EtcdDirectory, field: str, drawn: str) -> None:
    data.stamp("test", replace(MINE, **{field: drawn}))  # type: ignore[arg-type]

    with pytest.raises(Corrupt, match=rf"stamp\.json has the {field} .*, which eco has never drawn"):
        data.look(running=False)

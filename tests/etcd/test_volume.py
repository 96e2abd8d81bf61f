from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from eco.etcd.volume import identity

if TYPE_CHECKING:
    from pathlib import Path


def mountinfo(home: Path, *lines: str) -> Path:
    """A mountinfo file in which @ stands for the device number that `home` really has."""
    device = home.stat().st_dev
    text = "\n".join(("", "nonsense", "1 2 3 - 4", *lines, ""))
    file = home / "mountinfo"
    file.write_text(text.replace("@", f"{os.major(device)}:{os.minor(device)}"))
    return file


def test_a_directory_keeps_its_identity(tmp_path: Path) -> None:
    deeper = tmp_path / "a" / "b"
    deeper.mkdir(parents=True)

    assert identity(tmp_path) == identity(tmp_path) == identity(deeper)


def test_what_is_not_there_has_no_identity(tmp_path: Path) -> None:
    assert identity(tmp_path / "nowhere") == ""


@pytest.mark.parametrize("kind", ["overlay", "tmpfs", "ramfs"])
def test_what_does_not_outlive_the_machine_has_none_either(kind: str, tmp_path: Path) -> None:
    mounts = mountinfo(tmp_path, f"27 1 @ / / rw - {kind} {kind} rw")

    assert identity(tmp_path, mounts) == ""


def test_a_disk_is_known_by_its_filesystem_and_its_device(tmp_path: Path) -> None:
    mounts = mountinfo(tmp_path, "27 1 @ / / rw,relatime shared:1 - ext4 /dev/nvme1n1 rw")

    told = identity(tmp_path, mounts, tmp_path / "no-udev")

    assert told == f"fsid={os.statvfs(tmp_path).f_fsid:x},device=nvme1n1"


def test_udev_knows_the_uuid(tmp_path: Path) -> None:
    uuids = tmp_path / "by-uuid"
    uuids.mkdir()
    (uuids / "1111-broken").symlink_to(tmp_path / "nowhere")
    (uuids / "2222-other").symlink_to("/dev/zero")
    (uuids / "3333-mine").symlink_to("/dev/null")
    mounts = mountinfo(tmp_path, "27 1 0:99 / / rw - btrfs /dev/null rw")

    assert identity(tmp_path, mounts, uuids) == "uuid=3333-mine,device=null"


def test_the_nearest_mount_counts(tmp_path: Path) -> None:
    inner = tmp_path / "a b"
    inner.mkdir()
    escaped = str(inner).replace(" ", "\\040")
    mounts = mountinfo(
        tmp_path,
        "27 1 0:98 / / rw - ext4 /dev/root rw",
        f"28 27 0:99 / {escaped} rw - nfs4 server:/export rw",
        "29 27 0:97 / /elsewhere rw - tmpfs tmpfs rw",
    )

    assert identity(inner, mounts) == "nfs4=server:/export"
    assert identity(tmp_path, mounts).endswith("device=root")


def test_without_mountinfo_the_filesystem_id_has_to_do(tmp_path: Path) -> None:
    told = identity(tmp_path, tmp_path / "none")

    assert told == f"fsid={os.statvfs(tmp_path).f_fsid:x},device={tmp_path.stat().st_dev:x}"


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounting needs root on Linux")
def test_another_disk_at_the_same_place_is_another_volume(tmp_path: Path) -> None:
    seen = {told_of_a_fresh_disk(tmp_path / name) for name in ("one", "two")}
    if "" in seen:
        pytest.skip("no loop devices here")

    assert len(seen) == 2


def told_of_a_fresh_disk(home: Path) -> str:
    """The identity of a fresh ext4 image while it is mounted, in a mount namespace of its own."""
    home.mkdir()
    image, point = home / "image", home / "mnt"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(8 << 20)
    mkfs = shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if mkfs is None:
        return ""
    subprocess.run([mkfs, "-q", image], check=True)
    code = f"from pathlib import Path; from eco.etcd.volume import identity; print(identity(Path({str(point)!r})))"
    script = 'mount -o loop "$1" "$2" && "$3" -c "$4"'
    argv = ["unshare", "-m", "sh", "-c", script, "sh", str(image), str(point), sys.executable, code]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""

"""Which volume a directory lies on, so that a wiped disk and a disk that is not mounted yet can be told apart.

The provider's word (a PV's UID, an EBS volume's id) is better and goes first; this is what the
machine itself can tell: the filesystem's UUID and the device's name. An empty directory on the
volume of old was wiped; one on another volume is a mount that is late. Where a directory cannot
outlive the machine or the container there is nothing to tell apart, and the identity is "".
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
UUIDS = Path("/dev/disk/by-uuid")

_EPHEMERAL = frozenset({"overlay", "aufs", "tmpfs", "ramfs", "rootfs", "devtmpfs", "squashfs", "fuse.fuse-overlayfs"})


@dataclass(frozen=True)
class _Mount:
    """A line of mountinfo (proc_pid_mountinfo(5))."""

    device: str
    point: Path
    kind: str
    source: str


def identity(path: Path, mounts: Path = MOUNTS, uuids: Path = UUIDS) -> str:
    """Name the volume that `path` lies on, or "" where nothing about it is known to be stable."""
    try:
        stat, fsid = path.stat(), os.statvfs(path).f_fsid
        if not mounts.exists():
            return f"fsid={fsid:x},device={stat.st_dev:x}"
        mount = _mount(mounts.read_text(errors="surrogateescape"), stat.st_dev, path.resolve())
    except OSError:
        return ""
    if mount is None or mount.kind in _EPHEMERAL:
        return ""
    if not mount.source.startswith("/dev/"):
        return f"{mount.kind}={mount.source}"
    uuid = _uuid(mount.source, stat.st_dev, uuids)
    return f"{f'uuid={uuid}' if uuid else f'fsid={fsid:x}'},device={mount.source.removeprefix('/dev/')}"


def _mount(mountinfo: str, device: int, path: Path) -> _Mount | None:
    """Find the mount of this device that is nearest above `path`; by path alone where a
    filesystem has device numbers of its own, as btrfs has."""
    above = [mount for mount in map(_parsed, mountinfo.splitlines()) if mount and path.is_relative_to(mount.point)]
    number = f"{os.major(device)}:{os.minor(device)}"
    same = [mount for mount in above if mount.device == number]
    return max(same or above, key=lambda mount: len(mount.point.parts), default=None)


def _parsed(line: str) -> _Mount | None:
    head, _, tail = line.partition(" - ")
    before, after = head.split(), tail.split()
    if len(before) < 6 or len(after) < 2:  # noqa: PLR2004 - what the manual page promises at least
        return None
    return _Mount(before[2], Path(_plain(before[4])), after[0], _plain(after[1]))


def _plain(escaped: str) -> str:
    """Undo the octal escapes of blanks in mountinfo."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), escaped)


def _uuid(source: str, device: int, uuids: Path) -> str:
    """Find the filesystem's UUID among udev's links, by device number; "" without udev."""
    numbers = {device, _number(Path(source))} - {0}
    try:
        links = sorted(uuids.iterdir())
    except OSError:
        return ""
    return next((link.name for link in links if _number(link) in numbers), "")


def _number(node: Path) -> int:
    """Give a device node's number, 0 for what is none."""
    try:
        return node.stat().st_rdev
    except OSError:
        return 0

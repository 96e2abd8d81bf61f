"""The directory of a dev cluster: where everything lies, and what is written into it.

- `group.yaml`: who is in the group (`group`)
- `store/`: the shared store
- `lock`, `control.sock`: held by the one supervisor; how to talk to it
- `dev.log`: what a detached supervisor said
- `NODE/eco.yaml`: the node's configuration, kept when somebody edited it
- `NODE/data/`, `NODE/agent.log`: its data directory; what its agents printed
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from eco.cli.dev import group, places
from eco.cli.text import printable
from eco.errors import EcoError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eco.core.model import Instance

CLUSTER = "dev"
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""Of a node: it becomes the name of a directory that `wipe` and `terminate` delete in, of a member and an instance."""
TAKEN = frozenset({"store", "lock"})
"""What lies beside the nodes' directories."""
LAST_WORDS = 4096
"""Bytes of a log in which its last line is looked for."""


@dataclass(frozen=True)
class NodeHome:
    """One node's directory."""

    root: Path

    @property
    def name(self) -> str:
        """The node's name."""
        return self.root.name

    @property
    def config(self) -> Path:
        """Its configuration."""
        return self.root / "eco.yaml"

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.root / "data"

    @property
    def log(self) -> Path:
        """What its agents printed, all of them."""
        return self.root / "agent.log"

    @property
    def pid(self) -> Path:
        """Which agent runs: pid and start time."""
        return self.root / "agent.pid"

    @property
    def lock(self) -> Path:
        """Held by whoever uses the data directory: the agent, and the etcd it started."""
        return self.data / "eco" / "lock"

    @property
    def etcd_pid(self) -> Path:
        """Which etcd runs, in the agent's words."""
        return self.data / "eco" / "etcd.pid"

    def delete_data(self) -> None:
        """Lose the disk. Nobody may be using it."""
        if self.data.exists():
            shutil.rmtree(self.data)


@dataclass(frozen=True)
class Home:
    """The whole directory; `root` is absolute."""

    root: Path

    @property
    def group_file(self) -> Path:
        """The group file."""
        return self.root / "group.yaml"

    @property
    def store(self) -> Path:
        """The shared store's directory."""
        return self.root / "store"

    @property
    def log(self) -> Path:
        """What a detached supervisor said."""
        return self.root / "dev.log"

    @property
    def lock(self) -> Path:
        """Held by the supervisor while it lives."""
        return self.root / "lock"

    def node(self, name: str) -> NodeHome:
        """The directory of node `name`."""
        return NodeHome(self.root / name)

    def nodes(self) -> tuple[NodeHome, ...]:
        """Every node that ever was, listed or not."""
        return tuple(NodeHome(path.parent) for path in sorted(self.root.glob("*/eco.yaml")))

    def listing(self) -> group.Listing:
        """The group as it is. Raises `EcoError` when no cluster was made here."""
        if not self.group_file.exists():
            raise EcoError(f"there is no dev cluster in {self.root}: start one with `eco dev`, or name its --dir")
        return group.read(self.group_file)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Be the one supervisor of this directory. Raises `EcoError` when there is one."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            raise EcoError(
                f"a dev cluster already runs in {self.root}: see `eco dev status`, end it with `eco dev stop`"
            ) from taken
        else:
            yield
        finally:
            os.close(descriptor)

    def found(self, size: int, base: str) -> group.Listing:
        """A new group of `size` nodes, n1, n2 …, from address `base` on; writes everything."""
        listing = group.Listing(size, tuple(places.place(f"n{n + 1}", base, n) for n in range(size)))
        self.store.mkdir(mode=0o700, exist_ok=True)
        group.write(self.group_file, listing)
        for instance in listing.instances:
            self.furnish(instance)
        return listing

    def newcomer(self, name: str | None) -> Instance:
        """Name and place of one more node: the next number, or `name` in the first vacant place.
        Raises `EcoError` when `name` is taken, or is none: it becomes a directory's name, and a member's."""
        listing = self.listing()
        if name is not None and (not NAME.fullmatch(name) or name in TAKEN):
            raise EcoError(f"{name!r} is no node's name: write small letters, digits and dashes, such as d or n4")
        if name is not None and name in {each.name for each in listing.instances}:
            raise EcoError(f"node {name} is there already")
        used = {home.name for home in self.nodes()} | {each.name for each in listing.instances}
        number = 1 + max((int(each[1:]) for each in used if each[:1] == "n" and each[1:].isdecimal()), default=0)
        first = number - 1 if name is None else len(listing.instances)
        base = places.lowest(each.address for each in listing.instances)
        return places.vacant(name or f"n{number}", base, first, listing.instances)

    def furnish(self, instance: Instance) -> None:
        """Make the node's directory and its configuration, unless it has one."""
        home = self.node(instance.name)
        home.root.mkdir(mode=0o700, exist_ok=True)
        if not home.config.exists():
            group.replace_file(home.config, configuration(self, instance))

    def clear(self) -> None:
        """Delete the cluster: its nodes, store, group file and log, and nothing else."""
        for home in self.nodes():
            shutil.rmtree(home.root)
        shutil.rmtree(self.store, ignore_errors=True)
        for path in (self.group_file, self.log):
            path.unlink(missing_ok=True)


def last_line(path: Path) -> str:
    """The last line of a log, fit for a terminal; "" while there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as log:
        log.seek(-min(LAST_WORDS, path.stat().st_size), os.SEEK_END)
        lines = log.read().decode(errors="replace").splitlines()
    return printable(lines[-1]) if lines else ""


def configuration(home: Home, instance: Instance) -> str:
    """The node's `eco.yaml`."""
    etcd: dict[str, object] = {"data-dir": str(home.node(instance.name).data)}
    if (port := places.metrics_port(instance)) != places.METRICS_PORT:
        etcd["metrics-port"] = port
    document = {
        "eco": {
            "cluster": CLUSTER,
            "etcd": etcd,
            "asg": {"provider": "static", "name": instance.name, "file": str(home.group_file)},
            "snapshot": {"provider": "file", "dir": str(home.store)},
            "log": {"format": "text"},
        }
    }
    return yaml.safe_dump(document, sort_keys=False)

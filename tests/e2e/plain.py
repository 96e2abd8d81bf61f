"""etcd without an agent: the peer of the benchmarks, the cluster that is adopted, the suspects of the controls."""

from __future__ import annotations

import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.e2e.gateway import Etcd, NoAnswerError
from tests.e2e.patience import eventually
from tests.e2e.processes import etcd_binary, etcd_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def ports_of(address: str) -> tuple[str, str, str]:
    """Client, peer and metrics URL of a node, on etcd's default ports."""
    return f"http://{address}:2379", f"http://{address}:2380", f"http://{address}:2381"


def flags(name: str, address: str, data: Path) -> list[str]:
    """The flags with which a plain etcd and ours are the same server."""
    client, peer, metrics = ports_of(address)
    given = {
        "name": name,
        "data-dir": str(data),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "listen-metrics-urls": metrics,
    }
    return [f"--{flag}={value}" for flag, value in given.items()]


@dataclass
class PlainEtcd:
    """One etcd process by hand, with its data below `home`."""

    name: str
    address: str
    home: Path
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "etcd.log"

    @property
    def etcd(self) -> Etcd:
        return Etcd(self.address)

    @property
    def peer_url(self) -> str:
        return ports_of(self.address)[1]

    def start(self, initial: Mapping[str, str] | None = None) -> None:
        """Start it: on its data where it has some, else as a founder of `initial` (name to peer URL), or alone."""
        self.home.mkdir(parents=True, exist_ok=True)
        pairs = ",".join(f"{name}={url}" for name, url in (initial or {self.name: self.peer_url}).items())
        argv = [str(etcd_binary()), *flags(self.name, self.address, self.data)]
        argv += [f"--initial-cluster={pairs}", "--initial-cluster-token=plain"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)

    def command(self) -> list[str]:
        """The command that starts it on data that it has."""
        return [str(etcd_binary()), *flags(self.name, self.address, self.data)]

    def etcd_pid(self) -> int | None:
        """Its process, whoever started it."""
        return etcd_of(self.data)

    def is_serving(self) -> bool:
        """Whether a linearizable read succeeds."""
        try:
            self.etcd.get("any")
        except NoAnswerError:
            return False
        return True

    def wait(self, within: float = 15) -> None:
        eventually(self.is_serving, within, f"plain etcd {self.name} serves")

    def end(self, number: signal.Signals = signal.SIGTERM, within: float = 20) -> None:
        """Signal it and wait for its end; idempotent."""
        if self.process is None:
            return
        self.process.send_signal(number)
        self.process.wait(within)
        self.process = None

    def close(self) -> None:
        """Kill it, whatever state it is in."""
        with suppress(ProcessLookupError):
            self.end(signal.SIGKILL)

    def forget(self) -> None:
        """Delete everything it wrote."""
        shutil.rmtree(self.home, ignore_errors=True)


def founders(names: Mapping[str, str], directory: Path) -> list[PlainEtcd]:
    """Start a plain cluster with a static list (name to address); it may not serve yet."""
    nodes = [PlainEtcd(name, address, directory / name) for name, address in names.items()]
    initial = {node.name: node.peer_url for node in nodes}
    for node in nodes:
        node.start(initial)
    return nodes

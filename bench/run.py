"""Benchmarks: eco and plain etcd side by side, in one run, in alternating order.

    python bench/run.py [--only NAME] [--n N] [--json FILE]

Every figure is a pair: the same thing done by agents and by etcd alone, with the same binary and
flags on the same machine in the same minutes. Only the pair means something: absolute times are
the machine's. The bars are those that this project holds itself to; they are printed beside the
figures and never fail the run, because a shared machine proves nothing by one number.

Data lies below the system's temporary directory: say which disk that is when you quote figures.
"""

# ruff: noqa: D102, D103 - a duel's methods are told by its class

from __future__ import annotations

import argparse
import compileall
import json
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tests.e2e.gateway import Etcd, NoAnswerError
from tests.e2e.harness import Fleet
from tests.e2e.ledger import Ledger
from tests.e2e.patience import eventually
from tests.e2e.plain import PlainEtcd, founders
from tests.e2e.processes import cpu_seconds, resident_bytes, send, started_at
from tests.support import Addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

NAMES = "abc"
IDLE_SECONDS = 60.0
PATIENCE = 60.0
"""Seconds after which a round is given up."""
SETTLE = 2.0
"""Seconds of quiet before a fault, so that the last round's repair does not count in the next."""


# ---------------------------------------------------------------- instruments


@contextmanager
def probing(verb: str, directory: Path, addresses: Sequence[str]) -> Iterator[Callable[[float], float]]:
    """Run the probe; gives a function that waits for the first success after a moment, and tells when it was."""
    log = directory / f"probe-{time.monotonic_ns()}"
    log.touch()
    probe = subprocess.Popen([sys.executable, "-m", "bench.probe", verb, str(log), *addresses])

    def first_after(moment: float) -> float:
        def found() -> float | None:
            return next((at for line in log.read_text().split() if (at := float(line)) > moment), None)

        return eventually(found, PATIENCE, "the probe succeeds")

    try:
        eventually(lambda: cpu_seconds(probe.pid) > 0, PATIENCE, "the probe runs")
        yield first_after
    finally:
        probe.terminate()
        probe.wait(10)


def gap_during(directory: Path, addresses: Sequence[str], fault: Callable[[], None]) -> float:
    """The longest time without an acknowledged write around a fault, under load. Raises on any lost write."""
    ledger = Ledger(directory / f"ledger-{time.monotonic_ns()}", addresses)
    ledger.prefix = f"ledger-{time.monotonic_ns()}/"
    ledger.start()
    try:
        since = ledger.flowing()
        fault()
        ledger.resumed(time.monotonic(), PATIENCE)
        ledger.flowing()
        gap = ledger.longest_gap(since)
        ledger.stop()
        ledger.judge()
        return gap
    finally:
        ledger.close()


# ---------------------------------------------------------------- the two sides


class Scratch:
    """A directory that goes away."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="eco-bench-"))

    def sub(self) -> Path:
        path = self.path / str(time.monotonic_ns())
        path.mkdir()
        return path

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


@dataclass
class Plain:
    """Three plain etcds; `looped`: each is restarted by a shell loop for ever."""

    directory: Path
    loopback: Addresses = field(default_factory=Addresses)
    nodes: list[PlainEtcd] = field(default_factory=list)
    loops: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.of = {name: self.loopback.fresh().host for name in NAMES}

    @property
    def addresses(self) -> list[str]:
        return list(self.of.values())

    def born(self) -> Plain:
        self.nodes = founders(self.of, self.directory)
        self.wait()
        return self

    def wait(self) -> None:
        for node in self.nodes:
            node.wait(PATIENCE)

    def leader(self) -> PlainEtcd:
        def find() -> PlainEtcd | None:
            return next((node for node in self.nodes if leads(node.etcd)), None)

        return eventually(find, PATIENCE, "a plain member leads")

    def restart(self, node: PlainEtcd) -> None:
        node.process = None
        node.start()
        node.wait(PATIENCE)

    def close(self) -> None:
        for loop in self.loops:
            loop.kill()
        for node in self.nodes:
            node.close()
        self.loopback.close()


def leads(etcd: Etcd) -> bool:
    with suppress(NoAnswerError):
        standing = etcd.standing(1)
        return standing.leader == standing.member_id
    return False


def agents(directory: Path, check_interval: str = "15s") -> Fleet:
    """Three nodes with production timings, not started."""
    fleet = Fleet(directory / "fleet", "", desired=len(NAMES))
    for name in NAMES:
        fleet.add(name, extra={"check-interval": check_interval, "unhealthy-member-ttl": "3m"})
    fleet.group.publish()
    return fleet


def settled(healthy: Callable[[], object]) -> None:
    """Wait for health, and then for quiet."""
    healthy()
    time.sleep(SETTLE)


# ---------------------------------------------------------------- the duels


class Duel(ABC):
    """One thing, done by agents and by etcd alone; each side gives seconds."""

    name: ClassVar[str]
    bar: ClassVar[str]

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch

    @abstractmethod
    def eco(self) -> float: ...

    @abstractmethod
    def plain(self) -> float: ...

    def close(self) -> None:
        """End what lives on between rounds; nothing does, unless a duel says so."""
        return


class Birth(Duel):
    """Three empty nodes, from the first exec to the first acknowledged write."""

    name = "birth"
    bar = "<= 1.3 x and <= +0.5 s"

    def eco(self) -> float:
        directory = self.scratch.sub()
        fleet = agents(directory)
        try:
            with probing("write", directory, fleet.addresses) as first_after:
                begun = time.monotonic()
                fleet.start()
                return first_after(begun) - begun
        finally:
            fleet.close()
            shutil.rmtree(directory)

    def plain(self) -> float:
        directory = self.scratch.sub()
        cluster = Plain(directory)
        try:
            with probing("write", directory, cluster.addresses) as first_after:
                begun = time.monotonic()
                cluster.nodes = founders(cluster.of, directory)
                return first_after(begun) - begun
        finally:
            cluster.close()
            shutil.rmtree(directory)


class Standing(Duel):
    """What the other duels share: both clusters live through all rounds."""

    def __init__(self, scratch: Scratch) -> None:
        super().__init__(scratch)
        self.directory = scratch.sub()
        self.fleet = agents(scratch.sub())
        self.fleet.start()
        self.fleet.healthy(PATIENCE)
        self.cluster = Plain(scratch.sub()).born()

    def close(self) -> None:
        self.fleet.close()
        self.cluster.close()


class Restart(Standing):
    """kill -9 of a follower's etcd, until it answers linearizable reads again; the peer is a shell loop."""

    name = "restart"
    bar = "<= 1.2 x"

    def __init__(self, scratch: Scratch) -> None:
        super().__init__(scratch)
        self.victim = next(node for node in self.cluster.nodes if not leads(node.etcd))
        self.victim.end(signal.SIGKILL)
        loop = f"while true; do {shlex.join(self.victim.command())}; done"
        self.loop = subprocess.Popen(["/bin/sh", "-c", loop], stderr=subprocess.DEVNULL, start_new_session=True)
        self.cluster.loops.append(self.loop)
        self.victim.wait(PATIENCE)

    def eco(self) -> float:
        settled(lambda: self.fleet.healthy(PATIENCE))
        node = self.fleet.followers()[0]
        pid = node.etcd_pid()
        return self.measure(node.address, pid)

    def plain(self) -> float:
        settled(lambda: self.victim.wait(PATIENCE))
        return self.measure(self.victim.address, self.victim.etcd_pid())

    def measure(self, address: str, pid: int | None) -> float:
        with probing("read", self.directory, [address]) as first_after:
            first_after(0)
            begun = time.monotonic()
            kill(pid)
            return first_after(begun + 0.02) - begun

    def close(self) -> None:
        self.loop.kill()
        kill(self.victim.etcd_pid())
        super().close()


class ColdStart(Standing):
    """Everything killed on all three, disks kept: from the first exec to the first acknowledged write."""

    name = "cold-start"
    bar = "<= 1.3 x, nothing lost"

    def eco(self) -> float:
        settled(lambda: self.fleet.healthy(PATIENCE))
        for node in self.fleet.nodes.values():
            node.kill_both(stay_down=True)
        with probing("write", self.directory, self.fleet.addresses) as first_after:
            begun = time.monotonic()
            self.fleet.start()
            return first_after(begun) - begun

    def plain(self) -> float:
        settled(self.cluster.wait)
        for node in self.cluster.nodes:
            node.end(signal.SIGKILL)
        with probing("write", self.directory, self.cluster.addresses) as first_after:
            begun = time.monotonic()
            for node in self.cluster.nodes:
                node.start()
            return first_after(begun) - begun


class LeaderKill(Standing):
    """kill -9 of the leader's etcd under load: the longest time without an acknowledged write."""

    name = "leader-kill"
    bar = "<= 1.05 x"

    def eco(self) -> float:
        settled(lambda: self.fleet.healthy(PATIENCE))
        leader = self.fleet.leader()
        return gap_during(self.directory, self.fleet.addresses, lambda: ignore(leader.kill_etcd()))

    def plain(self) -> float:
        settled(self.cluster.wait)
        leader = self.cluster.leader()
        gap = gap_during(self.directory, self.cluster.addresses, lambda: leader.end(signal.SIGKILL))
        self.cluster.restart(leader)
        return gap


class PlannedStop(Standing):
    """The leader's node is stopped under load: SIGTERM to the agent, and to a plain etcd."""

    name = "planned-stop"
    bar = "<= 50 ms"

    def eco(self) -> float:
        settled(lambda: self.fleet.healthy(PATIENCE))
        leader = self.fleet.leader()
        gap = gap_during(self.directory, self.fleet.addresses, lambda: ignore(leader.stop()))
        leader.revive()
        return gap

    def plain(self) -> float:
        settled(self.cluster.wait)
        leader = self.cluster.leader()
        gap = gap_during(self.directory, self.cluster.addresses, leader.end)
        self.cluster.restart(leader)
        return gap


class Exec(Standing):
    """From the exec of `eco run` to the exec of etcd, on a node with data; a plain etcd needs none of it."""

    name = "exec"
    bar = "<= 0.6 s"

    def eco(self) -> float:
        settled(lambda: self.fleet.healthy(PATIENCE))
        node = self.fleet.followers()[0]
        node.kill_both(stay_down=True)
        node.revive()
        etcd = eventually(node.etcd_pid, PATIENCE, "etcd runs")
        return started_at(etcd) - started_at(node.pid or 0)

    def plain(self) -> float:
        return 0.0


DUELS: tuple[type[Duel], ...] = (Birth, Restart, ColdStart, LeaderKill, PlannedStop, Exec)


def kill(pid: int | None) -> None:
    """SIGKILL one process by its id, if there is one."""
    if pid is not None:
        send(pid, signal.SIGKILL)


def ignore(_: object) -> None:
    """Do for its effect what also gives a value."""


# ---------------------------------------------------------------- idle cost


def idle(scratch: Scratch) -> dict[str, object]:
    """CPU share and memory of three agents in quiet, with their etcds' beside them."""
    fleet = agents(scratch.sub())
    try:
        fleet.start()
        fleet.healthy(PATIENCE)
        time.sleep(5)
        pids = {
            "agent": [node.pid or 0 for node in fleet.nodes.values()],
            "etcd": [node.etcd_pid() or 0 for node in fleet.nodes.values()],
        }
        before = {pid: cpu_seconds(pid) for group in pids.values() for pid in group}
        time.sleep(IDLE_SECONDS)
        return {
            kind: {
                "cpu_percent": [round(100 * (cpu_seconds(pid) - before[pid]) / IDLE_SECONDS, 2) for pid in group],
                "rss_mb": [round(resident_bytes(pid) / 1e6, 1) for pid in group],
            }
            for kind, group in pids.items()
        }
    finally:
        fleet.close()


# ---------------------------------------------------------------- the run


def summary(samples: list[float]) -> dict[str, float]:
    """What is told of one side: seconds."""
    ninth = statistics.quantiles(samples, n=10)[-1] if len(samples) > 1 else samples[0]
    figures = {"median": statistics.median(samples), "min": min(samples), "max": max(samples), "p90": ninth}
    return {name: round(value, 4) for name, value in figures.items()}


def fight(kind: type[Duel], rounds: int, scratch: Scratch) -> dict[str, object]:
    """All rounds of one duel, the first to go alternating."""
    duel = kind(scratch)
    samples: dict[str, list[float]] = {"eco": [], "plain": []}
    try:
        for number in range(rounds):
            for side in ("eco", "plain") if number % 2 == 0 else ("plain", "eco"):
                samples[side].append(round(getattr(duel, side)(), 4))
            print(f"  {kind.name} {number + 1}/{rounds}: {samples['eco'][-1]} {samples['plain'][-1]}", file=sys.stderr)
    finally:
        duel.close()
    told = {side: summary(values) for side, values in samples.items()}
    return {"bar": kind.bar, "samples": samples, **told}


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """The figures for people: seconds."""
    lines = [f"{'':14}{'':7}{'median':>9}{'min':>9}{'max':>9}{'p90':>9}   ratio   bar"]
    for name, result in results.items():
        ratio = result["eco"]["median"] / result["plain"]["median"] if result["plain"]["median"] else float("nan")
        for side in ("eco", "plain"):
            figures = "".join(f"{result[side][key]:9.3f}" for key in ("median", "min", "max", "p90"))
            tail = f"   {ratio:5.2f}   {result['bar']}" if side == "eco" else ""
            lines.append(f"{name if side == 'eco' else '':14}{side:7}{figures}{tail}")
    return "\n".join(lines)


def main() -> None:
    """Run what was asked for, and tell it as a table and as JSON."""
    names = [kind.name for kind in DUELS]
    parser = argparse.ArgumentParser(description="eco and plain etcd side by side")
    parser.add_argument("--only", choices=[*names, "idle"])
    parser.add_argument("--n", type=int, default=10, help="rounds of each duel")
    parser.add_argument("--json", type=Path, help="write all samples there")
    asked = parser.parse_args()
    for package in ("eco", "providers", "snapshot"):
        compileall.compile_dir(Path(__file__).parent.parent / package, quiet=1)
    scratch = Scratch()
    try:
        chosen = [kind for kind in DUELS if asked.only in {None, kind.name}]
        results = {kind.name: fight(kind, asked.n, scratch) for kind in chosen}
        cost = idle(scratch) if asked.only in {None, "idle"} else None
    finally:
        scratch.close()
    print(table(results))  # type: ignore[arg-type]
    print(f"idle {json.dumps(cost)}   bar: agent <= 0.5 % CPU, <= 80 MB" if cost else "")
    if asked.json:
        asked.json.write_text(json.dumps({"duels": results, "idle": cost}, indent=1) + "\n")


if __name__ == "__main__":
    main()

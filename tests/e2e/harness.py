"""Real agents on real etcd: nodes that can be killed, paused, wiped and readdressed, and their group.

A `Fleet` is some nodes on loopback addresses of their own, a `Group` (what the provider says, one
file per node so that each may be told something else) and a supervisor that restarts an agent as
systemd would: after a failure, never after it ended well or was stopped on purpose. Everything
that a test does to the fleet goes into its timeline, which is shown when the test fails.

Nothing here asks how the product works inside: it uses the command line, `/status`, the group
file, the data directory's documented names, and etcd.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import yaml

from tests.e2e.gateway import Etcd, Listed, NoAnswerError
from tests.e2e.ledger import Ledger
from tests.e2e.patience import eventually
from tests.e2e.processes import etcd_binary, etcd_of, is_alive, is_stopped, naming, send
from tests.support import Addresses

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

STATUS_PORT = 2378
UNHEALTHY_TTL = 8
"""Seconds after which the fleets' agents call a silent voter unhealthy."""
RESTART_DELAY = 0.1
"""Seconds between a failure and the next start: systemd's default, shorter than what our unit asks for."""
CONFIG_EXIT = 78
"""The configuration is wrong: a supervisor must not try again."""
PANICS = re.compile(
    r"^panic:|^fatal error:|Traceback \(most recent call last\)|was never retrieved"
    r"|was destroyed but it is pending|was never awaited|\"level\":\"(?:panic|fatal|dpanic)\"",
    re.MULTILINE,
)


ETCDS_OWN = re.compile(r"failed to find local ID in cluster members")
"""What etcd 3.6 dies of when it is asked for its status between its removal and its own end."""


class PanicError(AssertionError):
    """A log holds a panic or a traceback that the scenario did not expect."""


class Timeline:
    """What was done to the fleet and when, in seconds since it began."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(f"{time.monotonic() - self.begun:8.2f} {text}")

    def __str__(self) -> str:
        return "\n".join(self.lines)


@dataclass
class Group:
    """What the provider says, published to one file per node.

    `entries` maps a name to its address, in the order of the list. A node that is *stale* keeps the
    file it has; one that was given something broken keeps that until `publish` is called again.
    """

    directory: Path
    timeline: Timeline
    entries: dict[str, str] = field(default_factory=dict)
    desired: int = 0
    readers: list[str] = field(default_factory=list)
    stale: set[str] = field(default_factory=set)

    def file(self, reader: str) -> Path:
        return self.directory / f"{reader}.yaml"

    def publish(self) -> None:
        """Write the truth to every reader that is not stale, each atomically."""
        for reader in self.readers:
            if reader not in self.stale:
                self.tell(reader, self.entries, self.desired)
        self.timeline.note(f"group: desired {self.desired}, {', '.join(self.entries)}; stale {sorted(self.stale)}")

    def tell(self, reader: str, entries: Mapping[str, str], desired: int) -> None:
        """Tell one reader this, whatever the truth is."""
        instances = [{"name": name, "address": address} for name, address in entries.items()]
        self.write(reader, yaml.safe_dump({"desired": desired, "instances": instances}).encode())

    def write(self, reader: str, content: bytes) -> None:
        """Replace one reader's file atomically."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.clear(reader)
        fresh = self.directory / f".{reader}.new"
        fresh.write_bytes(content)
        fresh.replace(self.file(reader))

    def clear(self, reader: str) -> None:
        """Remove what a plain rename could not replace."""
        if self.file(reader).is_dir():
            self.file(reader).rmdir()

    def lose(self, reader: str) -> None:
        """The file is a directory: it can neither be read nor taken for empty."""
        self.file(reader).unlink()
        self.file(reader).mkdir()
        self.timeline.note(f"group: unreadable for {reader}")


@dataclass
class Node:
    """One node: its agent as we started it, and its etcd wherever it came from."""

    name: str
    address: str
    home: Path
    timeline: Timeline
    extra: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    supervised: bool = True
    restart_delay: float = RESTART_DELAY
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _failed_at: float | None = field(default=None, repr=False)
    _heard: int = field(default=0, repr=False)
    _busy: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def config(self) -> Path:
        return self.home / "eco.yaml"

    @property
    def log(self) -> Path:
        return self.home / "agent.log"

    @property
    def etcd(self) -> Etcd:
        return Etcd(self.address)

    # ------------------------------------------------------------ the agent

    def start(self) -> None:
        """Start the agent, unless it runs."""
        with self._busy:
            if self.process is not None and self.process.poll() is None:
                return
            self._failed_at = None
            argv = [sys.executable, "-m", "eco.cli", "run", "--config", str(self.config)]
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    argv,
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    cwd=self.home,
                    env=dict(self.env),
                    start_new_session=True,
                )
        self.timeline.note(f"{self.name}: agent started, pid {self.process.pid}")

    def supervise(self) -> None:
        """Restart the agent if it failed, as systemd's Restart=on-failure would."""
        with self._busy:
            if not self.supervised or self.process is None:
                return
            code = self.process.poll()
            if code is None or code in {0, CONFIG_EXIT}:
                return
            now = time.monotonic()
            if self._failed_at is None:
                self._failed_at = now
                self.timeline.note(f"{self.name}: agent ended with {code}")
            elif now - self._failed_at >= self.restart_delay:
                self.start()

    @property
    def pid(self) -> int | None:
        """The agent's pid, None when it does not run."""
        return self.process.pid if self.process is not None and self.process.poll() is None else None

    def terminate(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask the agent to stop, for good."""
        with self._busy:
            self.supervised = False
            self.timeline.note(f"{self.name}: agent gets {number.name}")
            if self.pid is not None:
                send(self.pid, number)

    def ended(self, within: float) -> int:
        """Wait for the agent's end; its exit code."""
        assert self.process is not None, f"{self.name} was never started"
        process = self.process
        eventually(lambda: process.poll() is not None, within, f"the agent of {self.name} ends", explain=self.tail)
        return int(process.returncode)

    def stop(self, within: float = 40) -> int:
        """Stop the agent, and with it etcd, as `systemctl stop` would; its exit code."""
        self.terminate()
        return self.ended(within)

    def kill_agent(self, *, stay_down: bool = False) -> None:
        """SIGKILL the agent alone; the supervisor restarts it unless it has to stay down."""
        with self._busy:
            self.supervised = self.supervised and not stay_down
            self.timeline.note(f"{self.name}: agent is killed")
            if self.process is not None:
                self.process.kill()
                self.process.wait(10)

    def kill_both(self, *, stay_down: bool = False) -> None:
        """SIGKILL agent and etcd, as a power loss of the node would."""
        with self._busy:
            self.kill_agent(stay_down=stay_down)
            self.kill_etcd()

    def revive(self) -> None:
        """Start it and hand it to the supervisor again; what it says counts from here on."""
        if self.pid is None and self.log.exists():
            self._heard = self.log.stat().st_size
        self.supervised = True
        self.start()

    def pause_agent(self) -> None:
        assert self.pid is not None
        pause(self.pid)
        self.timeline.note(f"{self.name}: agent is paused")

    def resume_agent(self) -> None:
        assert self.pid is not None
        send(self.pid, signal.SIGCONT)
        self.timeline.note(f"{self.name}: agent goes on")

    # ------------------------------------------------------------ its etcd

    def etcd_pid(self) -> int | None:
        return etcd_of(self.data)

    def kill_etcd(self) -> int | None:
        """SIGKILL etcd and wait until it is gone; the pid it had."""
        pid = self.etcd_pid()
        if pid is not None:
            self.timeline.note(f"{self.name}: etcd {pid} is killed")
            send(pid, signal.SIGKILL)
            eventually(lambda: not is_alive(pid), 10, f"etcd {pid} is gone")
        return pid

    def pause_etcd(self) -> int:
        pid = self.etcd_pid()
        assert pid is not None, f"{self.name} runs no etcd"
        pause(pid)
        self.timeline.note(f"{self.name}: etcd {pid} is paused")
        return pid

    def resume_etcd(self, pid: int) -> None:
        send(pid, signal.SIGCONT)
        self.timeline.note(f"{self.name}: etcd {pid} goes on")

    def is_serving(self) -> bool:
        """Whether a linearizable read through this node's etcd succeeds."""
        try:
            self.etcd.get("any")
        except NoAnswerError:
            return False
        return True

    def serves(self, within: float) -> None:
        """Wait until linearizable reads through this node succeed."""
        eventually(self.is_serving, within, f"{self.name} serves", explain=self.tail)

    def shows(self, situation: str, within: float) -> str:
        """Wait until the agent shows this situation; the sentence it gives for it."""
        eventually(lambda: self.situation == situation, within, f"{self.name} shows {situation}", explain=self.tail)
        return self.because

    def says(self, pattern: str, within: float) -> None:
        """Wait until the agent has said something like this to humans."""
        sentence = re.compile(pattern, re.IGNORECASE)
        eventually(lambda: sentence.search(self.said()), within, f"{self.name} says {pattern!r}", explain=self.said)

    def explains(self, pattern: str, within: float) -> None:
        """Wait until the sentence that the agent shows says something like this."""
        sentence = re.compile(pattern, re.IGNORECASE)
        eventually(
            lambda: sentence.search(self.because), within, f"{self.name} explains {pattern!r}", explain=self.said
        )

    # ------------------------------------------------------------ what it shows

    def status(self) -> dict[str, Any]:
        """What `/status` says, empty when nobody answers."""
        with (
            suppress(OSError, http.client.HTTPException, ValueError),
            closing(http.client.HTTPConnection(self.address, STATUS_PORT, timeout=2)) as connection,
        ):
            connection.request("GET", "/status")
            document: dict[str, Any] = json.loads(connection.getresponse().read())
            return document
        return {}

    @property
    def situation(self) -> str:
        return str(self.status().get("situation", ""))

    @property
    def because(self) -> str:
        return str(self.status().get("because", ""))

    def said(self) -> str:
        """All that it has written for humans since it was revived: its log and the sentence it shows."""
        logged = self.log.read_bytes()[self._heard :].decode(errors="replace") if self.log.exists() else ""
        return f"{logged}\n{self.because}"

    def journal(self) -> list[dict[str, Any]]:
        """Its decisions, without a line that a kill or a full disk has torn."""
        file = self.data / "eco" / "journal.jsonl"
        entries: list[dict[str, Any]] = []
        for line in file.read_text().splitlines() if file.exists() else ():
            with suppress(ValueError):
                entries.append(json.loads(line))
        return entries

    def stamp(self) -> dict[str, Any]:
        """`eco/stamp.json`, empty when there is none."""
        file = self.data / "eco" / "stamp.json"
        document: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        return document

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log, etcd's among them."""
        return "\n".join(line[:400] for line in self._lines()[-lines:])

    def told(self, lines: int = 40) -> str:
        """The last lines that the agent itself has logged."""
        return "\n".join([line[:400] for line in self._lines() if '"logger": "eco.' in line][-lines:])

    def _lines(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines() if self.log.exists() else []

    def logs(self) -> list[Path]:
        """Every log that its agent or its etcd may have written."""
        return [*sorted(self.home.glob("*.log")), *sorted(self.home.glob("data/eco/**/*.log"))]

    # ------------------------------------------------------------ its disk

    def wipe(self) -> None:
        """Delete the whole data directory: a new, empty disk."""
        shutil.rmtree(self.data, ignore_errors=True)
        self.timeline.note(f"{self.name}: disk is wiped")

    def wipe_member(self) -> None:
        """Delete etcd's part of the data directory; the stamp survives."""
        shutil.rmtree(self.data / "member")
        self.timeline.note(f"{self.name}: member/ is deleted")


def fingerprint(directory: Path) -> dict[str, str]:
    """The contents of every file below it: relative path to hash."""
    return {
        str(file.relative_to(directory)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(directory.rglob("*"))
        if file.is_file()
    }


def pause(pid: int) -> None:
    """SIGSTOP a process and wait until it stands still."""
    send(pid, signal.SIGSTOP)
    eventually(lambda: is_stopped(pid), 5, f"process {pid} stands still")


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` laid over it, mapping by mapping."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


class Fleet:
    """Nodes that share a group, a store and a supervisor. Use it as a context manager."""

    def __init__(self, directory: Path, names: Iterable[str] = "abc", *, desired: int | None = None) -> None:
        self.directory = directory
        self.store = directory / "store"
        self.store.mkdir(parents=True)
        self.loopback = Addresses()
        self.timeline = Timeline()
        self.group = Group(directory / "groups", self.timeline)
        self.nodes: dict[str, Node] = {}
        self.expected_panics: list[re.Pattern[str]] = [ETCDS_OWN]
        self.ledger = Ledger(directory / "ledger", ())
        self._closing = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        for name in names:
            self.add(name)
        self.group.desired = len(self.nodes) if desired is None else desired
        self.group.publish()
        self._supervisor.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def _supervise(self) -> None:
        while not self._closing.wait(0.05):
            for node in list(self.nodes.values()):
                node.supervise()

    # ------------------------------------------------------------ nodes

    def add(self, name: str, *, listed: bool = True, extra: Mapping[str, Any] | None = None) -> Node:
        """A further node with an empty disk, not started; the group's file is not published yet."""
        node = Node(name, self.fresh_address(), self.directory / name, self.timeline, extra or {}, environment())
        node.home.mkdir()
        self.nodes[name] = node
        self.group.readers.append(name)
        if listed:
            self.group.entries[name] = node.address
        self.ledger.know(node.address)
        self.configure(node)
        return node

    def fresh_address(self) -> str:
        """A loopback address that no node of this fleet has had."""
        return self.loopback.fresh().host

    def configure(self, node: Node) -> None:
        """Write the node's configuration."""
        base = {
            "cluster": "test",
            "check-interval": "1s",
            "unhealthy-member-ttl": f"{UNHEALTHY_TTL}s",
            "etcd": {"data-dir": str(node.data)},
            "asg": {"provider": "static", "name": node.name, "file": str(self.group.file(node.name))},
            "snapshot": {"provider": "file", "dir": str(self.store)},
        }
        node.config.write_text(yaml.safe_dump({"eco": merged(base, node.extra)}))

    def start(self, *names: str) -> None:
        """Start these agents, or all."""
        for node in [self.nodes[name] for name in names] or list(self.nodes.values()):
            node.revive()

    def readdress(self, name: str) -> str:
        """Give a node that is down a new address, as a cloud does at a restart; the address."""
        node = self.nodes[name]
        node.address = self.group.entries[name] = self.fresh_address()
        self.ledger.know(node.address)
        self.group.publish()
        return node.address

    @property
    def addresses(self) -> list[str]:
        return [node.address for node in self.nodes.values()]

    def load(self) -> Ledger:
        """Start the load, and wait until it is heavy enough to mean something."""
        self.ledger.start()
        self.ledger.flowing()
        return self.ledger

    def born(self, within: float = 30) -> Fleet:
        """Start every agent, wait for a healthy cluster, and put it under load."""
        self.start()
        self.healthy(within)
        self.load()
        return self

    # ------------------------------------------------------------ the cluster as etcd shows it

    def members(self) -> list[Listed]:
        """The member list by a linearizable request to whoever answers; empty when nobody does."""
        for node in self.nodes.values():
            with suppress(NoAnswerError):
                return node.etcd.members()
        return []

    def leader(self) -> Node:
        """The node that leads, once a leader is known."""

        def find() -> Node | None:
            for node in self.nodes.values():
                with suppress(NoAnswerError):
                    standing = node.etcd.standing(1)
                    if standing.leader == standing.member_id:
                        return node
            return None

        return eventually(find, 10, "somebody leads", explain=self.picture)

    def followers(self) -> list[Node]:
        """The members that do not lead."""
        leader = self.leader()
        names = {member.name for member in self.members()}
        return [node for name, node in self.nodes.items() if name in names and node is not leader]

    def is_healthy(self, names: Sequence[str]) -> bool:
        """Whether exactly these are voters, follow one leader, and their agents say that they serve."""
        members = self.members()
        if sorted(member.name for member in members) != sorted(names) or any(one.is_learner for one in members):
            return False
        try:
            leaders = {self.nodes[name].etcd.standing(1).leader for name in names}
        except NoAnswerError:
            return False
        return (
            len(leaders) == 1
            and leaders <= {member.id for member in members}
            and all(self.nodes[name].situation == "SERVING" for name in names)
        )

    def healthy(self, within: float, names: Iterable[str] | None = None) -> list[Listed]:
        """Wait until exactly these nodes (or all that are listed) are a healthy cluster; its members."""
        wanted = sorted(self.group.entries if names is None else names)
        eventually(lambda: self.is_healthy(wanted), within, f"{', '.join(wanted)} are healthy", explain=self.picture)
        self.timeline.note(f"healthy: {', '.join(wanted)}")
        return self.members()

    def ids(self) -> dict[str, str]:
        """Member ids by name."""
        return {member.name: member.id for member in self.members()}

    def rosters(self) -> list[dict[str, Any]]:
        """Every roster in the store, in the order of generation and number."""
        files = sorted(self.store.rglob("rosters/*/*.json"))
        return [json.loads(file.read_text()) for file in files if not file.name.endswith(".confirmed.json")]

    def charters(self) -> list[dict[str, Any]]:
        """Every charter in the store, by number."""
        return [json.loads(file.read_text()) for file in sorted(self.store.rglob("charters/*.json"))]

    def lose_store(self) -> None:
        """The store cannot be reached: a file stands where its directory was."""
        self.store.rename(self._store_away)
        self.store.touch()
        self.timeline.note("the store is lost")

    def find_store(self) -> None:
        """The store is back as it was."""
        self.store.unlink()
        self._store_away.rename(self.store)
        self.timeline.note("the store is back")

    @property
    def _store_away(self) -> Path:
        return self.directory / "store-away"

    def picture(self) -> str:
        """One line per node and one for the members: the world for a failing test."""
        lines = [
            f"{node.name} {node.address} agent={node.pid} etcd={node.etcd_pid()}"
            f" {(status := node.status()).get('situation', 'silent')}: {status.get('because', '')}"
            for node in self.nodes.values()
        ]
        members = [f"{one.name or '(unstarted)'}{'/learner' if one.is_learner else ''}" for one in self.members()]
        return "\n".join(["", *lines, f"members: {', '.join(members) or 'no answer'}"])

    # ------------------------------------------------------------ its end

    def close(self) -> None:
        """Kill every process of this fleet, by pid, whatever happened; idempotent."""
        self._closing.set()
        self.ledger.close()
        if self._supervisor.ident is not None:
            self._supervisor.join(10)
        for node in self.nodes.values():
            node.supervised = False
            with suppress(subprocess.TimeoutExpired):
                node.kill_agent()
        for pid in naming(self.directory):
            send(pid, signal.SIGKILL)
        eventually(lambda: not naming(self.directory), 10, "no process is left behind")
        self.loopback.close()

    def forget(self) -> None:
        """Give back the disk space."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def expect_panics(self, pattern: str) -> None:
        """Lines that match are part of this scenario."""
        self.expected_panics.append(re.compile(pattern))

    def check_logs(self) -> None:
        """Raise `PanicError` if a log holds a panic or a traceback that was not expected."""
        for node in self.nodes.values():
            for log in node.logs():
                if log.exists():
                    self._check(log)

    def _check(self, log: Path) -> None:
        for line in log.read_text(errors="replace").splitlines():
            if PANICS.search(line) and not any(pattern.search(line) for pattern in self.expected_panics):
                raise PanicError(f"{log}: {line[:500]}")

    def story(self) -> str:
        """Everything that helps to understand a failure."""
        parts = [f"--- timeline\n{self.timeline}", f"--- now{self.picture()}"]
        for node in self.nodes.values():
            parts.append(f"--- {node.name}: what the agent logged\n{node.told()}")
            parts.append(f"--- {node.name}: the end of its log\n{node.tail(30)}")
            parts.append(f"--- {node.name}: journal\n" + "\n".join(json.dumps(line) for line in node.journal()[-25:]))
        parts += [f"--- charter\n{json.dumps(charter)}" for charter in self.charters()]
        return "\n".join(parts)


def environment() -> dict[str, str]:
    """An agent's environment: etcd in PATH, bytecode kept, nothing else of the test's that could steer it."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ECO_", "ETCD_"))}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**kept, "PATH": f"{etcd_binary().parent}{os.pathsep}{os.environ.get('PATH', '')}"}

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from eco import clock
from eco.core.model import Exit, Running, Stopped
from eco.errors import Unavailable
from eco.etcd.flags import SIGNATURE, EtcdSettings, FirstStart, argv, environment
from eco.etcd.log import LARGEST, Log, trim_log
from eco.etcd.pids import start_time
from eco.etcd.process import EtcdProcess
from tests.support import Address, Addresses, wait_until, wait_until_sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eco.core.model import Process
    from eco.etcd.install import Binaries

ENVIRONMENT = environment(os.environ)


@dataclass
class Node:
    """A place for one etcd, and whatever ran there: all of it is gone after the test."""

    data: Path
    address: Address
    binaries: Binaries
    name: str = "a"
    exits: list[float] = field(default_factory=list)
    children: list[EtcdProcess] = field(default_factory=list)
    pids: set[int] = field(default_factory=set)

    def child(self, *, relay: int | None = None) -> EtcdProcess:
        """An agent's etcd process: what is running is adopted."""
        child = EtcdProcess(self.data, lambda: self.exits.append(clock.now()), relay=relay)
        self.children.append(child)
        if isinstance(seen := child.look(), Running):
            self.pids.add(seen.pid)
        return child

    def settings(self) -> EtcdSettings:
        client, peer = (self.address.client_url,), (self.address.peer_url,)
        return EtcdSettings(self.name, self.data, client, client, peer, peer, (self.address.metrics_url,))

    def argv(self, first: FirstStart | None = None) -> tuple[str, ...]:
        alone = FirstStart(((self.name, self.address.peer_url),), "token", "new")
        return argv(self.binaries, self.settings(), first or alone)

    async def start(self, child: EtcdProcess, first: FirstStart | None = None) -> int:
        await child.start(self.argv(first), ENVIRONMENT)
        pid = running(child).pid
        self.pids.add(pid)
        return pid

    async def serving(self) -> None:
        await wait_until(lambda: asyncio.to_thread(self.is_healthy), 20, f"{self.name} serves")

    def is_healthy(self) -> bool:
        with suppress(OSError), urlopen(f"{self.address.metrics_url}/health", timeout=1) as answer:  # noqa: S310
            return bool(answer.status == 200)
        return False

    async def ctl(self, *words: str) -> str:
        assert self.binaries.etcdctl is not None
        command = [str(self.binaries.etcdctl), "--endpoints", self.address.client_url, *words]
        told = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
        return told.stdout

    def end(self) -> None:
        for child in self.children:
            child.close()
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


@pytest.fixture
def nodes(tmp_path: Path, addresses: Addresses, etcd_binaries: Binaries) -> Iterator[tuple[Node, Node]]:
    places = addresses.several(2)
    both = (
        Node(tmp_path / "a", places[0], etcd_binaries, "a"),
        Node(tmp_path / "b", places[1], etcd_binaries, "b"),
    )
    yield both
    for node in both:
        node.end()


@pytest.fixture
def node(nodes: tuple[Node, Node]) -> Node:
    return nodes[0]


def running(child: EtcdProcess) -> Running:
    seen = child.look()
    assert isinstance(seen, Running), seen
    return seen


def stopped(child: EtcdProcess) -> Stopped:
    seen = child.look()
    assert isinstance(seen, Stopped), seen
    return seen


async def ended(child: EtcdProcess) -> Stopped:
    def over() -> Stopped | None:
        seen: Process = child.look()
        return seen if isinstance(seen, Stopped) else None

    seen = await wait_until(over, 20, "etcd has ended")
    assert seen is not None
    return seen


def is_there(pid: int) -> bool:
    return start_time(pid) is not None


def fails(node: Node, status: int) -> tuple[str, ...]:
    """The command line of an etcd that ends at once."""
    return ("/bin/sh", "-c", f"exit {status}", str(node.data))


# ---------------------------------------------------------------- start, stop, back-off


async def test_etcd_runs_until_it_is_stopped(node: Node) -> None:
    child = node.child()
    assert child.look() == Stopped()
    before = clock.now()

    pid = await node.start(child)
    await node.serving()

    assert before <= running(child).since <= clock.now()
    assert not running(child).adopted
    assert os.getsid(pid) == pid

    await child.stop(10)

    assert stopped(child).exit is Exit.ASKED
    assert not is_there(pid)
    await child.stop(10)


async def test_a_crash_after_serving_wakes_the_agent_and_allows_a_start_at_once(node: Node) -> None:
    child = node.child()
    pid = await node.start(child)
    await node.serving()
    child.served()

    killed = clock.now()
    os.kill(pid, signal.SIGKILL)
    await wait_until(lambda: node.exits, 5, "the exit was noticed")

    assert node.exits[0] - killed < 1
    seen = stopped(child)
    assert (seen.exit, seen.failures, seen.not_before) == (Exit.CRASHED, 0, 0.0)
    assert "SIGKILL" in seen.words

    await node.start(child)
    await node.serving()


async def test_starts_that_fail_before_serving_are_spaced_more_and_more(node: Node) -> None:
    child = node.child()
    pauses = []

    for count in range(1, 8):
        await child.start(fails(node, 3), ENVIRONMENT)
        seen = await ended(child)
        assert (seen.exit, seen.failures) == (Exit.CRASHED, count)
        pauses.append(round(seen.not_before - node.exits[-1]))

    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert "status 3" in stopped(child).words


async def test_a_program_that_cannot_be_run_counts_as_a_failed_start(node: Node) -> None:
    child = node.child()

    with pytest.raises(Unavailable, match="No such file"):
        await child.start((str(node.data / "etcd"), str(node.data)), ENVIRONMENT)

    assert stopped(child).failures == 1
    assert stopped(child).not_before > clock.now()


async def test_a_process_that_is_stopped_by_a_signal_can_still_be_ended(node: Node) -> None:
    child = node.child()
    pid = await node.start(child)
    await node.serving()
    os.kill(pid, signal.SIGSTOP)

    await child.stop(0.2)

    assert stopped(child).exit is Exit.ASKED
    assert not is_there(pid)


async def test_a_second_stop_without_patience_ends_the_wait_of_the_first(node: Node) -> None:
    child = node.child()
    pid = await node.start(child)
    os.kill(pid, signal.SIGSTOP)

    async with asyncio.timeout(10), asyncio.TaskGroup() as both:
        both.create_task(child.stop(60))
        both.create_task(child.stop(0))

    assert stopped(child).exit is Exit.ASKED


# ---------------------------------------------------------------- locks and adoption

AGENT = """
import asyncio, os, sys
from pathlib import Path
{before}
from eco.etcd.pids import start_time
from eco.etcd.process import EtcdProcess

async def main():
    child = EtcdProcess(Path(sys.argv[1]), lambda: print("etcd ended", flush=True))
    await child.start(sys.argv[2:], os.environ)
    print(child.look().pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


class Agent:
    """An agent in a process of its own, which has started etcd."""

    def __init__(self, node: Node, before: str = "") -> None:
        program = [sys.executable, "-c", AGENT.format(before=before), str(node.data), *node.argv()]
        self.process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
        self.etcd = int(self.says())
        node.pids.add(self.etcd)

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()

    def kill(self) -> None:
        """The agent dies, and nobody reads any more what it and its etcd write."""
        self.process.kill()
        self.process.communicate()


async def test_etcd_outlives_its_agent_and_whoever_read_its_output(node: Node) -> None:
    agent = Agent(node)
    await node.serving()

    agent.kill()
    await node.ctl("compaction", "1")  # is logged
    child = node.child()

    assert running(child) == Running(agent.etcd, running(child).since, adopted=True)
    assert running(child).since <= clock.now()
    await node.ctl("put", "key", "value")
    assert node.exits == []


async def test_an_adopted_etcd_is_watched_and_may_start_again_at_once(node: Node) -> None:
    agent = Agent(node)
    agent.kill()
    child = node.child()

    os.kill(agent.etcd, signal.SIGKILL)
    await wait_until(lambda: node.exits, 5, "the exit was noticed")

    assert stopped(child).exit is Exit.CRASHED
    assert stopped(child).not_before == 0
    assert await node.start(child) != agent.etcd
    await node.serving()


async def test_an_adopted_etcd_can_be_stopped(node: Node) -> None:
    agent = Agent(node)
    await node.serving()
    agent.kill()
    child = node.child()

    await child.stop(10)

    assert stopped(child).exit is Exit.ASKED
    await wait_until(lambda: not is_there(agent.etcd), 5, "etcd is gone")


@pytest.mark.skipif(sys.platform != "linux", reason="the process table is searched by /proc")
@pytest.mark.parametrize("left", [None, b"", b"{", b'{"pid": 1, "started": "1", "since": 0, "log": 0}'])
async def test_an_etcd_whose_pid_was_not_written_down_is_found_by_its_lock(node: Node, left: bytes | None) -> None:
    agent = Agent(node)
    agent.kill()
    pid_file = node.data / "eco" / "etcd.pid"
    pid_file.unlink() if left is None else pid_file.write_bytes(left)

    assert running(node.child()).pid == agent.etcd


@pytest.mark.skipif(sys.platform != "linux", reason="the process table is searched by /proc")
async def test_an_etcd_whose_directory_was_wiped_under_it_is_found_by_its_command_line(
    nodes: tuple[Node, Node],
) -> None:
    wiped, other = nodes
    agent, another = Agent(wiped), Agent(other)
    await wiped.serving()
    agent.kill()
    another.kill()
    shutil.rmtree(wiped.data)
    child = wiped.child()

    assert running(child).pid == agent.etcd
    await child.stop(10)
    assert not is_there(agent.etcd)
    assert is_there(another.etcd)


@pytest.mark.skipif(sys.platform != "linux", reason="the process table is searched by /proc")
async def test_a_plain_etcd_is_not_adopted_by_its_command_line(node: Node) -> None:
    words = [word for word in node.argv() if word not in SIGNATURE]
    plain = await asyncio.create_subprocess_exec(*words, stderr=asyncio.subprocess.DEVNULL)
    node.pids.add(plain.pid)
    await node.serving()

    assert node.child().look() == Stopped()
    plain.kill()
    await plain.wait()


async def test_a_pid_that_was_given_to_another_process_is_not_adopted(node: Node) -> None:
    agent = Agent(node)
    agent.kill()
    pid_file = node.data / "eco" / "etcd.pid"
    record = pid_file.read_bytes()
    os.kill(agent.etcd, signal.SIGKILL)
    wait_until_sync(lambda: not is_there(agent.etcd), 5, "etcd is gone")
    pid_file.write_bytes(record.replace(str(agent.etcd).encode(), str(os.getpid()).encode()))

    assert node.child().look() == Stopped()


async def test_an_agent_that_lets_go_of_a_directory_leaves_it_to_the_next(node: Node) -> None:
    first = node.child()
    pid = await node.start(first)

    first.close()

    assert running(node.child()) == Running(pid, running(node.children[-1]).since, adopted=True)


async def test_nothing_is_started_while_a_stranger_holds_the_data(node: Node) -> None:
    child = node.child()
    child.close()
    with (node.data / "eco" / "lock").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        child = node.child()

        with pytest.raises(Unavailable, match="lock is held by a process that is not known"):
            await child.start(node.argv(), ENVIRONMENT)

        assert child.look() == Stopped()
    await node.start(child)


async def test_a_directory_that_was_replaced_is_locked_anew(node: Node) -> None:
    child = node.child()
    shutil.rmtree(node.data)
    (node.data / "eco").mkdir(parents=True)

    await node.start(child)
    child.close()

    with (node.data / "eco" / "lock").open("r+") as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


async def test_a_directory_that_cannot_be_written_is_named(node: Node) -> None:
    node.data.write_text("a file where the directory should be")

    with pytest.raises(Unavailable, match="cannot be opened: Not a directory"):
        node.child()


def test_an_exit_is_noticed_where_the_system_has_no_pidfd(node: Node) -> None:
    agent = Agent(node, before="del os.pidfd_open")

    os.kill(agent.etcd, signal.SIGKILL)

    assert agent.says() == "etcd ended"
    agent.kill()


# ---------------------------------------------------------------- why it ended


async def test_a_busy_port_is_called_one(nodes: tuple[Node, Node]) -> None:
    node, other = nodes
    await node.start(node.child())
    await node.serving()
    other.address = replace(other.address, host=node.address.host)

    child = other.child()
    await other.start(child)
    seen = await ended(child)

    assert seen.exit is Exit.PORT_BUSY
    assert "bind: address already in use" in seen.words


@pytest.mark.parametrize("harm", ["header", "page", "log"])
async def test_damaged_data_is_called_damaged(node: Node, harm: str) -> None:
    child = node.child()
    await node.start(child)
    await node.serving()
    child.served()
    await child.stop(10)
    damage(node.data / "member", harm)

    await node.start(child)
    seen = await ended(child)

    assert seen.exit is Exit.DAMAGED, seen


def damage(member: Path, harm: str) -> None:
    file = next((member / "wal").glob("*.wal")) if harm == "log" else member / "snap" / "db"
    content = bytearray(file.read_bytes())
    match harm:
        case "header":
            content[:8192] = bytes(8192)
        case "page":
            content[8192:] = b"\x5a" * len(content[8192:])
        case _:
            content[120] ^= 1
    file.write_bytes(content)


async def test_flags_that_etcd_refuses_are_shown_in_its_words(node: Node) -> None:
    child = node.child()
    await child.start([*node.argv(), "--heartbeat-interval=1000", "--election-timeout=1000"], ENVIRONMENT)

    seen = await ended(child)

    assert seen.exit is Exit.CRASHED
    assert "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval" in seen.words


async def test_a_removed_member_is_called_removed(nodes: tuple[Node, Node]) -> None:
    node, other = nodes
    await node.start(node.child())
    await node.serving()
    await node.ctl("member", "add", "b", "--learner", f"--peer-urls={other.address.peer_url}")
    members = (("a", node.address.peer_url), ("b", other.address.peer_url))
    child = other.child()
    await other.start(child, FirstStart(members, "token", "existing"))
    learner = await wait_until(lambda: published(node, "b"), 20, "the learner is known by its name")

    await node.ctl("member", "remove", learner)
    seen = await ended(child)

    assert seen.exit is Exit.REMOVED
    assert "removed" in seen.words


async def published(node: Node, name: str) -> str:
    lines = (await node.ctl("member", "list")).splitlines()
    return next((line.split(",")[0] for line in lines if f" {name}," in line), "")


# ---------------------------------------------------------------- the log


async def test_etcds_lines_are_shown_where_the_agent_writes(node: Node, tmp_path: Path) -> None:
    shown = tmp_path / "stderr"
    with shown.open("wb", buffering=0) as out:
        child = node.child(relay=out.fileno())
        await node.start(child)
        await node.serving()
        await child.stop(10)

    lines = shown.read_bytes()
    assert lines
    assert lines == (node.data / "eco" / "etcd.log").read_bytes()


async def test_etcd_does_not_care_whether_its_lines_are_read(node: Node) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    child = node.child(relay=writing)
    await node.start(child)

    await node.serving()
    assert isinstance(child.look(), Running)

    child.close()
    os.close(writing)


async def test_a_log_that_grew_too_large_is_emptied_under_the_running_etcd(node: Node) -> None:
    child = node.child()
    await node.start(child)
    await node.serving()
    log = node.data / "eco" / "etcd.log"
    with log.open("ab") as file:
        file.write(b"x" * LARGEST + b"\n")

    child.look()
    await node.ctl("compaction", "1")
    await wait_until(lambda: b"finished scheduled compaction" in log.read_bytes(), 10, "etcd goes on writing")

    assert log.stat().st_size < LARGEST
    assert log.with_name("etcd.log.1").stat().st_size > LARGEST


def test_a_trimmed_log_keeps_its_copy_and_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "etcd.log"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"before\n")
        trim_log(path)
        writer.write(b"after\n")

    assert path.read_bytes() == b"after\n"
    assert (tmp_path / "etcd.log.1").read_bytes() == b"before\n"


def test_last_words_are_those_of_this_start(tmp_path: Path) -> None:
    path = tmp_path / "etcd.log"
    path.write_bytes(b"an earlier etcd\n")
    log = Log(path, None)
    descriptor = log.open()

    os.write(descriptor, b"this etcd\n")
    os.close(descriptor)

    assert log.last() == b"this etcd\n"


def test_a_log_that_cannot_be_written_does_not_stop_etcd(tmp_path: Path) -> None:
    log = Log(tmp_path / "missing" / "etcd.log", None)

    os.close(log.open())
    log.follow()

    assert log.last() == b""

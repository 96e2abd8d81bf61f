"""`eco dev` for real: a cluster is run, hurt in every way the command line has, and stopped."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

from eco.cli.app import app
from eco.cli.dev.control import Order, Verb, ask
from eco.cli.dev.home import Home
from eco.cli.survey import ask_all, of
from eco.cli.watching import document
from eco.errors import EcoError
from eco.etcd.pids import start_time
from tests.support import wait_until_sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eco.etcd.install import Binaries
    from tests.support import Addresses

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

HEALTHY = 60.0


@dataclass
class DevCluster:
    """One directory, and the commands in it."""

    root: Path
    base: str
    supervisor: subprocess.Popen[bytes] | None = None

    def eco(self, *arguments: str) -> Result:
        """A command in this process: starting one for each takes longer than what it does."""
        return CliRunner().invoke(app, ["dev", "--dir", str(self.root), *arguments])

    def command(self, *arguments: str) -> tuple[str, ...]:
        return (sys.executable, "-P", "-m", "eco.cli", "dev", "--dir", str(self.root), *arguments)

    def do(self, *arguments: str) -> str:
        """A command that has to succeed."""
        ended = self.eco(*arguments)
        assert ended.exit_code == 0, ended.output
        return ended.stdout

    def run(self, *arguments: str) -> str:
        """A command that has to succeed, in a process of its own."""
        ended = subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False, timeout=90)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()

    def start(self, *arguments: str) -> None:
        assert self.supervisor is None or self.supervisor.wait(60) is not None
        with (self.root.parent / "dev.out").open("ab") as out:
            self.supervisor = subprocess.Popen(
                self.command("--base-address", self.base, *arguments), stdout=out, stderr=out
            )

    def said(self) -> str:
        """What the supervisor printed so far."""
        return (self.root.parent / "dev.out").read_text()

    def look(self) -> dict[str, Any]:
        """What `eco dev status --output json` prints, without a process for each look; empty while
        nobody supervises."""
        home = Home(self.root)
        try:
            nodes = ask(home, Order(Verb.STATUS))["nodes"]
        except EcoError:
            return {}
        return {**document(asyncio.run(ask_all(of(home.listing().instances)))), "processes": nodes}

    def healthy(self, nodes: int = 3) -> dict[str, Any]:
        def whole() -> dict[str, Any]:
            seen = self.look()
            return seen if seen.get("healthy") and len(seen["nodes"]) == nodes else {}

        return wait_until_sync(whole, HEALTHY, f"{nodes} nodes serve; see {self.root}")

    def put(self, key: str, value: str) -> None:
        assert self.run("etcdctl", "put", key, value) == "OK"

    def get(self, key: str) -> str:
        return self.run("etcdctl", "get", key, "--print-value-only")

    def close(self) -> None:
        """Leave nothing running, whatever happened."""
        if self.root.exists():
            self.eco("stop")
        if self.supervisor is not None and self.supervisor.poll() is None:
            self.supervisor.send_signal(signal.SIGTERM)
            self.supervisor.wait(60)


def agents(seen: dict[str, Any]) -> dict[str, int]:
    return {each["name"]: each["agent_pid"] for each in seen["processes"]}


def etcds(seen: dict[str, Any]) -> dict[str, int]:
    return {each["name"]: each["status"]["pid"] for each in seen["nodes"]}


def running(pids: list[int]) -> list[int]:
    return [pid for pid in pids if start_time(pid)]


@pytest.fixture(scope="module")
def started(
    tmp_path_factory: pytest.TempPathFactory, address_block: Addresses, etcd_binaries: Binaries
) -> Iterator[DevCluster]:
    os.environ.setdefault("ECO_ETCD_BIN_DIR", str(etcd_binaries.etcd.parent))
    base = address_block.several(10)[0].host
    dev = DevCluster(tmp_path_factory.mktemp("dev") / "cluster", base)
    yield dev
    dev.close()


@pytest.fixture
def dev(started: DevCluster) -> DevCluster:
    """Three healthy nodes, whatever the test before did to them."""
    if not started.look():
        started.start()
    seen = wait_until_sync(started.look, HEALTHY, "the supervisor answers")
    started.healthy(len(seen["nodes"]))
    return started


@pytest.fixture
def foreground(dev: DevCluster) -> subprocess.Popen[bytes]:
    """The supervisor as this process's child, not one in the background."""
    if dev.supervisor is None or dev.supervisor.poll() is not None:
        dev.do("stop")
        dev.start()
        dev.healthy()
    assert dev.supervisor is not None
    return dev.supervisor


def test_the_first_words_say_how_to_use_it(dev: DevCluster) -> None:
    assert "eco dev etcdctl put a b" in dev.said()
    assert f"ETCDCTL_ENDPOINTS=http://{dev.base}:2379," in dev.said()
    wait_until_sync(lambda: "n1: SERVING" in dev.said(), HEALTHY, "the change is printed")


def test_the_status_is_told_to_people_and_programs(dev: DevCluster) -> None:
    assert "3 of 3 nodes serve" in dev.do("status")

    told = json.loads(dev.do("status", "--output", "json"))

    assert told["healthy"]
    assert agents(told) == agents(dev.look())


def test_etcdctl_is_told_where_the_nodes_are(dev: DevCluster) -> None:
    dev.put("a", "b")

    assert dev.get("a") == "b"


def test_a_killed_node_comes_back_with_its_data(dev: DevCluster) -> None:
    dev.put("kept", "yes")
    before = dev.healthy()

    assert "killed the agent and etcd" in dev.do("kill", "n1")

    after = dev.healthy()
    assert agents(after)["n1"] != agents(before)["n1"]
    assert etcds(after)["n1"] != etcds(before)["n1"]
    assert etcds(after)["n2"] == etcds(before)["n2"]
    assert dev.get("kept") == "yes"


def test_without_its_agent_etcd_lives_on(dev: DevCluster) -> None:
    before = dev.healthy()

    dev.do("kill", "n2", "--agent-only")

    after = dev.healthy()
    assert agents(after)["n2"] != agents(before)["n2"]
    assert etcds(after) == etcds(before)


def test_a_killed_etcd_is_the_agents_to_start(dev: DevCluster) -> None:
    before = dev.healthy()

    dev.do("kill", "n2", "--etcd-only")

    wait_until_sync(lambda: etcds(dev.healthy())["n2"] != etcds(before)["n2"], HEALTHY, "n2's etcd runs again")
    assert agents(dev.healthy()) == agents(before)


def test_a_paused_node_answers_nobody_until_it_goes_on(dev: DevCluster) -> None:
    dev.do("pause", "n3")

    assert not dev.look()["healthy"]
    assert [each["name"] for each in dev.look()["processes"] if each["paused"]] == ["n3"]
    dev.put("while", "paused")

    dev.do("unpause", "n3")
    dev.healthy()


def test_a_pause_may_have_an_end(dev: DevCluster) -> None:
    dev.do("pause", "n3", "--for", "1")

    dev.healthy()
    assert not any(each["paused"] for each in dev.look()["processes"])


def test_a_wiped_node_joins_anew(dev: DevCluster) -> None:
    dev.put("survives", "wiping")
    before = {each["name"]: each["status"]["member_id"] for each in dev.healthy()["nodes"]}

    dev.do("wipe", "n3")

    after = {each["name"]: each["status"]["member_id"] for each in dev.healthy()["nodes"]}
    assert after["n3"] != before["n3"]
    assert dev.get("survives") == "wiping"


def test_a_terminated_node_is_gone_and_another_takes_its_place(dev: DevCluster) -> None:
    before = dev.healthy()
    victim = before["nodes"][-1]["name"]
    pids = [agents(before)[victim], etcds(before)[victim]]

    assert "eco dev add" in dev.do("terminate", victim)

    assert not running(pids)
    assert not (dev.root / victim / "data").exists()
    assert victim not in (dev.root / "group.yaml").read_text()

    dev.do("add")
    names = [each["name"] for each in dev.healthy()["nodes"]]
    assert victim not in names
    assert dev.get("a") == "b"


def test_a_second_cluster_in_the_same_directory_is_refused(dev: DevCluster) -> None:
    refused = dev.eco()

    assert refused.exit_code == 1
    assert "already runs" in refused.stderr


@pytest.mark.parametrize("command", ["kill", "pause", "unpause", "wipe", "terminate"])
def test_a_node_that_is_not_there_is_told(dev: DevCluster, command: str) -> None:
    refused = dev.eco(command, "n77")

    assert refused.exit_code == 1
    assert "there is no node n77; there is n1" in refused.stderr


def test_a_dead_supervisors_cluster_is_taken_over(dev: DevCluster, foreground: subprocess.Popen[bytes]) -> None:
    before = dev.healthy()
    foreground.kill()
    foreground.wait()

    said = dev.run("--detach")

    assert "in the background" in said
    after = dev.healthy()
    assert etcds(after) == etcds(before)
    assert not running(list(agents(before).values()))


def test_stopping_leaves_nothing_running_and_the_data_for_the_next_start(dev: DevCluster) -> None:
    dev.put("kept", "over the night")
    before = dev.healthy()

    dev.do("stop")

    assert not running([*agents(before).values(), *etcds(before).values()])
    dev.start()
    dev.healthy()
    assert dev.get("kept") == "over the night"


def test_ctrl_c_stops_everything(dev: DevCluster, foreground: subprocess.Popen[bytes]) -> None:
    before = dev.healthy()

    foreground.send_signal(signal.SIGINT)

    assert foreground.wait(60) == 0
    assert not running([*agents(before).values(), *etcds(before).values()])


def test_a_fresh_cluster_knows_nothing_of_the_old(dev: DevCluster) -> None:
    dev.put("old", "yes")
    dev.do("stop")

    dev.start("--fresh", "--size", "1")

    dev.healthy(1)
    assert dev.get("old") == ""


def test_a_busy_address_is_told_before_anything_starts(dev: DevCluster, tmp_path: Path) -> None:
    other = DevCluster(tmp_path / "other", dev.base)

    refused = other.eco("--base-address", dev.base)

    assert refused.exit_code == 1
    assert "in use" in refused.stderr
    shutil.rmtree(other.root)

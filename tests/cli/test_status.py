from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from eco.cli.survey import Endpoint, endpoints
from eco.status.http import Response
from tests.cli.conftest import FakeAgent, configure, serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Eco
    from tests.support import Addresses


def where(agents: list[FakeAgent]) -> str:
    return ",".join(f"{agent.address.host}:{agent.address.status_port}" for agent in agents)


async def test_a_whole_cluster_is_healthy(eco: Eco, trio: list[FakeAgent]) -> None:
    result = await eco("status", "--endpoints", where(trio))

    assert result.exit_code == 0
    assert "healthy: 3 of 3 nodes serve" in result.stdout
    assert [line.split()[:4] for line in result.stdout.splitlines() if "SERVING" in line] == [
        ["n1", "SERVING", "leader", "42"],
        ["n2", "SERVING", "voter", "42"],
        ["n3", "SERVING", "voter", "42"],
    ]
    assert "n2 serves" in result.stdout


async def test_the_table_fits_80_columns(eco: Eco, trio: list[FakeAgent]) -> None:
    trio[1].document |= {"situation": "WAITING_FOR_QUORUM", "because": "waiting for n1 and n3, " * 20, "serving": False}

    result = await eco("status", "--endpoints", where(trio))

    assert max(len(line) for line in result.stdout.splitlines()) <= 80
    assert "WAITING_FOR_QUORUM" in result.stdout


async def test_without_a_terminal_there_is_no_colour(eco: Eco, trio: list[FakeAgent]) -> None:
    assert "\x1b" not in (await eco("status", "--endpoints", where(trio))).stdout


async def test_the_group_comes_from_the_configuration(eco: Eco, trio: list[FakeAgent], tmp_path: Path) -> None:
    result = await eco("status", "--config", configure(tmp_path, trio))

    assert result.exit_code == 0
    assert "3 of 3 nodes serve" in result.stdout


async def test_a_node_that_does_not_serve_makes_it_unhealthy(eco: Eco, trio: list[FakeAgent]) -> None:
    trio[2].document |= {"situation": "CATCHING_UP", "serving": True, "is_learner": True}

    result = await eco("status", "--endpoints", where(trio))

    assert result.exit_code == 1
    assert "2 of 3 nodes serve" in result.stdout
    assert "learner" in result.stdout


async def test_a_missing_node_makes_it_unhealthy(eco: Eco, trio: list[FakeAgent]) -> None:
    result = await eco("status", "--endpoints", where(trio[:2]))

    assert result.exit_code == 1


async def test_a_silent_node_is_shown_with_the_reason(
    eco: Eco, trio: list[FakeAgent], tmp_path: Path, addresses: Addresses
) -> None:
    silent = FakeAgent("n4", addresses.fresh())

    result = await eco("status", "--config", configure(tmp_path, [*trio, silent]))

    assert result.exit_code == 1
    assert "no answer" in result.stdout


async def test_an_agent_without_a_page_yet_says_so(eco: Eco, trio: list[FakeAgent]) -> None:
    trio[0].answers["/status"] = Response(503, b'{"error": "the first look is not done yet"}')
    trio[1].answers["/status"] = Response(404, b"<html>")

    result = await eco("status", "--endpoints", where(trio))

    assert "the first look is not done yet" in result.stdout
    assert "it answers with HTTP status 404" in result.stdout


async def test_two_clusters_are_called_two_clusters(eco: Eco, trio: list[FakeAgent]) -> None:
    trio[2].document |= {"cluster_id": "c2"}

    result = await eco("status", "--endpoints", where(trio))

    assert result.exit_code == 1
    assert "2 different clusters: c1, c2" in " ".join(result.stdout.split())


async def test_nobody_answers_is_an_exit_code_of_its_own(eco: Eco, addresses: Addresses) -> None:
    result = await eco("status", "--endpoints", f"{addresses.fresh().host}")

    assert result.exit_code == 2
    assert "nobody answers" in result.stdout


async def test_programs_get_the_pages_as_they_came(eco: Eco, trio: list[FakeAgent]) -> None:
    trio[0].document["anything"] = [1]

    document = json.loads((await eco("status", "--endpoints", where(trio), "--output", "json")).stdout)

    assert document["healthy"]
    assert document["nodes"][0]["status"]["anything"] == [1]
    assert [node["name"] for node in document["nodes"]] == ["n1", "n2", "n3"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"name": 1}',
        b'{"state":"OK","revision":1}',
        b'{"version":99}',
        b"[" * 50_000,
        json.dumps(serving("x", "1", revision="high")).encode(),
    ],
)
async def test_nonsense_is_no_answer(eco: Eco, trio: list[FakeAgent], raw: bytes) -> None:
    trio[0].raw = raw

    result = await eco("status", "--endpoints", where(trio))

    assert result.exit_code == 1
    assert "2 of 3 nodes serve" in result.stdout


async def test_an_agent_cannot_play_with_the_terminal(eco: Eco, trio: list[FakeAgent]) -> None:
    evil = "\x1b[2J\u202eboo [red]x[/red]\nline"
    trio[0].document |= {"because": evil, "situation": evil, "name": evil, "etcd": evil, "alarms": [evil]}

    for output in ("text", "json"):
        shown = (await eco("status", "--endpoints", where(trio), "--output", output)).stdout
        assert "\x1b" not in shown
        assert "\u202e" not in shown


async def test_absurd_numbers_are_shown_and_break_nothing(eco: Eco, trio: list[FakeAgent]) -> None:
    trio[0].document |= {"revision": 10**300, "generation": -(10**30), "desired": -5}
    trio[0].document["members"][0] |= {"db_size": 10**18, "applied_index": -(10**18)}

    assert (await eco("status", "--endpoints", where(trio))).exit_code in {0, 1}


@pytest.mark.parametrize("given", ["a:b", ":1", "a:70000", "a:0", "[::1"])
async def test_a_wrong_endpoint_is_a_wrong_command_line(eco: Eco, given: str) -> None:
    result = await eco("status", "--endpoints", given)

    assert result.exit_code == 2
    assert "--endpoints" in result.stderr


def test_endpoints_may_leave_out_the_port() -> None:
    assert endpoints("a, b:1,[::1]:2,::1") == (
        Endpoint("a"),
        Endpoint("b", 1),
        Endpoint("::1", 2),
        Endpoint("::1"),
    )


async def test_a_wrong_configuration_is_told_whole(eco: Eco, tmp_path: Path) -> None:
    (tmp_path / "eco.yaml").write_text("eco:\n  clusster: x\n  check-interval: 30\n")

    result = await eco("status", "--config", tmp_path / "eco.yaml")

    assert result.exit_code == 78
    assert "eco.clusster" in result.stderr
    assert "eco.check-interval" in result.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="needs script(1) of util-linux")
async def test_on_a_terminal_there_is_colour(trio: list[FakeAgent]) -> None:
    import asyncio  # noqa: PLC0415

    command = f"{sys.executable} -P -m eco.cli status --endpoints {where(trio)}"
    process = await asyncio.create_subprocess_exec(
        "script", "-qec", command, "/dev/null", stdout=asyncio.subprocess.PIPE, env={"TERM": "xterm-256color"}
    )
    out, _ = await process.communicate()

    assert b"\x1b[" in out
    assert process.returncode == 0

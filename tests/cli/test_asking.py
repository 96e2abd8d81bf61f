from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from eco.status.http import Response
from tests.cli.conftest import FakeAgent, configure

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Eco
    from tests.support import Addresses


@pytest.fixture
def config(tmp_path: Path, trio: list[FakeAgent]) -> Path:
    """Of n1, whose agent has left its token."""
    token = tmp_path / "data/eco/operator.token"
    token.parent.mkdir(parents=True)
    token.write_text("secret\n")
    return configure(tmp_path, trio)


@pytest.mark.parametrize("action", ["leave", "pause", "resume"])
async def test_this_nodes_agent_is_asked_with_the_token(
    eco: Eco, trio: list[FakeAgent], config: Path, action: str
) -> None:
    trio[0].answers[f"/{action}"] = Response(200, b'{"done": "it will be done"}')

    result = await eco(action, "--config", config)

    assert (result.exit_code, result.stdout) == (0, "it will be done\n")
    (request,) = trio[0].asked
    assert (request.method, request.path) == ("POST", f"/{action}")
    assert request.headers["authorization"] == "Bearer secret"
    assert not trio[1].asked


async def test_programs_get_json(eco: Eco, trio: list[FakeAgent], config: Path) -> None:
    trio[0].answers["/pause"] = Response(200, b'{"done": "paused"}')

    assert json.loads((await eco("pause", "-c", config, "-o", "json")).stdout) == {"done": "paused"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Response(409, b'{"error": "the last voter cannot leave"}'), "the last voter cannot leave"),
        (Response(503, b'{"error": "not yet"}'), "not yet"),
        (Response(401, b'{"error": "this needs the token"}'), "does not know the token"),
        (Response(200, b"<html>"), "an answer that is none"),
        (Response(200, b"[]"), "an answer that is none"),
    ],
)
async def test_a_refusal_is_told(eco: Eco, trio: list[FakeAgent], config: Path, answer: Response, said: str) -> None:
    trio[0].answers["/leave"] = answer

    result = await eco("leave", "--config", config)

    assert result.exit_code == 1
    assert said in result.stderr


async def test_without_a_token_no_agent_has_run(eco: Eco, trio: list[FakeAgent], tmp_path: Path) -> None:
    result = await eco("leave", "--config", configure(tmp_path, trio))

    assert result.exit_code == 1
    assert "no agent runs on this data directory" in result.stderr
    assert not trio[0].asked


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_who_may_not_read_the_token_may_not_ask(eco: Eco, config: Path) -> None:
    (config.parent / "data/eco/operator.token").chmod(0)

    result = await eco("leave", "--config", config)

    assert result.exit_code == 1
    assert "run this as root, or as the agent's user" in result.stderr


async def test_an_agent_that_does_not_run_is_told(eco: Eco, tmp_path: Path, addresses: Addresses) -> None:
    (tmp_path / "data/eco").mkdir(parents=True)
    (tmp_path / "data/eco/operator.token").write_text("secret")

    result = await eco("pause", "--config", configure(tmp_path, [FakeAgent("n1", addresses.fresh())]))

    assert result.exit_code == 1
    assert "is it running?" in result.stderr


async def test_an_agent_that_listens_everywhere_is_called_on_loopback(
    eco: Eco, config: Path, trio: list[FakeAgent], addresses: Addresses
) -> None:
    trio[0].answers["/pause"] = Response(200, b'{"done": "paused"}')
    elsewhere = FakeAgent("n1", addresses.fresh())
    listening = trio[0].address.host

    result = await eco("pause", "-c", configure(config.parent, [elsewhere], **{"listen-address": listening}))

    assert result.exit_code == 0

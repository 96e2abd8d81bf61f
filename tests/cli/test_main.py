"""The command as a process: what it imports, and what it exits with."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.main import get_command

from eco import __version__
from eco.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Eco

MANUAL = Path(__file__).parents[2] / "docs" / "cli.md"
EAGER = {"typer", "rich", "prometheus_client", "aetcd", "eco.cli.app", "eco.cli.dev"}
"""What a start of the agent must not wait for."""


def run(*arguments: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-P", *python, "-m", "eco.cli", *arguments)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("arguments", [("run", "--config"), ("--config",), ("-config",)])
def test_a_wrong_configuration_ends_with_78_and_every_problem(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "eco.yaml").write_text("eco:\n  clusster: x\n  check-interval: 30\n")

    ended = run(*arguments, str(tmp_path / "eco.yaml"))

    assert ended.returncode == 78
    assert ended.stdout == ""
    assert "eco.clusster" in ended.stderr
    assert "eco.check-interval" in ended.stderr


def test_run_imports_neither_the_parser_nor_the_tables(tmp_path: Path) -> None:
    ended = run("run", "--config", str(tmp_path / "none.yaml"), python=("-X", "importtime"))

    imported = set(re.findall(r"^import time:.*\|\s+(\S+)$", ended.stderr, re.MULTILINE))
    assert "eco.config" in imported
    assert not imported & EAGER


def test_a_wrong_option_of_run_is_told_by_the_parser() -> None:
    ended = run("run", "--confg", "x")

    assert ended.returncode == 2
    assert "No such option" in ended.stderr


@pytest.mark.parametrize("arguments", [("run", "--help"), ("-config=x", "--help")])
def test_run_has_help(arguments: tuple[str, ...]) -> None:
    ended = run(*arguments)

    assert ended.returncode == 0
    assert "78" in ended.stdout


async def test_the_version_is_told(eco: Eco) -> None:
    assert (await eco("--version")).stdout == f"eco {__version__}\n"


async def test_an_unknown_log_level_is_a_wrong_command_line(eco: Eco) -> None:
    result = await eco("run", "--log-level", "loud")

    assert result.exit_code == 2
    assert "debug, info, warn, error" in result.stderr


def commands() -> Iterator[str]:
    """Every command as people type it: `eco dev kill`."""
    pending = [("eco", get_command(app))]
    while pending:
        name, command = pending.pop()
        yield name
        pending += [(f"{name} {each}", inner) for each, inner in getattr(command, "commands", {}).items()]


@pytest.mark.parametrize("command", sorted(commands()))
def test_the_manual_knows_every_command(command: str) -> None:
    assert re.search(rf"`{command}\b", MANUAL.read_text())


@pytest.mark.parametrize("command", sorted(commands()))
async def test_every_command_has_help_that_fits_80_columns(eco: Eco, command: str) -> None:
    if command == "eco dev etcdctl":
        return  # its options are etcdctl's
    result = await eco(*command.split()[1:], "--help")

    assert result.exit_code == 0
    assert max(len(line) for line in result.stdout.splitlines()) <= 80
    assert result.stdout.splitlines()[3].strip()

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.cli.conftest import FakeAgent, configure

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Eco
    from tests.support import Addresses

PROMOTED = {
    "version": 1,
    "at": "2026-01-02T03:04:05Z",
    "boot": 12.5,
    "me": "n1",
    "situation": "SERVING",
    "step": "Promote",
    "because": "n3 has caught up with the leader",
    "outcome": "done",
    "refused": ["not while n2 is lost"],
    "alarms": ["the disk is slow"],
    "facts": {"desired": 3},
}


def write(path: Path, *lines: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


async def test_a_decision_is_told_with_its_reason_its_refusals_and_its_alarms(eco: Eco, tmp_path: Path) -> None:
    result = await eco("explain", "--journal", write(tmp_path / "j", PROMOTED))

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "2026-01-02T03:04:05Z  n1  SERVING  Promote  → done",
        "    n3 has caught up with the leader",
        "    refused: not while n2 is lost",
        "    alarm: the disk is slow",
    ]


async def test_the_facts_are_told_on_request(eco: Eco, tmp_path: Path) -> None:
    result = await eco("explain", "--facts", "--journal", write(tmp_path / "j", PROMOTED))

    assert "    desired: 3" in result.stdout.splitlines()


async def test_only_the_last_decisions_are_told(eco: Eco, tmp_path: Path) -> None:
    lines = [{"version": 1, "because": f"reason {n}"} for n in range(30)]

    shown = (await eco("explain", "--last", "2", "--journal", write(tmp_path / "j", *lines))).stdout

    assert [line.strip() for line in shown.splitlines() if line.strip()] == ["reason 28", "reason 29"]


async def test_the_journal_is_found_through_the_configuration(eco: Eco, tmp_path: Path, addresses: Addresses) -> None:
    write(tmp_path / "data/eco/journal.jsonl", PROMOTED)

    result = await eco("explain", "--config", configure(tmp_path, [FakeAgent("n1", addresses.fresh())]))

    assert "n3 has caught up" in result.stdout


async def test_programs_get_every_field(eco: Eco, tmp_path: Path) -> None:
    shown = (await eco("explain", "--output", "json", "--journal", write(tmp_path / "j", PROMOTED))).stdout

    assert json.loads(shown) == [{key: value for key, value in PROMOTED.items() if key != "version"}]


async def test_a_hostile_journal_cannot_play_with_the_terminal(eco: Eco, tmp_path: Path) -> None:
    evil = "\x1b[2J\u202e[red]x[/red]\r\n"
    journal = write(tmp_path / "j", {**PROMOTED, "because": evil, "at": evil, "facts": {evil: evil}, "alarms": [evil]})

    shown = (await eco("explain", "--facts", "--journal", journal)).stdout

    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "[red]x[/red]" in shown


async def test_lines_that_are_no_decisions_are_counted(eco: Eco, tmp_path: Path) -> None:
    result = await eco("explain", "--journal", write(tmp_path / "j", "nonsense", PROMOTED))

    assert result.exit_code == 0
    assert "1 of the lines" in result.stderr


async def test_a_missing_journal_is_a_sentence(eco: Eco, tmp_path: Path) -> None:
    result = await eco("explain", "--journal", tmp_path / "none")

    assert result.exit_code == 1
    assert "has an agent ever run here" in result.stderr

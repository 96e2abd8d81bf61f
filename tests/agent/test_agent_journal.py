from __future__ import annotations

import json
import logging
import resource
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from eco.agent.journal import LIMIT, Journal, as_json
from eco.core.decision import Decision, Memory, Situation
from eco.core.model import Data, Disk, Group, Instance, Observation, RegistryView, Stamp, Stopped
from eco.core.sight import Known, Unknown
from eco.core.steps import Hold, Start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AT = "2000-01-01T00:00:00.000+00:00"
LOOK = Observation(
    now=12.3456,
    me="a",
    cluster="k",
    group=Unknown("no credentials"),
    disk=Known(Disk(Stamp("a", "i", "n"), Data.PRESENT, member_id="1")),
    process=Stopped(),
    registry=Known(RegistryView(greetings={"i": "n"})),
)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def waits(because: str, situation: Situation = Situation.BLIND) -> Decision:
    return Decision(situation, Hold(because), Memory())


STARTS = Decision(Situation.DORMANT, Start("data is here"), Memory(), refused=("no",), alarms=("look",))


def lines(journal: Journal) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal.path.read_bytes().splitlines()]


# ------------------------------------------------------------------ what is written


def test_a_line_says_who_when_what_why_and_what_came_of_it(journal: Journal) -> None:
    journal.write(STARTS, LOOK, AT, "done: etcd is started", facts=False)

    (line,) = lines(journal)
    assert line == {
        "version": 1,
        "at": AT,
        "boot": 12.346,
        "me": "a",
        "situation": "DORMANT",
        "step": "Start",
        "because": "data is here",
        "outcome": "done: etcd is started",
        "refused": ["no"],
        "alarms": ["look"],
        "facts": {},
    }


def test_the_facts_are_the_whole_look_and_unknown_stays_unknown(journal: Journal) -> None:
    journal.write(STARTS, LOOK, AT, "begins", facts=True)

    (line,) = lines(journal)
    assert set(line["facts"]) == set(vars(LOOK))
    assert line["facts"]["group"] == {"unknown": "no credentials"}
    assert line["facts"]["disk"]["known"]["data"] == "present"
    assert line["facts"]["disk"]["known"]["stamp"]["incarnation"] == "i"
    assert line["facts"]["registry"]["known"]["greetings"] == {"i": "n"}


def test_values_of_the_core_become_json(journal: Journal) -> None:
    group = Group((Instance("a", "ä"),), 1)

    assert json.loads(json.dumps(as_json(Known(group))))["known"]["instances"][0]["address"] == "ä"
    assert as_json({1: (Situation.BLIND, None)}) == {"1": ["BLIND", None]}
    journal.write(STARTS, replace(LOOK, me="\udcff"), AT, "\n\0", facts=True)
    assert lines(journal)[0]["outcome"] == "\n\0"


def test_a_wait_is_written_when_its_sentence_changes(journal: Journal) -> None:
    for because in ("awaiting b", "awaiting b", "awaiting c", "awaiting b"):
        journal.waited(waits(because), LOOK, AT)
    journal.waited(waits("awaiting b", Situation.NEWBORN), LOOK, AT)

    assert [line["because"] for line in lines(journal)] == ["awaiting b", "awaiting c", "awaiting b", "awaiting b"]
    assert {line["outcome"] for line in lines(journal)} == {"waits"}


def test_a_wait_whose_seconds_go_by_is_the_same_wait(journal: Journal) -> None:
    for seconds in range(100):
        journal.waited(waits(f"next try in {seconds} s"), LOOK, AT)

    assert len(lines(journal)) == 1


# ------------------------------------------------------------------ the file


def test_only_its_owner_may_read_it(journal: Journal) -> None:
    journal.write(STARTS, LOOK, AT, "begins", facts=True)

    assert journal.path.stat().st_mode & 0o777 == 0o600


def test_a_full_file_makes_room_and_is_kept_once(journal: Journal) -> None:
    journal.path.write_bytes(b"x" * (LIMIT + 1))

    journal.write(STARTS, LOOK, AT, "begins", facts=False)
    journal.write(STARTS, LOOK, AT, "done", facts=False)

    assert [line["outcome"] for line in lines(journal)] == ["begins", "done"]
    assert journal.path.with_name("journal.jsonl.1").stat().st_size == LIMIT + 1


def test_what_another_agent_wrote_is_added_to(journal: Journal) -> None:
    journal.write(STARTS, LOOK, AT, "begins", facts=False)
    Journal(journal.path).write(STARTS, LOOK, AT, "done", facts=False)

    assert [line["outcome"] for line in lines(journal)] == ["begins", "done"]


def test_a_line_that_was_torn_does_not_take_the_next_one_with_it(journal: Journal) -> None:
    journal.write(STARTS, LOOK, AT, "begins", facts=True)
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[: len(whole) // 2])

    journal.write(STARTS, LOOK, AT, "begins again", facts=False)
    journal.write(STARTS, LOOK, AT, "done", facts=False)

    torn, *kept = journal.path.read_bytes().splitlines()
    assert torn == whole[: len(whole) // 2]
    assert [json.loads(line)["outcome"] for line in kept] == ["begins again", "done"]


def test_a_line_that_the_disk_takes_only_half_of_is_told(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    journal.write(STARTS, LOOK, AT, "begins", facts=False)
    room = journal.path.stat().st_size + 10

    with files_no_larger_than(room):
        journal.write(STARTS, LOOK, AT, "lost", facts=False)
    journal.write(STARTS, LOOK, AT, "done", facts=False)

    assert len(caplog.records) == 1
    assert [line.endswith(b"}") for line in journal.path.read_bytes().splitlines()] == [True, False, True]


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """The kernel cuts a write at the limit, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_journal_that_cannot_be_written_stops_nothing_and_is_told_once(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    journal.path.mkdir()  # root may write anywhere, but not into a directory

    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            journal.write(STARTS, LOOK, AT, "begins", facts=True)

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "journal" in caplog.text
    assert journal.trouble


def test_a_journal_that_can_be_written_again_may_be_told_of_again(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    journal.path.mkdir()
    journal.write(STARTS, LOOK, AT, "lost", facts=False)
    journal.path.rmdir()
    journal.write(STARTS, LOOK, AT, "kept", facts=False)
    assert journal.trouble == ""
    journal.path.unlink()
    journal.path.mkdir()
    journal.write(STARTS, LOOK, AT, "lost", facts=False)

    assert len(caplog.records) == 2

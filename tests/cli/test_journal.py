from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eco.cli import journal

if TYPE_CHECKING:
    from pathlib import Path


def line(number: int) -> bytes:
    document = {"version": 1, "at": f"t{number}", "because": f"reason {number}", "step": "Hold", "facts": {"n": number}}
    return json.dumps(document).encode() + b"\n"


def becauses(page: journal.Page) -> list[str]:
    return [entry.because for entry in page.entries]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_the_last_entries_come_in_the_order_they_happened(path: Path) -> None:
    path.write_bytes(b"".join(line(n) for n in range(5)))

    assert becauses(journal.last(path, 2)) == ["reason 3", "reason 4"]


def test_a_long_journal_is_read_from_its_end(path: Path) -> None:
    path.write_bytes(b"".join(line(n) for n in range(20_000)))

    assert becauses(journal.last(path, 3)) == ["reason 19997", "reason 19998", "reason 19999"]


def test_a_rotated_journal_goes_on_in_its_predecessor(path: Path) -> None:
    path.with_name("journal.jsonl.1").write_bytes(line(1) + line(2))
    path.write_bytes(line(3))

    assert becauses(journal.last(path, 2)) == ["reason 2", "reason 3"]


def test_a_torn_last_line_costs_itself_alone(path: Path) -> None:
    path.write_bytes(line(1) + line(2)[:20])

    page = journal.last(path, 5)

    assert (becauses(page), page.skipped) == (["reason 1"], 0)


def test_a_complete_last_line_without_a_newline_counts(path: Path) -> None:
    path.write_bytes(line(1) + line(2).rstrip())

    assert becauses(journal.last(path, 5)) == ["reason 1", "reason 2"]


def test_a_line_that_is_no_decision_is_counted_and_hides_no_other(path: Path) -> None:
    path.write_bytes(line(1) + b"[1]\n" + b'{"version":99}\n' + line(2))

    page = journal.last(path, 10)

    assert (becauses(page), page.skipped) == (["reason 1", "reason 2"], 2)


def test_a_missing_journal_is_an_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        journal.last(path, 1)


def test_fields_of_another_kind_become_text() -> None:
    entry = journal.parse(
        b'{"version":1,"because":[1],"outcome":null,"refused":["a",2],"alarms":"x","facts":[],"boot":"z"}'
    )

    assert entry == journal.Entry(because="[1]", refused=("a", "2"))


@given(
    st.binary()
    | st.text().map(str.encode)
    | st.dictionaries(st.text(), st.text()).map(lambda d: json.dumps(d).encode())
)
def test_no_line_breaks_the_reader(raw: bytes) -> None:
    journal.parse(raw)


def test_a_deeply_nested_line_is_no_decision() -> None:
    assert journal.parse(b"[" * 100_000) is None

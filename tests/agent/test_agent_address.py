from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eco.agent.address import note, recall
from eco.core.model import Instance, Presence

if TYPE_CHECKING:
    from pathlib import Path

GROUP = (
    Instance("a", "10.0.0.1"),
    Instance("b", "fd00::2", client_port=1, peer_port=2, status_port=3, presence=Presence.LEAVING),
)
RIGHT = {"version": 1, "instances": [{"name": "a", "address": "10.0.0.1"}]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "group.json"


def test_what_was_noted_is_recalled(path: Path) -> None:
    note(path, GROUP)
    note(path, GROUP[:1])
    note(path, GROUP)

    assert recall(path) == GROUP
    assert [file.name for file in path.parent.iterdir()] == ["group.json"]


def test_who_has_no_memory_says_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert recall(path) == ()
    assert caplog.records == []


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        json.dumps({**RIGHT, "version": 2}).encode(),
        json.dumps({"instances": {}}).encode(),
        json.dumps({"instances": [{"name": "a"}]}).encode(),
        json.dumps({"instances": [{"name": 1, "address": "10.0.0.1"}]}).encode(),
        json.dumps({"instances": [{"name": "a", "address": "10.0.0.1", "peer_port": "2380"}]}).encode(),
        json.dumps({"instances": [{"name": "a", "address": "10.0.0.1", "presence": "absent"}]}).encode(),
    ],
)
def test_hostile_content_is_not_used_and_said(raw: bytes, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(raw)

    assert recall(path) == ()

    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "group.json" in caplog.text


@given(
    raw=st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(repr).map(str.encode)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
def test_no_content_makes_it_fail(raw: bytes, path: Path) -> None:
    path.write_bytes(raw)

    assert recall(path) == ()


def test_a_newer_agents_further_fields_are_passed_over(path: Path) -> None:
    path.write_text(json.dumps({**RIGHT, "colour": "blue"}))

    assert recall(path) == GROUP[:1]


def test_a_memory_that_is_no_file_is_said(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.mkdir()

    assert recall(path) == ()
    note(path, GROUP)

    assert len(caplog.records) == 2


def test_where_nothing_can_be_noted_the_old_memory_stays(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    note(path, GROUP)
    path.with_suffix(".tmp").mkdir()

    note(path, GROUP[:1])

    assert recall(path) == GROUP
    assert "could not be remembered" in caplog.text

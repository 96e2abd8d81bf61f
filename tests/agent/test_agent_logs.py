from __future__ import annotations

import json
import logging
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from eco.agent.logs import set_up

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("eco.agent.tested")


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Logging belongs to the process: the test runner wants its own back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []  # or they would be closed
    yield
    root.handlers, root.level = handlers, level


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert out == ""
    return str(err).splitlines()


def parsed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (line,) = said(capsys)
    return dict(json.loads(line))


def test_json_is_one_object_a_line_with_time_level_logger_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("json", "info")

    log.warning("%s is\n%d", "ä", 3)

    line = parsed(capsys)
    assert (line["level"], line["logger"], line["msg"]) == ("warning", "eco.agent.tested", "ä is\n3")
    assert datetime.fromisoformat(line["ts"]).utcoffset() is not None
    assert re.search(r"\.\d{3}\+00:00$", line["ts"])
    assert set(line) == {"ts", "level", "logger", "msg"}


def test_json_carries_the_documented_event_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("json", "info")

    log.info("it is so", extra={"event": "decision", "situation": "SERVING", "token": "secret"})

    line = parsed(capsys)
    assert (line["event"], line["situation"]) == ("decision", "SERVING")
    assert "secret" not in str(line)


def test_json_keeps_a_traceback_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("json", "info")

    try:
        json.loads("{")
    except ValueError:
        log.exception("it failed")

    assert "JSONDecodeError: Expecting" in parsed(capsys)["traceback"]


def test_text_is_time_level_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("text", "info")

    log.info("etcd is started", extra={"event": "step"})

    (line,) = said(capsys)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO    etcd is started", line)


def test_auto_is_json_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("auto", "info")

    log.info("etcd is started")

    assert parsed(capsys)["msg"] == "etcd is started"


@pytest.mark.parametrize(
    ("level", "heard"),
    [("debug", ["debug", "info", "warning", "error"]), ("warn", ["warning", "error"]), ("error", ["error"])],
)
def test_what_is_less_important_than_the_level_is_not_said(
    level: str, heard: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    set_up("json", level)

    for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        log.log(number, "x")

    assert [json.loads(line)["level"] for line in said(capsys)] == heard


def test_setting_up_twice_says_everything_once(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("json", "info")
    set_up("text", "info")

    log.info("once")

    assert len(said(capsys)) == 1

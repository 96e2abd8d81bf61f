"""`config.example.yaml` is the manual: it names every key, and shows every default as it is."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eco.config import tree
from eco.config.model import Eco, Whole
from eco.config.reading import Reader, keys

if TYPE_CHECKING:
    from tests.config.conftest import Desk

MANUAL = (Path(__file__).parents[2] / "config.example.yaml").read_text()
UNSET = re.compile(r"^( *)#(?=\S)", re.MULTILINE)
"""What marks a key that is not set: a # with no blank after it."""

OPTIONAL = [line for line in MANUAL.splitlines() if UNSET.match(line)]


def read(text: str) -> tuple[Eco, set[str]]:
    """The text as it is read, and the keys that stand in it."""
    document = tree.parse(text, "config.example.yaml")
    reader = Reader(Whole, {})
    eco = reader.read(Whole, document.root, "").eco
    assert reader.problems == []
    return eco, set(document.lines)


def test_the_manual_is_a_right_configuration(desk: Desk) -> None:
    assert desk.load(MANUAL).provider.me == "a"


def test_every_key_there_is_stands_in_the_manual() -> None:
    _, written = read(UNSET.sub(r"\1", MANUAL))
    known = {path for path, _ in keys(Whole, "")}
    also = {"eco.etcd.peer-transport-security.peer-client-cert-auth"}

    assert known - written == {"eco.etcd.peer-transport-security.client-cert-auth"}, "it stands there by its other name"
    assert also <= written


@pytest.mark.parametrize("line", OPTIONAL)
def test_a_key_that_is_not_set_shows_its_default(desk: Desk, line: str) -> None:
    if line.lstrip().startswith(("#desired", "#medium")):
        assert desk.load(MANUAL.replace(line, UNSET.sub(r"\1", line)))
        return
    as_it_is, _ = read(MANUAL)

    as_shown, _ = read(MANUAL.replace(line, UNSET.sub(r"\1", line)))

    assert as_shown == as_it_is


def test_the_whole_manual_with_every_key_set_changes_nothing(desk: Desk) -> None:
    as_it_is, as_shown = desk.load(MANUAL), desk.load(UNSET.sub(r"\1", MANUAL))

    assert replace(as_shown, provider=as_it_is.provider, store=as_it_is.store) == as_it_is


def test_the_manual_fits_a_terminal() -> None:
    assert max(map(len, MANUAL.splitlines())) <= 105

"""What the documents point at is there: files, headings, tests, commands and their options."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command

from eco.cli.app import app
from eco.cli.argv import normalise

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
GUARANTEES = ROOT / "docs" / "guarantees.md"
EXAMPLE = ROOT / "config.example.yaml"
DOCUMENTS = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))

LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
PATH = re.compile(r"\b(?:docs|packaging|bench|tests|eco|providers|snapshot)/[\w./-]*\w(?:\.md|\.py|\.service)\b")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
FENCE = re.compile(r"^ *```\w*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^    \S.*\n)+", re.MULTILINE)
SHORT = frozenset({"-h", "-c", "-n", "-o", "-w", "-d"})
INLINE = re.compile(r"`(eco [^`]*)`")
OF_THE_EXAMPLE = re.compile(r"#\s+(eco [a-z].*?)(?:\s{2,}.*)?$|`(eco [^`]*)`", re.MULTILINE)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def headings(document: Path) -> frozenset[str]:
    """The anchors of a document, as GitHub derives them."""
    lines = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-") for line in lines)


@cache
def functions_of(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    return frozenset(n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    links = [link for link in LINK.findall(document.read_text()) if "://" not in link]

    broken = []
    for link in links:
        path, _, heading = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (heading and heading not in headings(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("document", [*DOCUMENTS, EXAMPLE], ids=named)
def test_every_file_of_ours_that_is_named_exists(document: Path) -> None:
    text = LINK.sub("", document.read_text())
    assert [path for path in PATH.findall(text) if not (ROOT / path).exists()] == []


def test_every_test_that_shows_a_guarantee_exists() -> None:
    cited = TEST.findall(GUARANTEES.read_text())

    assert len(cited) > len(headings(GUARANTEES))
    assert [f"{path}::{test}" for path, test in cited if test not in functions_of(ROOT / path)] == []


def test_every_promise_has_a_test() -> None:
    promises, _, _ = GUARANTEES.read_text().partition("## Not promised")
    bare = [part.partition("\n")[0] for part in promises.split("\n### ")[1:] if not TEST.search(part)]
    assert bare == []


DESIGN = ROOT / "docs" / "design.md"
"""Speaks of commands that are still to come."""


@pytest.mark.parametrize("document", [*(d for d in DOCUMENTS if d != DESIGN), EXAMPLE], ids=named)
def test_every_command_is_one_that_eco_knows(document: Path) -> None:
    commands = list(commands_of(document))
    assert [(line, wrong) for line in commands if (wrong := mistake(line))] == []


def commands_of(document: Path) -> Iterator[str]:
    """The lines that begin with `eco`, in code blocks and in backquotes."""
    text = document.read_text()
    if document == EXAMPLE:
        yield from (block or inline for block, inline in OF_THE_EXAMPLE.findall(text))
        return
    prose = FENCE.sub("", text)
    for block in [*FENCE.findall(text), *INDENTED.findall(prose)]:
        yield from (line.strip() for line in block.splitlines() if re.match(r" *eco [a-z-]", line))
    yield from INLINE.findall(prose)


def mistake(line: str) -> str:
    """The first word of a command line that eco would not understand; "" for a right one."""
    synopsis = re.sub(r"[\[\]…]", " ", line)  # what is optional has to be right, too
    words = iter(normalise(shlex.split(synopsis, comments=True)[1:]))
    command = whole()
    for word in words:
        inner = getattr(command, "commands", {})
        if word.startswith("--") or word in SHORT:
            option = options(command).get(word.partition("=")[0])
            if option is None:
                return word
            if not option.is_flag and "=" not in word:
                next(words, "")
        elif inner:
            unknown = [each for each in word.split("|") if each not in inner]
            if unknown:
                return unknown[0]
            command = inner[word.split("|")[0]]
        elif command.name == "etcdctl":
            return ""  # the rest is etcdctl's
    return ""


@cache
def whole() -> Any:
    """The parser; its type is a part of typer that is not public."""
    return get_command(app)


def options(command: Any) -> dict[str, Any]:
    context = command.make_context(command.name, [], resilient_parsing=True)
    return {name: parameter for parameter in command.get_params(context) for name in parameter.opts}

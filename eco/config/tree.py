"""YAML text as a tree of plain values, read strictly.

The file is untrusted until it is read, and YAML is wide. So the text is read event by event into
mappings, lists, strings, whole numbers, booleans and nulls, and nothing else exists: no anchors and
aliases (nor the bombs made of them), no tags, no second document, no key that is not text, no depth
or number of values beyond what a configuration needs. A key given twice is a problem, not a choice.

Plain words mean what YAML 1.2 says, not 1.1: `yes`, `off`, `0755`, `12:30`, `1_000` and `1e3` are
texts here, and the reader of each key says what it wanted instead. A word that means a number in
one YAML reader and a text in the next never becomes a value in silence.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import yaml

from eco.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

Plain: TypeAlias = "bool | int | str | list[Plain] | dict[str, Plain] | None"
"""A value as written."""

DEEPEST = 20
"""Levels of nesting. Also what keeps libyaml, which is quadratic in them, fast on any text."""

MOST = 10_000
"""Values in one document."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = r"-?(?:0|[1-9][0-9]{0,17})"
_WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_PLAIN_KEY = r"[A-Za-z0-9_.-]{1,64}"


@dataclass(frozen=True)
class Document:
    """The tree, the line (from 1) on which each path stands, and the keys that were given twice."""

    root: Plain
    lines: Mapping[str, int]
    problems: tuple[Problem, ...]

    def line(self, path: str) -> int:
        """The line of `path`, or of the nearest thing above it that is written."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path, 0)


def parse(text: str, name: str) -> Document:
    """Read one document. `name` is the file's, for problems that have a line but no path.

    Raises `ConfigError` with the one problem that makes the rest unreadable.
    """
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except _Unreadable as fault:
        raise ConfigError((Problem(f"{name}:{fault.line}", "", fault.hint),)) from None
    except yaml.YAMLError as fault:
        raise ConfigError((_syntax(text, name, fault),)) from fault
    return Document(builder.root, builder.lines, tuple(builder.problems))


def below(path: str, key: str) -> str:
    """The path of `key` in the mapping at `path`; an odd key is quoted, so that it cannot pose as a path."""
    shown = key if re.fullmatch(_PLAIN_KEY, key) else json.dumps(key[:64])
    return f"{path}.{shown}" if path else shown


def whole(value: Plain) -> str:
    """A scalar as a program would get it: `shown` shortens and quotes, for people."""
    return value if isinstance(value, str) else shown(value)


def shown(value: Plain) -> str:
    """A value for a problem's sight: short, on one line, and no more of a mapping or list than its kind,
    which may hold secrets."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case int():
            return str(value)
        case str():
            return value if value.isprintable() and value.strip() and len(value) <= 80 else json.dumps(value[:80])  # noqa: PLR2004 — a line


class _Unreadable(Exception):
    def __init__(self, line: int, hint: str) -> None:
        self.line = line
        self.hint = hint


@dataclass
class _Frame:
    """A mapping or list that is being filled. `key` waits for its value; `dropped` was given twice."""

    container: list[Plain] | dict[str, Plain]
    path: str
    key: str | None = None
    dropped: bool = False


@dataclass
class _Builder:
    """Builds the tree from libyaml's events without recursion, so that no text can exhaust the stack."""

    root: Plain = None
    lines: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    _stack: list[_Frame] = field(default_factory=list)
    _count: int = 0
    _documents: int = 0

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 0
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise _Unreadable(line, "a second document begins here; keep one, without ---")
            case yaml.AliasEvent():
                raise _Unreadable(line, f"*{event.anchor} is an alias; write the value out")
            case yaml.ScalarEvent():
                self._check(event, line)
                self._scalar(event, line)
            case yaml.MappingStartEvent():
                self._check(event, line)
                self._open({}, line)
            case yaml.SequenceStartEvent():
                self._check(event, line)
                self._open([], line)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._stack.pop()
            case _:
                pass

    def _check(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, line: int) -> None:
        self._count += 1
        if event.tag is not None:
            raise _Unreadable(line, f"{event.tag} is a tag; write the plain value")
        if self._count > MOST:
            raise _Unreadable(line, f"more than {MOST} values: this is no configuration")

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        frame = self._stack[-1] if self._stack else None
        if frame is not None and isinstance(frame.container, dict) and frame.key is None:
            self._name(frame, frame.container, event.value, line)
        else:
            self._place(event.value if event.style else _plain(event.value), line)

    def _name(self, frame: _Frame, mapping: dict[str, Plain], key: str, line: int) -> None:
        path = below(frame.path, key)
        frame.key = key
        frame.dropped = key in mapping
        if frame.dropped:
            lines = f"lines {self.lines[path]} and {line}"
            self.problems.append(Problem(path, "", f"is given twice, in {lines}; keep one"))
        else:
            self.lines[path] = line

    def _open(self, container: list[Plain] | dict[str, Plain], line: int) -> None:
        if len(self._stack) == DEEPEST:
            raise _Unreadable(line, f"nested more than {DEEPEST} deep: this is no configuration")
        self._stack.append(_Frame(container, self._place(container, line)))

    def _place(self, value: Plain, line: int) -> str:
        """Put a value where it belongs, and give its path."""
        if not self._stack:
            self.root = value
            return ""
        frame = self._stack[-1]
        if isinstance(frame.container, list):
            path = f"{frame.path}[{len(frame.container)}]"
            self.lines.setdefault(path, line)
            frame.container.append(value)
            return path
        if frame.key is None:
            raise _Unreadable(line, "a key must be plain text; did a {{…}} template stay unfilled?")
        key, frame.key = frame.key, None
        if not frame.dropped:
            frame.container[key] = value
        return below(frame.path, key)


def _plain(text: str) -> Plain:
    if text in _WORDS:
        return _WORDS[text]
    return int(text) if re.fullmatch(_INTEGER, text) else text


_CURES = {
    "tab": "indent with spaces, never with tabs",
    "cannot start any token": "indent with spaces, and put a value that begins with @ or ` in quotes",
    "mapping values are not allowed": "put a value that contains a colon and a blank in quotes",
    "unexpected end of stream": "close the quotes",
    "expected <block end>": "indent the keys of one mapping equally",
    "did not find expected key": "indent the keys of one mapping equally",
    "flow node": "close every [ and {",
    "directive": "put a value that begins with % in quotes",
}


def _syntax(text: str, name: str, fault: yaml.YAMLError) -> Problem:
    if isinstance(fault, yaml.reader.ReaderError):
        line = text.count("\n", 0, fault.position) + 1
        return Problem(f"{name}:{line}", "", "a control character stands here, which YAML forbids; remove it")
    mark = getattr(fault, "problem_mark", None)
    where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
    said = ": ".join(part for part in (getattr(fault, "context", None), getattr(fault, "problem", None)) if part)
    cure = next((f"; {cure}" for words, cure in _CURES.items() if words in said), "")
    return Problem(where, "", f"is not YAML: {said or 'it cannot be read'}{cure}")

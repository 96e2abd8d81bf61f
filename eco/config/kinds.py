"""What a value may be: each kind reads a plain value, or says in one sentence what to write instead.

A kind is also the only place that knows how its values look in the file: it shows a default as an
operator would write it, and describes itself in JSON schema for editors. Nothing here looks at the
disk or at another key. Kinds are plain classes and patterns plain texts, compiled by first use: a
dataclass takes a millisecond to make, and etcd waits for all of this.
"""

from __future__ import annotations

import json
import re
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from eco.config import etcd_flags
from eco.config.tree import Plain, below, shown
from eco.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")


class Wrong(Exception):
    """A value that its kind does not accept, as the problems to report."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems


class Kind(Generic[T]):
    """What a key's value may be."""

    def read(self, value: Plain, at: str) -> T:
        """The value at path `at`, typed. Never called with null. Raises `Wrong`."""
        raise NotImplementedError

    def write(self, value: T) -> Plain:
        """A typed value as it would stand in the file."""
        return cast("Plain", value)

    def schema(self) -> dict[str, object]:
        """Itself in JSON schema."""
        raise NotImplementedError


def wrong(value: Plain, at: str, hint: str) -> Wrong:
    """A value that is not accepted, for one reason."""
    return Wrong(Problem(at, shown(value), hint))


# ---------------------------------------------------------------- words

CLUSTER = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
"""Of a cluster's name: it is part of every key in the store, and fit to be a label of DNS."""

_YES, _NO = {"yes", "on", "y", "true", "1", "t"}, {"no", "off", "n", "false", "0", "f"}


class Flag(Kind[bool]):
    """True or false."""

    def read(self, value: Plain, at: str) -> bool:
        """Exactly `true` or `false`: YAML readers disagree about `yes` and `on`."""
        if isinstance(value, bool):
            return value
        word = str(value).lower() if isinstance(value, int | str) else ""
        cure = "true" if word in _YES else "false" if word in _NO else "true or false"
        raise wrong(value, at, f"is not a truth value; write {cure}, without quotes")

    def schema(self) -> dict[str, object]:
        """A boolean."""
        return {"type": "boolean"}


class Word(Kind[str]):
    """One of a few words."""

    def __init__(self, *choices: str) -> None:
        self._choices = choices

    def read(self, value: Plain, at: str) -> str:
        """The word itself."""
        if isinstance(value, str) and value in self._choices:
            return value
        raise wrong(value, at, f"write one of {', '.join(self._choices)}")

    def schema(self) -> dict[str, object]:
        """An enumeration."""
        return {"enum": list(self._choices)}


def _text(value: Plain, at: str) -> str:
    """A value as the text that was meant: a whole number counts, for it can be written in one way only."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        quoted = json.dumps(shown(value)) if isinstance(value, bool) else "one text"
        raise wrong(value, at, f"is not a text; write {quoted}")
    text = str(value)
    if not text.isprintable():
        raise wrong(value, at, "holds a character that cannot be printed; remove it")
    return text


class Text(Kind[str]):
    """A text of some form. `hint` says which; where `optional`, the empty one means none."""

    def __init__(self, pattern: str, hint: str, *, optional: bool = True) -> None:
        self._pattern = f"(?:{pattern})?" if optional else pattern
        self._hint = hint

    def read(self, value: Plain, at: str) -> str:
        """The text itself."""
        text = _text(value, at)
        if not re.fullmatch(self._pattern, text):
            raise wrong(value, at, self._hint)
        return text

    def schema(self) -> dict[str, object]:
        """A text of that form."""
        return {"type": "string", "pattern": f"^{self._pattern}$"}


class Host(Kind[str]):
    """A host name or IP address alone; the empty one means none."""

    def read(self, value: Plain, at: str) -> str:
        """The bare host, an IPv6 address without brackets."""
        text = _text(value, at)
        if text and not is_host(text):
            raise wrong(value, at, "write a host name or an IP address alone, without scheme, brackets or port")
        return text

    def schema(self) -> dict[str, object]:
        """A text."""
        return {"type": "string"}


class Address(Kind[str]):
    """An IP address to listen on; the empty one means none."""

    def read(self, value: Plain, at: str) -> str:
        """The address: etcd binds to nothing else."""
        text = _text(value, at)
        if text and not is_ip(text):
            raise wrong(value, at, "write an IP address alone, such as 10.0.0.1, or 0.0.0.0 for all of them")
        return text

    def schema(self) -> dict[str, object]:
        """A text."""
        return {"type": "string"}


def is_host(text: str) -> bool:
    """Whether it is a host name or an IP address."""
    return is_ip(text) if ":" in text else bool(re.fullmatch(r"\w([\w.-]{0,251}\w)?", text, re.ASCII))


def is_ip(text: str) -> bool:
    """Whether it is an IP address, which means the same on every machine: without a zone."""
    try:
        return not getattr(ip_address(text), "scope_id", None)
    except ValueError:
        return False


def _path(value: Plain, at: str) -> Path:
    text = _text(value, at)
    if text and not text.startswith("/"):
        raise wrong(value, at, "is a relative path, and would depend on where eco is started; write it from / on")
    return Path(text)


class File(Kind["Path | None"]):
    """An absolute path; the empty one means none. Whether the file exists is another question."""

    def read(self, value: Plain, at: str) -> Path | None:
        """The path as it is written, `..` included."""
        return _path(value, at) if value != "" else None

    def write(self, value: Path | None) -> Plain:
        """The path, or an empty text."""
        return str(value or "")

    def schema(self) -> dict[str, object]:
        """A text that begins with a slash, or an empty one."""
        return {"type": "string", "pattern": "^(/.*)?$"}


class Directory(Kind[Path]):
    """An absolute path."""

    def read(self, value: Plain, at: str) -> Path:
        """The path as it is written, `..` included."""
        if value == "":
            raise wrong(value, at, "is empty; write an absolute path")
        return _path(value, at)

    def write(self, value: Path) -> Plain:
        """The path."""
        return str(value)

    def schema(self) -> dict[str, object]:
        """A text that begins with a slash."""
        return {"type": "string", "pattern": "^/"}


# ---------------------------------------------------------------- mappings


class Table(Kind["Mapping[str, str]"]):
    """A mapping of names to texts. `refuse` gives the reason why a name may not stand in it, or "", and `misread`
    why it may not have this value."""

    def __init__(
        self,
        example: str,
        pattern: str,
        refuse: Callable[[str], str],
        misread: Callable[[str, str], str] = lambda _name, _value: "",
    ) -> None:
        self._example = example
        self._pattern = pattern
        self._refuse = refuse
        self._misread = misread

    def read(self, value: Plain, at: str) -> Mapping[str, str]:
        """Every entry as text: `true`, `3`, `a,b`."""
        if not isinstance(value, dict):
            raise wrong(value, at, f"is not a mapping; write it like {self._example}")
        problems: list[Problem] = []
        table: dict[str, str] = {}
        for name, entry in value.items():
            try:
                table[name] = self._entry(name, entry, below(at, name))
            except Wrong as fault:
                problems += fault.problems
        if problems:
            raise Wrong(*problems)
        return table

    def _entry(self, name: str, entry: Plain, at: str) -> str:
        if not re.fullmatch(self._pattern, name):
            raise Wrong(Problem(at, "", f"is not a name that can stand here; write it like {self._example}"))
        if reason := self._refuse(name):
            raise Wrong(Problem(at, "", reason))
        text = shown(entry) if isinstance(entry, bool) else "" if entry is None else _text(entry, at)
        if reason := self._misread(name, text):
            raise wrong(entry, at, reason)
        return text

    def schema(self) -> dict[str, object]:
        """An object of scalars."""
        return {"type": "object", "additionalProperties": {"type": ["string", "integer", "boolean", "null"]}}


def extra_flags() -> Table:
    """Flags for etcd beyond those that have a key of their own."""
    return Table("{max-txn-ops: 256}", r"[a-z][a-z0-9-]{0,80}", etcd_flags.instead, etcd_flags.misread)


def environment() -> Table:
    """Variables for etcd's process."""
    return Table("{GOMEMLIMIT: 2GiB}", r"[A-Za-z_][A-Za-z0-9_]{0,80}", _no_flag_in_disguise)


def _no_flag_in_disguise(name: str) -> str:
    if not name.startswith("ETCD_") or name == "ETCD_UNSUPPORTED_ARCH":
        return ""
    flag = name.removeprefix("ETCD_").lower().replace("_", "-")
    cure = etcd_flags.instead(flag) or f"write {flag} under eco.etcd.extra-flags"
    return f"is etcd's flag --{flag} in disguise; {cure}"


# ---------------------------------------------------------------- the rest


class NotYet(Kind[None]):
    """A key of the original operator whose feature is still to come: only "none of it" is accepted."""

    def __init__(self, hint: str) -> None:
        self._hint = hint

    def read(self, value: Plain, at: str) -> None:
        """Nothing, an empty mapping, or one of nothing but empty values."""
        if not _is_hollow(value):
            raise wrong(value, at, self._hint)

    def schema(self) -> dict[str, object]:
        """Nothing but null or an empty object."""
        return {"type": ["null", "object"], "maxProperties": 0}


def _is_hollow(value: Plain) -> bool:
    match value:
        case dict():
            return all(_is_hollow(entry) for entry in value.values())
        case list():
            return all(_is_hollow(entry) for entry in value)
        case _:
            return value is None or value == ""


class NotTrueYet(Kind[bool]):
    """A switch of the original operator that can only be off so far."""

    def __init__(self, hint: str) -> None:
        self._hint = hint

    def read(self, value: Plain, at: str) -> bool:
        """`false`."""
        if Flag().read(value, at):
            raise wrong(value, at, self._hint)
        return False

    def schema(self) -> dict[str, object]:
        """`false`."""
        return {"const": False}

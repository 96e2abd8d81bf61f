"""The static provider: the group is what an operator has written down.

Either in the configuration itself, or in a file beside it that is looked at again and again:

    asg:                                   asg:
      provider: static                       provider: static
      name: a                                name: a
      instances:                             file: group.yaml      # with `instances` and `desired`
        - {name: a, address: 10.0.0.1}
        - {name: b, address: 10.0.0.2}
        - {name: c, address: 10.0.0.3}

Taking an instance off the list is the operator's word that its disk will not come back; instances
beyond `desired`, counted from the top of the list, are leaving. That makes a *wrong* list dangerous.
So a file counts only whole: it must have lain still for a moment (a script may write it line by
line, and the first half of a list is a list, too), must not change while it is read, must be right
in every part and name this node. Anything else is `Unavailable`, look after look, until it is
right: never the empty group, and never yesterday's.

The file is read on the event loop: it is small and belongs on a local disk.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import stat
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

import yaml

from eco.core.model import Group, Instance, Medium, Presence
from eco.errors import Problem, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

T = TypeVar("T")

SETTLE = 0.2
"""Seconds for which a file must have lain still before it is believed."""

PATIENCE = 2.0
"""Seconds a look waits for a file to lie still."""

LIMIT = 1 << 20
"""Bytes that a group file may have."""

HIGHEST_PORT = 65535
MOST_INSTANCES = 1000


@dataclass(frozen=True)
class _Listed:
    """What is written: instances in the order of the list, and the volumes by instance name."""

    instances: tuple[Instance, ...]
    desired: int
    volumes: Mapping[str, str]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(instance.name for instance in self.instances)


class Static:
    """A written list of instances, in the configuration or in a file that is re-read when it changes."""

    summary: ClassVar[str] = "a written list of instances, in the configuration or in a file that may change"

    def __init__(self, name: str, source: Path | _Listed, medium: Medium) -> None:
        """`source` is the file to read, or the list itself."""
        self._name = name
        self._source = source
        self._medium = medium
        self._read: tuple[_Mark, _Listed] | None = None
        self._seen: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, settings: Mapping[str, object], base: Path) -> tuple[Static | None, tuple[Problem, ...]]:
        """As `eco.ports.Provider.parse`; a `file` is not read before the first look."""
        form = _Form("asg", settings, ("name", "instances", "desired", "file", "medium"))
        source = _file(form, base) if "file" in settings else _listed(form)
        name = _own_name(form, frozenset() if isinstance(source, Path) else source.names - {""})
        medium = form.choice("medium", _MEDIA, Medium.PERSISTENT)
        return (None, tuple(form.problems)) if form.problems else (cls(name, source, medium), ())

    async def look(self) -> Group:
        """As `eco.ports.Provider.look`. What the file listed before and lists no more is `gone`."""
        listed = await self._look_at(self._source) if isinstance(self._source, Path) else self._source
        if self._name not in listed.names:
            raise Unavailable(f"{self._source} lists {_names(listed.names)}, but not this node, {self._name}")
        self._seen |= listed.names
        return Group(
            instances=tuple(sorted(_presence(listed), key=lambda instance: instance.name)),
            desired=listed.desired,
            gone=tuple(sorted(self._seen - listed.names)),
            operated=True,
            medium=self._medium,
            volume=listed.volumes.get(self._name, ""),
        )

    @property
    def me(self) -> str:
        """The `name` setting."""
        return self._name

    @property
    def pace(self) -> float:
        """A second for a file, whose look is one stat(2); an hour for a list that cannot change."""
        return 1.0 if isinstance(self._source, Path) else 3600.0

    async def close(self) -> None:
        """Nothing is held."""

    async def _look_at(self, file: Path) -> _Listed:
        try:
            if self._read is None or self._read[0] != _mark(file):
                self._read = await _settled(file)
        except OSError as fault:
            raise Unavailable(f"{file} cannot be read: {fault.strerror}") from fault
        return self._read[1]


def _presence(listed: _Listed) -> Iterable[Instance]:
    yield from listed.instances[: listed.desired]
    for surplus in listed.instances[listed.desired :]:
        yield replace(surplus, presence=Presence.LEAVING)


# ---------------------------------------------------------------- the file


@dataclass(frozen=True)
class _Mark:
    """By what a file is known to be the one that was read, and unchanged."""

    device: int
    inode: int
    size: int
    changed: int
    """Nanoseconds of the wall clock."""


def _mark(file: Path) -> _Mark:
    found = file.stat()
    return _Mark(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


async def _settled(file: Path) -> tuple[_Mark, _Listed]:
    """Read the file once it lies still. Raises `Unavailable` when it does not, or is wrong; `OSError`."""
    try:
        async with asyncio.timeout(PATIENCE):
            mark = await _still(file)
    except TimeoutError:
        raise Unavailable(f"{file} keeps changing; waiting until it lies still") from None
    return mark, _parsed(file, _bytes(file, mark))


async def _still(file: Path) -> _Mark:
    """Wait until the file is old by the wall clock, or was unchanged while we watched."""
    mark = _mark(file)
    while mark.changed + SETTLE * 1e9 > time.time_ns():
        await asyncio.sleep(SETTLE)
        before, mark = mark, _mark(file)
        if mark == before:
            break
    return mark


def _bytes(file: Path, mark: _Mark) -> bytes:
    if mark.size > LIMIT:
        raise Unavailable(f"{file} has more than {LIMIT} bytes: it is no list of instances")
    with open(file, "rb", opener=_without_waiting) as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise Unavailable(f"{file} is no regular file")
        raw = opened.read()
    if _mark(file) != mark:
        raise Unavailable(f"{file} changed while it was read")
    return raw


def _without_waiting(path: str, flags: int) -> int:
    """Open what may be a pipe that nobody writes to: an ordinary open(2) of it never returns."""
    return os.open(path, flags | os.O_NONBLOCK)


def _parsed(file: Path, raw: bytes) -> _Listed:
    try:
        document = yaml.safe_load(raw)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as fault:
        # The last four are what PyYAML's constructors let through, for `!!bool x` and the like.
        raise Unavailable(f"{file} is not YAML: {' '.join(str(fault).split())}") from fault
    if not isinstance(document, dict):
        raise Unavailable(f"{file} is empty or not a mapping; it has to hold `instances`")
    form = _Form("", document, ("instances", "desired"))
    listed = _listed(form)
    if form.problems:
        raise Unavailable(f"{file} is wrong: " + "; ".join(str(problem) for problem in form.problems))
    return listed


# ---------------------------------------------------------------- what is written


class _Form:
    """A mapping that is being read: its settings one by one, and everything wrong with them."""

    def __init__(self, where: str, mapping: Mapping[str, object], known: tuple[str, ...]) -> None:
        self._where = where
        self._mapping = mapping
        self.problems: list[Problem] = []
        for key in mapping:
            if key not in known:
                self.wrong(key, f"there is no such setting here; there are {', '.join(known)}")

    def path(self, key: str) -> str:
        return f"{self._where}.{key}" if self._where else str(key)

    def get(self, key: str) -> object:
        return self._mapping.get(key)

    def wrong(self, key: str, hint: str) -> None:
        self.problems.append(Problem(self.path(key), _shown(self.get(key)), hint))

    def text(self, key: str, fits: Callable[[str], bool], hint: str) -> str:
        value = self.get(key)
        if isinstance(value, str) and value and fits(value):
            return value
        self.wrong(key, hint)
        return ""

    def number(self, key: str, default: int, most: int) -> int:
        if key not in self._mapping:
            return default
        value = self.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
            return value
        self.wrong(key, f"write a whole number from 1 to {most}")
        return default

    def choice(self, key: str, choices: Mapping[str, T], default: T) -> T:
        if key not in self._mapping:
            return default
        value = self.get(key)
        if isinstance(value, str) and value in choices:
            return choices[value]
        self.wrong(key, f"choose one of {', '.join(choices)}")
        return default


_MEDIA = {"persistent": Medium.PERSISTENT, "instance": Medium.INSTANCE, "ephemeral": Medium.EPHEMERAL}
_PORTS = ("client-port", "peer-port", "status-port")
_NAME_HINT = "write letters, digits, dots, dashes and underscores, in quotes where it looks like a number"
_ADDRESS_HINT = "write a host name or an IP address alone, without scheme, brackets or port"
_FILE_HINT = "write the path of a YAML file with `instances` and perhaps `desired`, such as group.yaml"
_VOLUME_HINT = "write the identity of the volume that this instance's data lies on"


def _file(form: _Form, base: Path) -> Path:
    for key in ("instances", "desired"):
        if form.get(key) is not None:
            form.wrong(key, "write it into the file and leave it out here, or leave out asg.file")
    return base / form.text("file", str.isprintable, _FILE_HINT)


def _own_name(form: _Form, listed: frozenset[str]) -> str:
    if form.get("name") is None:
        form.wrong("name", "write this node's own name" + (f", one of {_names(listed)}" if listed else ""))
        return ""
    name = form.text("name", _is_name, _NAME_HINT)
    if name and listed and name not in listed:
        form.wrong("name", f"no instance has this name; the instances are {_names(listed)}")
    return name


def _listed(form: _Form) -> _Listed:
    rows = form.get("instances")
    if not isinstance(rows, list) or not rows:
        form.wrong("instances", "list every instance, as in [{name: a, address: 10.0.0.1}]")
        rows = []
    desired = form.number("desired", len(rows), MOST_INSTANCES)
    instances: list[Instance] = []
    volumes: dict[str, str] = {}
    taken: dict[object, str] = {}
    for position, row in enumerate(rows):
        path = form.path(f"instances[{position}]")
        if not isinstance(row, dict):
            form.problems.append(Problem(path, _shown(row), "write a mapping such as {name: a, address: 10.0.0.1}"))
            continue
        entry = _Form(path, row, ("name", "address", *_PORTS, "volume"))
        instances.append(instance := _instance(entry))
        if entry.get("volume") is not None:
            volumes[instance.name] = entry.text("volume", str.isprintable, _VOLUME_HINT)
        _tell_apart(entry, instance, taken)
        form.problems += entry.problems
    return _Listed(tuple(instances), desired, volumes)


def _instance(entry: _Form) -> Instance:
    return Instance(
        entry.text("name", _is_name, _NAME_HINT),
        entry.text("address", _is_address, _ADDRESS_HINT),
        client_port=entry.number("client-port", 2379, HIGHEST_PORT),
        peer_port=entry.number("peer-port", 2380, HIGHEST_PORT),
        status_port=entry.number("status-port", 2378, HIGHEST_PORT),
    )


def _tell_apart(entry: _Form, instance: Instance, taken: dict[object, str]) -> None:
    """Report a name or a port that an earlier instance, or another port of this one, has taken."""
    if instance.name and taken.setdefault(instance.name, entry.path("name")) != entry.path("name"):
        entry.wrong("name", f"{taken[instance.name]} has this name, too; names must differ")
    ports = (instance.client_port, instance.peer_port, instance.status_port)
    for key, port in zip(_PORTS, ports, strict=True):
        first = taken.setdefault((instance.address, port), entry.path(key))
        if instance.address and first != entry.path(key):
            entry.wrong("address", f"its {key} {port} is {first}, too; give it an address or ports of its own")
            return


def _is_name(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?", text) is not None


def _is_address(text: str) -> bool:
    """Whether it is a host name, or an IP address that means one host."""
    family = socket.AF_INET if re.fullmatch(r"[0-9.]+", text) else socket.AF_INET6 if ":" in text else None
    if family is None:
        return re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?", text) is not None
    try:
        return any(socket.inet_pton(family, text))
    except (OSError, ValueError):
        return False


def _shown(value: object) -> str:
    """Quote a value for a problem; one that may be large by its kind alone."""
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value) if abs(value) <= sys.maxsize else "a huge number"
    return str(value)[:80] if isinstance(value, str | float) else f"<{type(value).__name__}>"


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))

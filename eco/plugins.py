"""Plug-ins: providers and stores, found by name among the installed distributions' entry points.

A distribution offers one by an entry point in the group `eco.providers` or
`eco.snapshot_stores`; nothing else ties it to eco, and eco names none of them. Only the one that
the configuration asks for is imported. Whatever is wrong — no such plug-in, one that cannot be
imported, settings it does not accept — is a `Problem` of the configuration, told with the others.

The entry points are read straight from the distributions' files (packaging.python.org, "Entry points
specification"): `importlib.metadata` would load the e-mail and zip libraries first, 35 ms on the way to
etcd's start.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eco.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from eco.ports import Provider, Store

PROVIDERS = "eco.providers"
STORES = "eco.snapshot_stores"


@dataclass(frozen=True)
class Plugin:
    """An installed plug-in: its name in the configuration, and one line saying what it is."""

    name: str
    summary: str


def provider(kind: str, settings: Mapping[str, object], base: Path) -> tuple[Provider | None, tuple[Problem, ...]]:
    """Build the provider that `asg.provider: <kind>` means from the rest of `asg:`, or say what is wrong."""
    plugin, problems = _load(PROVIDERS, kind, "asg.provider")
    return plugin.parse(settings, base) if plugin else (None, problems)


def store(kind: str, settings: Mapping[str, object], base: Path) -> tuple[Store | None, tuple[Problem, ...]]:
    """Build the store that `snapshot.provider: <kind>` means from its own keys, or say what is wrong."""
    plugin, problems = _load(STORES, kind, "snapshot.provider")
    return plugin.parse(settings, base) if plugin else (None, problems)


def installed(group: str) -> tuple[Plugin, ...]:
    """List every plug-in of the group, sorted by name; imports all of them, so it is for help texts."""
    return tuple(Plugin(name, _summary(value)) for name, value in sorted(_entry_points(group).items()))


def _load(group: str, kind: str, path: str) -> tuple[Any, tuple[Problem, ...]]:
    value = _entry_points(group).get(kind)
    if value is None:
        choice = "; ".join(f"{plugin.name} ({plugin.summary})" for plugin in installed(group))
        return None, (Problem(path, kind, f"no such plug-in is installed; choose {choice or 'and install one'}"),)
    plugin, fault = _imported(value)
    if plugin is None:
        return None, (Problem(path, kind, f"the plug-in cannot be loaded: {fault}"),)
    return plugin, ()


def _entry_points(group: str) -> dict[str, str]:
    """Name and `module:attribute` of each; as in an import, what comes first in `sys.path` counts."""
    found: dict[str, str] = {}
    for file in _files():
        section = ""
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("["):
                section = line.strip("[] ")
            elif section == group and "=" in line:
                name, _, value = line.partition("=")
                found.setdefault(name.strip(), value.split("[")[0].strip())
    return found


def _files() -> Iterator[Path]:
    for place in map(Path, sys.path):
        try:
            with os.scandir(place) as entries:
                names = sorted(entry.name for entry in entries if entry.name.endswith(".dist-info"))
        except OSError:  # a zip file, or a place that is not there
            continue
        yield from (file for name in names if (file := place / name / "entry_points.txt").is_file())


def _imported(value: str) -> tuple[Any, str]:
    module, _, attribute = value.partition(":")
    try:
        return reduce(getattr, attribute.split("."), import_module(module)), ""
    except Exception as fault:  # noqa: BLE001 — importing runs a stranger's code, which may raise anything
        return None, f"{value}: {type(fault).__name__}: {fault}"


def _summary(value: str) -> str:
    plugin, fault = _imported(value)
    return f"cannot be loaded: {fault}" if plugin is None else str(plugin.summary)

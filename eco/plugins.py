"""Plug-ins: providers and stores, found by name among the installed distributions' entry points.

A distribution offers one by an entry point in the group `eco.providers` or
`eco.snapshot_stores`; nothing else ties it to eco, and eco names none of them. Only the one that
the configuration asks for is imported. Whatever is wrong — no such plug-in, one that cannot be
imported, settings it does not accept — is a `Problem` of the configuration, told with the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from eco.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

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
    return tuple(Plugin(entry.name, _summary(entry)) for entry in sorted(entry_points(group=group)))


def _load(group: str, kind: str, path: str) -> tuple[Any, tuple[Problem, ...]]:
    entry = next(iter(entry_points(group=group, name=kind)), None)
    if entry is None:
        choice = "; ".join(f"{plugin.name} ({plugin.summary})" for plugin in installed(group))
        return None, (Problem(path, kind, f"no such plug-in is installed; choose {choice or 'and install one'}"),)
    plugin, fault = _imported(entry)
    if plugin is None:
        return None, (Problem(path, kind, f"the plug-in cannot be loaded: {fault}"),)
    return plugin, ()


def _imported(entry: EntryPoint) -> tuple[Any, str]:
    try:
        return entry.load(), ""
    except Exception as fault:  # noqa: BLE001 — importing runs a stranger's code, which may raise anything
        return None, f"{entry.value}: {type(fault).__name__}: {fault}"


def _summary(entry: EntryPoint) -> str:
    plugin, fault = _imported(entry)
    return f"cannot be loaded: {fault}" if plugin is None else str(plugin.summary)

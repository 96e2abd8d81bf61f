"""A provider as bad as a cloud's API on a bad day, installed for the agents by PYTHONPATH.

It reads the same file as the static provider, with a `mode`: `fine`, `throttled` (every call is
refused) or `hanging` (no call returns). Every call is a line in the `calls` file, so that a test
can count what an account would be billed and throttled for.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from eco.core.model import Group, Instance
from eco.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eco.errors import Problem


class Cloud:
    summary: ClassVar[str] = "a cloud on a bad day"

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.file = Path(settings["file"])
        self.calls = Path(settings["calls"])
        self.pace = float(settings["pace"])
        self.me = str(settings["name"])

    @classmethod
    def parse(cls, settings: Mapping[str, object], _base: Path) -> tuple[Cloud, tuple[Problem, ...]]:
        return cls(settings), ()

    async def look(self) -> Group:
        with self.calls.open("a") as calls:
            calls.write(f"{time.monotonic()}\n")
        told = yaml.safe_load(self.file.read_text())
        match told.get("mode", "fine"):
            case "throttled":
                raise Unavailable("the cloud says RequestLimitExceeded")
            case "hanging":
                await asyncio.sleep(3600)
        instances = tuple(Instance(entry["name"], entry["address"]) for entry in told["instances"])
        return Group(tuple(sorted(instances, key=lambda one: one.name)), told["desired"])

    async def close(self) -> None:
        return

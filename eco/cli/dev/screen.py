"""What a running `eco dev` shows: a live table on a terminal, one line per change elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.text import Text

from eco.cli.console import console, say
from eco.cli.survey import ask_all, of, verdict
from eco.cli.table import SILENT, picture
from eco.cli.text import printable
from eco.core.sight import Known
from eco.errors import EcoError

if TYPE_CHECKING:
    from eco.cli.dev.home import Home
    from eco.cli.survey import Seen, Survey
    from eco.core.model import Instance

PACE = 0.5
KEPT = 6
"""Events below the table."""


class Screen:
    """Shows the cluster until it is cancelled; `tell` adds an event."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._events: deque[str] = deque(maxlen=KEPT)
        self._instances: tuple[Instance, ...] = ()
        self._live: Live | None = None
        self._shown: dict[str, str] = {}

    def tell(self, sentence: str) -> None:
        """Show that something happened."""
        line = f"{time.strftime('%H:%M:%S')}  {printable(sentence)}"
        if self._live is None:
            say(line)
        else:
            self._events.append(line)

    async def show(self) -> None:
        """Look and show, every half second."""
        out = console()
        if not out.is_terminal:
            while True:
                self._report(await self._look())
                await asyncio.sleep(PACE)
        with Live(console=out, auto_refresh=False) as self._live:
            while True:
                survey = await self._look()
                events = (Text(line, style="dim") for line in self._events)
                self._live.update(Group(Text(), picture(survey), Text(), *events), refresh=True)
                await asyncio.sleep(PACE)

    async def _look(self) -> Survey:
        try:
            self._instances = self._home.listing().instances
        except EcoError as fault:
            self._change("group", str(fault))
        return await ask_all(of(self._instances))

    def _report(self, survey: Survey) -> None:
        for seen in survey:
            self._change(seen.name, _line(seen))
        self._change("cluster", verdict(survey)[1])

    def _change(self, name: str, line: str) -> None:
        if self._shown.get(name) != line:
            self._shown[name] = line
            self.tell(f"{name}: {line}")


def _line(seen: Seen) -> str:
    if isinstance(seen.answer, Known):
        return f"{seen.answer.value.situation}: {seen.answer.value.because}"
    return SILENT

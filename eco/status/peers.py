"""Other agents: their reports, and whether anything occupies their etcd's ports.

A peer is believed only as far as it says who it is: a report under another name than the
instance that was asked is `Corrupt`, as an address that moved to another node would give.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

from eco.core.model import Report
from eco.errors import Corrupt, Unavailable
from eco.formats import parse
from eco.status.client import authority, get
from eco.status.dial import dial, reason

if TYPE_CHECKING:
    from eco.core.model import Instance
    from eco.status.http import Response

OK = 200
BUSY = (408, 429, 500, 503)
"""Statuses with which an agent says that it has no report at this moment."""

STALE = 60
"""Seconds: an agent in quiet looks every `check-interval` and shows what it saw; an older page is no report."""


class HttpPeers:
    """`eco.ports.Peers` over HTTP. An urgent question says who asks, and the peer looks at once."""

    def __init__(self, me: str, *, ask_deadline: float = 1.0, probe_deadline: float = 0.5) -> None:
        self._urgent = f"/status?from={quote(me, safe='')}"
        self._ask_deadline = ask_deadline
        self._probe_deadline = probe_deadline

    async def ask(self, instance: Instance, *, urgent: bool) -> Report:
        """Its report. Raises `Unavailable` (nobody there, too late), `Corrupt` (not its report)."""
        host, port = instance.address, instance.status_port
        response = await get(host, port, self._urgent if urgent else "/status", deadline=self._ask_deadline)
        what = f"the report of {instance.name} at {authority(host, port)}"
        if response.status in BUSY:
            raise Unavailable(f"{what} is not to be had: status {response.status}")
        if response.status != OK:
            raise Corrupt(f"{what} is none: status {response.status}")
        if _age(response) > STALE:
            raise Unavailable(f"{what} is {_age(response)} s old: its agent does not look any more")
        report = _report(response, what)
        if report.name != instance.name:
            raise Corrupt(f"{authority(host, port)} answers as {report.name}, not {instance.name}")
        return report

    async def occupied(self, instance: Instance) -> bool:
        """Whether anything accepts TCP on its client or peer port.

        A refused connection is an answer; raises `Unavailable` when either port gives none and
        neither accepts.
        """
        answers = await asyncio.gather(
            self._accepts(instance.address, instance.client_port),
            self._accepts(instance.address, instance.peer_port),
        )
        if True in answers:
            return True
        silent = [answer for answer in answers if isinstance(answer, str)]
        if silent:
            raise Unavailable(f"whether etcd runs on {instance.name} is unknown: {silent[0]}")
        return False

    async def _accepts(self, host: str, port: int) -> bool | str:
        """Whether the port accepts, or why that cannot be told."""
        try:
            async with asyncio.timeout(self._probe_deadline):
                _, writer = await dial(host, port)
        except ConnectionRefusedError:
            return False
        except TimeoutError:
            return f"{authority(host, port)} does not answer"
        except OSError as fault:
            return f"{authority(host, port)}: {reason(fault)}"
        writer.transport.abort()
        return True


def _age(response: Response) -> int:
    """Seconds since the page was made, in the `Age` header; 0 where an older agent does not tell."""
    age = {name.lower(): value for name, value in response.headers}.get("age", "0")
    return int(age) if age.isdecimal() and len(age) < 10 else STALE + 1  # noqa: PLR2004 - ten digits are 300 years


def _report(response: Response, what: str) -> Report:
    """Parse the report. Raises `Corrupt`, naming the original operator where it is one."""
    try:
        return parse(Report, response.body, what)
    except Corrupt as fault:
        if _is_the_originals(response.body):
            raise Corrupt(f"{what} is none: the original etcd-cloud-operator answers there") from fault
        raise


def _is_the_originals(body: bytes) -> bool:
    """By its keys: the original's `/status` has two and no name (its pkg/operator/misc.go)."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.keys() == {"state", "revision"}

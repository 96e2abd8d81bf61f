"""Asking every agent how it is, and reading the answers as one picture of the cluster.

Whatever an agent says is its own word: it is parsed like anything from outside, shown, and
never acted upon.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from eco.core.sight import Known, Sight, Unknown
from eco.errors import Corrupt, Unavailable
from eco.formats import parse
from eco.status.client import authority, get

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eco.core.model import Instance
    from eco.status.http import Response

DEADLINE = 2.0
"""Seconds for one agent to answer."""
FINE = 200
STATUS_PORT = 2378


@dataclass(frozen=True)
class Endpoint:
    """Where an agent should answer; `name` is "" where only the address was given."""

    host: str
    port: int = STATUS_PORT
    name: str = ""

    @property
    def address(self) -> str:
        """`host:port`."""
        return authority(self.host, self.port)

    def __str__(self) -> str:
        """The node's name, else its address."""
        return self.name or self.address


@dataclass(frozen=True)
class _Said:
    """An agent's answer to a request, or its reason for none."""

    done: str = ""
    error: str = ""


@dataclass(frozen=True)
class MemberLine:
    """A member as one agent shows it; numbers are None where it does not answer."""

    id: str
    name: str = ""
    leader: bool = False
    raft_index: int | None = None
    applied_index: int | None = None
    db_size: int | None = None
    version: str = ""


@dataclass(frozen=True)
class Answer:
    """What this command reads of an agent's status page."""

    name: str
    situation: str
    because: str
    cluster: str = ""
    generation: int = 0
    member_id: str = ""
    cluster_id: str = ""
    leader: str = ""
    serving: bool = False
    is_learner: bool = False
    revision: int = 0
    etcd: str = ""
    desired: int | None = None
    refused: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()
    members: tuple[MemberLine, ...] = ()

    @property
    def leads(self) -> bool:
        """Whether its member leads."""
        return bool(self.leader) and self.leader == self.member_id

    @property
    def role(self) -> str:
        """`leader`, `voter`, `learner`, or "" where it is no running member."""
        if self.leads:
            return "leader"
        if self.is_learner:
            return "learner"
        return "voter" if self.serving else ""

    @property
    def own(self) -> MemberLine | None:
        """Its member's line in its own list."""
        return next((line for line in self.members if line.id == self.member_id), None)

    @property
    def lag(self) -> int | None:
        """Entries that its member has yet to apply, by the furthest index anyone reports."""
        own = self.own
        furthest = max((line.raft_index or 0 for line in self.members), default=0)
        if own is None or own.applied_index is None or not furthest:
            return None
        return max(0, furthest - own.applied_index)


@dataclass(frozen=True)
class Seen:
    """One agent's answer, with the document as it came."""

    endpoint: Endpoint
    answer: Sight[Answer]
    document: dict[str, Any]

    @property
    def name(self) -> str:
        """The node's name, as far as it is known."""
        return self.endpoint.name or (self.answer.value.name if isinstance(self.answer, Known) else str(self.endpoint))


Survey: TypeAlias = tuple[Seen, ...]


def of(instances: Iterable[Instance]) -> tuple[Endpoint, ...]:
    """The endpoints of a provider's instances."""
    return tuple(Endpoint(each.address, each.status_port, each.name) for each in instances)


def endpoints(text: str) -> tuple[Endpoint, ...]:
    """`host[:port],…` as the command line has it; IPv6 in brackets. Raises `ValueError`."""
    return tuple(_endpoint(part.strip()) for part in text.split(",") if part.strip())


async def ask_all(where: Iterable[Endpoint]) -> Survey:
    """Ask all at once; takes `DEADLINE` seconds at most, and is in the order asked."""
    return tuple(await asyncio.gather(*(_ask(endpoint) for endpoint in where)))


def answers(survey: Survey) -> tuple[Answer, ...]:
    """Those that answered."""
    return tuple(seen.answer.value for seen in survey if isinstance(seen.answer, Known))


def verdict(survey: Survey) -> tuple[bool, str]:
    """Whether the cluster is whole, and the sentence that says so or what it lacks."""
    heard = answers(survey)
    serving = [answer for answer in heard if answer.serving and not answer.is_learner]
    wanted = max([len(survey), *(answer.desired or 0 for answer in heard)])
    clusters = {answer.cluster_id for answer in serving}
    leaders = {answer.leader for answer in serving}
    if not heard:
        return False, "nobody answers"
    if not serving:
        return False, "unhealthy: no node serves"
    if len(clusters) > 1:
        return False, f"UNHEALTHY: the nodes serve {len(clusters)} different clusters: {', '.join(sorted(clusters))}"
    if len(leaders) > 1:
        return False, "unhealthy: the nodes name different leaders; an election may be going on"
    if len(serving) < wanted:
        return False, f"unhealthy: {len(serving)} of {wanted} nodes serve"
    return True, f"healthy: {len(serving)} of {wanted} nodes serve"


def sentence(response: Response) -> str:
    """An agent's words where its answer is no status page; "" when it gives none."""
    try:
        said = parse(_Said, response.body, "the answer")
    except Corrupt:
        return ""
    return said.done or said.error


async def _ask(endpoint: Endpoint) -> Seen:
    try:
        response = await get(endpoint.host, endpoint.port, "/status", deadline=DEADLINE)
        if response.status != FINE:
            because = sentence(response) or f"it answers with HTTP status {response.status}"
            return Seen(endpoint, Unknown(because), {})
        what = f"the status of {endpoint}"
        answer, document = parse(Answer, response.body, what), parse(dict, response.body, what)
    except (Unavailable, Corrupt) as fault:
        return Seen(endpoint, Unknown(str(fault)), {})
    return Seen(endpoint, Known(answer), document)


def _endpoint(text: str) -> Endpoint:
    """`host`, `host:port`, an IPv6 address alone, or one in brackets with or without a port."""
    try:
        return Endpoint(str(ipaddress.IPv6Address(text)))
    except ValueError:
        pass
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]+))(?::([0-9]{1,5}))?", text)
    if match is None:
        raise ValueError(f"{text} is not host:port")
    bracketed, plain, port = match.groups()
    number = int(port) if port else STATUS_PORT
    if not 0 < number < 1 << 16:
        raise ValueError(f"{text} has no port from 1 to 65535")
    return Endpoint(bracketed or plain, number)

"""etcd's v3 API, as much of it as we use, with its errors said as ours.

Reads go to the URLs in order until one answers; the method's deadline is shared among those not
tried yet, so that one black hole does not use it up. A change is sent once, to the first voter
that answers: after a time-out nobody knows whether it happened, and asking another member could
do it twice. The caller looks again.

gRPC is loaded by `warm()` in a thread, or else by the first call.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eco.core.model import Member, MemberStatus
from eco.errors import Corrupt, EcoError, Refused, Unavailable
from eco.etcd.ids import hexed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eco.core.model import Id
    from eco.etcd.rpc import Wire

LOOK = 2.0
"""Seconds that a read may take, by default."""

CHANGE = 5.0
"""Seconds that a change may take, by default."""

IDLE = 60.0
"""Seconds after which a connection that nobody used is closed, by default."""

RESERVED_KEY = b"eco.readable"
"""What the linearizable read asks for. Nobody writes it: that it is absent is as good an answer."""


class Denied(Refused):
    """etcd's own authentication stands in the way."""


class Missing(Refused):
    """etcd knows nothing of what it was asked about."""


@dataclass(frozen=True)
class Tls:
    """How to speak to `https` URLs, in PEM as it was read when the agent started.

    `ca` is b"" for the system's; `cert` and `key` are b"" for a client without certificate.
    `server_name`, where given, is expected in the server's certificate in place of the URL's host.
    """

    ca: bytes = b""
    cert: bytes = b""
    key: bytes = b""
    server_name: str = ""


class EtcdClient:
    """An `eco.ports.EtcdApi` over gRPC. It belongs to one event loop; all times are seconds."""

    def __init__(
        self, tls: Tls | None = None, *, look: float = LOOK, change: float = CHANGE, idle: float = IDLE
    ) -> None:
        self._tls = tls
        self._idle = idle
        self._look = look
        self._change = change
        self._wire: Wire | None = None

    async def warm(self) -> None:
        """Load gRPC without stopping the loop; idempotent."""
        await self._warmed()

    async def status(self, urls: Sequence[str]) -> MemberStatus:
        """Ask the first member that answers for its own status; served without quorum."""
        return _status(await self._ask(urls, self._look, "maintenance.Status", "StatusRequest"))

    async def members(self, urls: Sequence[str], *, linearizable: bool) -> tuple[Member, ...]:
        """List the members, sorted by id. Learners do not answer it."""
        reply = await self._ask(urls, self._look, "cluster.MemberList", "MemberListRequest", linearizable=linearizable)
        return _members(reply.members)

    async def readable(self, urls: Sequence[str]) -> bool:
        """Tell whether a linearizable read succeeds within its deadline.

        etcd confirms with a quorum before it looks at permissions (v3_server.go, Range), so a
        denial is a success, too.
        """
        try:
            reply = await self._ask(
                urls, self._look, "kv.Range", "RangeRequest", key=RESERVED_KEY, limit=1, count_only=True
            )
        except Denied:
            return True
        except (Unavailable, Refused):
            return False
        return bool(_named(reply.header.member_id))

    async def add_learner(self, urls: Sequence[str], peer_url: str) -> tuple[Id, tuple[Member, ...]]:
        """Add a learner; gives its id and the whole list."""
        reply = await self._alter(urls, "cluster.MemberAdd", "MemberAddRequest", peerURLs=[peer_url], isLearner=True)
        return _named(reply.member.ID), _members(reply.members)

    async def promote(self, urls: Sequence[str], member: Id) -> None:
        """Turn a learner into a voter."""
        await self._alter(urls, "cluster.MemberPromote", "MemberPromoteRequest", ID=int(member, 16))

    async def remove(self, urls: Sequence[str], member: Id) -> None:
        """Remove a member; removing one that is not there is fine."""
        try:
            await self._alter(urls, "cluster.MemberRemove", "MemberRemoveRequest", ID=int(member, 16))
        except Missing:
            return

    async def update_peer_urls(self, urls: Sequence[str], member: Id, peer_urls: Sequence[str]) -> None:
        """Record a voter's new peer URLs. Never for a learner: old etcd makes it a voter."""
        await self._alter(
            urls, "cluster.MemberUpdate", "MemberUpdateRequest", ID=int(member, 16), peerURLs=list(peer_urls)
        )

    async def move_leader(self, urls: Sequence[str], to: Id) -> None:
        """Hand leadership to a voter; `urls` must be the leader's."""
        await self._ask(urls, self._change, "maintenance.MoveLeader", "MoveLeaderRequest", targetID=int(to, 16))

    async def close(self) -> None:
        """Close every channel; idempotent."""
        if self._wire is not None:
            await self._wire.close()

    async def _warmed(self) -> Wire:
        if self._wire is None:
            rpc = await asyncio.to_thread(_load)
            self._wire = self._wire or rpc.Wire(self._tls, self._idle)
        return self._wire

    async def _ask(self, urls: Sequence[str], deadline: float, method: str, request: str, **fields: Any) -> Any:
        """Give the first answer. What etcd refuses at one URL, it may grant at the next (a voter's)."""
        wire = await self._warmed()
        trouble: EcoError = Unavailable("no client URL of etcd is known")
        for url, seconds in _shares(urls, deadline):
            try:
                return await wire.call(url, method, request, seconds, **fields)
            except (Unavailable, Refused) as one:
                trouble = one
        raise trouble

    async def _alter(self, urls: Sequence[str], method: str, request: str, **fields: Any) -> Any:
        """Send a change once, to a voter."""
        url = await self._voter(urls)
        wire = await self._warmed()
        return await wire.call(url, method, request, self._change, **fields)

    async def _voter(self, urls: Sequence[str]) -> str:
        """Give the first URL behind which a voter answers."""
        trouble: EcoError = Unavailable("no client URL of etcd is known")
        for url in urls:
            try:
                if not (await self.status((url,))).is_learner:
                    return url
                trouble = Refused(f"etcd at {url} is a learner: only voters change the members")
            except Denied:
                return url
            except Unavailable as one:
                trouble = one
        raise trouble


def _load() -> Any:
    """Import gRPC, keeping it from watching for forks and from telling of what we tell ourselves."""
    logging.getLogger("grpc._common").setLevel(logging.CRITICAL)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    return importlib.import_module("eco.etcd.rpc")


def _shares(urls: Sequence[str], deadline: float) -> Iterator[tuple[str, float]]:
    """Give each URL its share of what is left of `deadline` when its turn comes."""
    end = time.monotonic() + deadline
    for turn, url in enumerate(urls):
        yield url, (end - time.monotonic()) / (len(urls) - turn)


def _status(reply: Any) -> MemberStatus:
    return MemberStatus(
        member_id=_named(reply.header.member_id),
        cluster_id=_named(reply.header.cluster_id),
        leader=hexed(reply.leader),
        term=reply.raftTerm,
        raft_index=reply.raftIndex,
        applied_index=reply.raftAppliedIndex,
        revision=reply.header.revision,
        is_learner=reply.isLearner,
        version=reply.version,
        db_size=reply.dbSize,
        errors=tuple(reply.errors),
    )


def _members(listed: Any) -> tuple[Member, ...]:
    members = tuple(
        Member(_named(one.ID), one.name, tuple(one.peerURLs), tuple(one.clientURLs), one.isLearner) for one in listed
    )
    if len({member.id for member in members}) < len(members):
        raise Corrupt("etcd lists a member twice")
    return tuple(sorted(members, key=lambda member: member.id))


def _named(number: int) -> Id:
    if not number:
        raise Corrupt("etcd's answer lacks an id")
    return hexed(number)

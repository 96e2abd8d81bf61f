"""The page: one look and its decision, as peers, humans and tools read it.

`compose` is pure; `render` writes the flat JSON document of `/status`: the fields of the agent's
`Report` (what peers parse), the original operator's `state` and `revision`, and what a human
wants to see beside them. docs/status.md explains every key.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from eco.core.decision import Situation
from eco.core.model import Data, Holding, Id, Report, Running
from eco.core.sight import Known, Unknown
from eco.formats import VERSION, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eco.core.decision import Decision
    from eco.core.model import Cluster, Group, Member, MemberStatus, Observation, Stamp
    from eco.core.sight import Sight

SERVED_LATELY = 5.0
"""Seconds for which a linearizable read through this node speaks for it."""


@dataclass(frozen=True)
class MemberRow:
    """A member of etcd's list, and how it does. Numbers are None where it does not answer."""

    id: Id
    name: str
    role: str
    """`voter` or `learner`."""
    peer_url: str
    client_urls: tuple[str, ...]
    leader: bool
    health: str
    """A clause: `answers`, or what is wrong."""
    raft_index: int | None = None
    applied_index: int | None = None
    db_size: int | None = None
    version: str = ""


@dataclass(frozen=True)
class InstanceRow:
    """An instance of the provider's list, and what its agent says."""

    name: str
    address: str
    presence: str
    me: bool
    situation: str
    """Of its agent; "" when the agent did not report."""
    because: str
    """Its agent's sentence, or why there is none."""


@dataclass(frozen=True)
class Page:
    """Everything an agent shows; durations are seconds.

    `looked_at`, on the observation's clock, is not part of the document.
    """

    report: Report
    state: str
    revision: int
    eco: str
    etcd: str
    pid: int | None
    seconds: float
    step: str
    uptime: float
    loop_seconds: float
    looked_at: float
    desired: int | None = None
    refused: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()
    members: tuple[MemberRow, ...] = ()
    instances: tuple[InstanceRow, ...] = ()
    unknown: Mapping[str, str] = field(default_factory=dict)


def compose(  # noqa: PLR0913 -- what the two values do not say, each by its name
    o: Observation,
    d: Decision,
    *,
    holding: Holding,
    volume: str,
    waiting: bool,
    served_at: float | None,
    started_at: float,
    loop_seconds: float,
    eco: str,
    etcd: str = "",
) -> Page:
    """The page of one tick.

    `served_at` is when a linearizable read through this node last succeeded, `started_at` when
    the agent began, both on the observation's clock; `etcd` the version of the binary, of which
    a running etcd's own word is preferred. `holding` is the core's word on an etcd that does not
    run and is not damaged, `volume` its word on which volume is mine.
    """
    seen = _cluster(o)
    report = _report(o, d, _holding(o, d, holding), volume=volume, waiting=waiting, serving=_serves(o, served_at))
    return Page(
        report=report,
        state=_state(report),
        revision=o.mine.value.mine.revision if isinstance(o.mine, Known) else 0,
        eco=eco,
        etcd=(o.mine.value.mine.version if isinstance(o.mine, Known) else "") or etcd,
        pid=o.process.pid if isinstance(o.process, Running) else None,
        seconds=round(max(0.0, o.now - d.memory.since), 3),
        step=type(d.step).__name__,
        uptime=round(o.now - started_at, 3),
        loop_seconds=round(loop_seconds, 3),
        looked_at=o.now,
        desired=o.group.value.desired if isinstance(o.group, Known) else None,
        refused=d.refused,
        alarms=d.alarms,
        members=_member_rows(seen) if seen is not None else (),
        instances=_instance_rows(o.group.value, o, report) if isinstance(o.group, Known) else (),
        unknown=unknown(o),
    )


def render(page: Page) -> bytes:
    """The document of `/status`: one flat JSON object, newline at the end."""
    rest = {key: value for key, value in asdict(page).items() if key not in {"report", "looked_at"}}
    return json.dumps({"version": VERSION, **plain(page.report), **rest}).encode() + b"\n"


def unknown(o: Observation) -> dict[str, str]:
    """The facts that this look did not get, of those asked for in this state, and why."""
    facts: dict[str, Sight[Any]] = {"provider": o.group, "disk": o.disk, "registry": o.registry}
    if isinstance(o.process, Running):
        facts["etcd"] = o.mine
    if not (isinstance(o.mine, Known) and o.mine.value.readable):
        facts["cluster"] = o.theirs
    facts |= {f"peer {name}": sight for name, sight in sorted(o.peers.items())}
    facts |= {f"ports of {name}": sight for name, sight in sorted(o.probes.items())}
    return {fact: sight.because for fact, sight in facts.items() if isinstance(sight, Unknown)}


# ---------------------------------------------------------------- the report


def _report(o: Observation, d: Decision, holding: Holding, *, volume: str, waiting: bool, serving: bool) -> Report:  # noqa: PLR0913 -- as compose
    disk = o.disk.value if isinstance(o.disk, Known) else None
    mine = o.mine.value.mine if isinstance(o.mine, Known) else None
    stamp: Stamp | None = disk.stamp if disk else None
    return Report(
        name=o.me,
        incarnation=stamp.incarnation if stamp else "",
        nonce=stamp.nonce if stamp else "",
        situation=d.situation.value,
        because=d.because,
        holding=holding,
        generation=stamp.generation if stamp else 0,
        registry_id=stamp.registry_id if stamp else "",
        cluster=o.cluster,
        member_id=_first(
            mine.member_id if mine else "", disk.member_id if disk else "", stamp.member_id if stamp else ""
        ),
        cluster_id=_first(
            mine.cluster_id if mine else "", disk.cluster_id if disk else "", stamp.cluster_id if stamp else ""
        ),
        leader=mine.leader if mine else "",
        volume=volume,
        last_term=disk.last_term if disk else 0,
        last_index=disk.last_index if disk else 0,
        serving=serving,
        is_learner=mine is not None and mine.is_learner,
        stopping=o.intent.stopping_since is not None,
        leaving=o.intent.leaving_since is not None,
        paused=o.intent.paused,
        ticket=d.memory.ticket,
        waiting=waiting,
        progress=(mine.applied_index if mine else 0) + (disk.size if disk else 0),
    )


def _first(*ids: Id) -> Id:
    """The first id that is known, "" if none is."""
    return next((id_ for id_ in ids if id_), "")


def _holding(o: Observation, d: Decision, otherwise: Holding) -> Holding:
    if isinstance(o.process, Running):
        return Holding.RUNNING
    damaged = isinstance(o.disk, Known) and o.disk.value.data is Data.DAMAGED
    return Holding.DAMAGED if damaged or d.situation is Situation.DAMAGED else otherwise


def _serves(o: Observation, served_at: float | None) -> bool:
    return isinstance(o.process, Running) and served_at is not None and o.now - served_at <= SERVED_LATELY


def _state(report: Report) -> str:
    """The original's word for it.

    An original agent seeds a cluster when every instance says START (its operator.go), so a node
    that holds or may hold data never does.
    """
    if report.serving:
        return "OK"
    return "START" if report.holding is Holding.EMPTY else "PENDING"


# ---------------------------------------------------------------- the rows


def _cluster(o: Observation) -> Cluster | None:
    """The cluster as my etcd shows it, else as a serving peer does: a learner lists no members."""
    for sight in (o.mine, o.theirs):
        if isinstance(sight, Known) and sight.value.members:
            return sight.value
    return None


def _member_rows(cluster: Cluster) -> tuple[MemberRow, ...]:
    rows = (_member_row(member, cluster) for member in cluster.members)
    return tuple(sorted(rows, key=lambda row: (row.name, row.id)))


def _member_row(member: Member, cluster: Cluster) -> MemberRow:
    own = member.id == cluster.mine.member_id
    sight = Known(cluster.mine) if own else cluster.statuses.get(member.id, Unknown("it was not asked"))
    status = sight.value if isinstance(sight, Known) else None
    return MemberRow(
        id=member.id,
        name=member.name,
        role="learner" if member.is_learner else "voter",
        peer_url=member.peer_urls[0] if member.peer_urls else "",
        client_urls=member.client_urls,
        leader=member.id == cluster.mine.leader,
        health=_health(member, sight),
        raft_index=status.raft_index if status else None,
        applied_index=status.applied_index if status else None,
        db_size=status.db_size if status else None,
        version=status.version if status else "",
    )


def _health(member: Member, sight: Sight[MemberStatus]) -> str:
    match sight:
        case Unknown(because):
            return because if member.name else f"it has not started yet: {because}"
        case Known(status) if status.errors:
            return "; ".join(status.errors)
        case Known(status) if not status.leader:
            return "it knows no leader"
        case Known():
            return "answers"


def _instance_rows(group: Group, o: Observation, mine: Report) -> tuple[InstanceRow, ...]:
    sights: dict[str, Sight[Report]] = {**o.peers, o.me: Known(mine)}
    rows = []
    for instance in group.instances:
        sight = sights.get(instance.name, Unknown("it was not asked"))
        rows.append(
            InstanceRow(
                name=instance.name,
                address=instance.address,
                presence=instance.presence.value,
                me=instance.name == o.me,
                situation=sight.value.situation if isinstance(sight, Known) else "",
                because=sight.because if isinstance(sight, Unknown) else sight.value.because,
            )
        )
    return tuple(rows)

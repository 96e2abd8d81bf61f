"""Looks and decisions to show: a node of a healthy cluster of three, and variations of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eco.core.decision import Decision, Memory, Situation
from eco.core.model import (
    Cluster,
    Data,
    Disk,
    Group,
    Holding,
    Instance,
    Member,
    MemberStatus,
    Observation,
    RegistryView,
    Report,
    Running,
    Stamp,
    Stopped,
)
from eco.core.sight import Known, Unknown
from eco.core.steps import Hold
from eco.status.page import Page, compose

if TYPE_CHECKING:
    from eco.core.steps import Step

NOW = 1000.0
INSTANCES = tuple(Instance(name, f"127.0.60.{n}") for n, name in enumerate("abc", 1))
MEMBERS = tuple(
    Member(f"{n}0", name, (f"http://127.0.60.{n}:2380",), (f"http://127.0.60.{n}:2379",))
    for n, name in enumerate("abc", 1)
)
STAMP = Stamp("a", "inc-a", "nonce-a", "main", "reg-1", 3, "token", "10", "c1", "vol-a", started=True)


def status_of(member: str, **other: object) -> MemberStatus:
    """A member's own answer; the leader is a."""
    healthy = MemberStatus(member, "c1", "10", 4, 120, 119, 77, is_learner=False, version="3.6.14", db_size=2**20)
    return replace(healthy, **other)  # type: ignore[arg-type]


def report_of(name: str, **other: object) -> Report:
    """A peer's report."""
    report = Report(name, f"inc-{name}", f"nonce-{name}", "SERVING", "all is well", Holding.RUNNING, serving=True)
    return replace(report, **other)  # type: ignore[arg-type]


def healthy(**other: object) -> Observation:
    """What node a sees when all is well."""
    o = Observation(
        now=NOW,
        me="a",
        cluster="main",
        group=Known(Group(INSTANCES, desired=3)),
        disk=Known(Disk(STAMP, Data.PRESENT, member_id="10", cluster_id="c1", volume="vol-a", size=500)),
        process=Running(pid=4242, since=900.0),
        registry=Known(RegistryView("reg-1", "main", "owner")),
        peers={name: Known(report_of(name)) for name in "bc"},
        mine=Known(
            Cluster(
                status_of("10"), MEMBERS, readable=True, statuses={id_: Known(status_of(id_)) for id_ in ("20", "30")}
            )
        ),
    )
    return replace(o, **other)  # type: ignore[arg-type]


def empty(**other: object) -> Observation:
    """What node a sees before the birth of its cluster."""
    return healthy(
        **{
            "disk": Known(Disk(Stamp("a", "inc-a", "nonce-a"), Data.ABSENT)),
            "process": Stopped(),
            "mine": Unknown("etcd does not run"),
        }
        | other
    )


def decision(situation: Situation = Situation.SERVING, step: Step | None = None, **other: object) -> Decision:
    """A decision to hold, unless said otherwise, in a situation that began ten seconds ago."""
    d = Decision(situation, step or Hold("all is well"), Memory(situation=situation, since=NOW - 10))
    return replace(d, **other)  # type: ignore[arg-type]


def page_of(o: Observation | None = None, d: Decision | None = None, **other: object) -> Page:
    """The page of a look and a decision."""
    said: dict[str, object] = {
        "holding": Holding.HOLDING,
        "volume": "vol-a",
        "waiting": False,
        "served_at": NOW,
        "started_at": NOW - 100,
        "loop_seconds": 0.05,
        "eco": "0.1.0",
    }
    return compose(o or healthy(), d or decision(), **(said | other))  # type: ignore[arg-type]

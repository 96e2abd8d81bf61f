"""The steps: the only things an agent ever does to a cluster, one at a time.

A step is small, exact (acting needs no further choice), has a deadline, and may be killed in
the middle: the next look re-derives where we are. Every one carries `because`, the sentence
that becomes the log line, the status page and the test's expectation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from eco.core.model import Charter, Id, Join, Roster, Voter


@dataclass(frozen=True)
class Hold:
    """Do nothing, and say whom or what we wait for."""

    because: str


@dataclass(frozen=True)
class Found:
    """Create the owner object if it is absent, then claim generation `number` with `founders`."""

    number: int
    founders: tuple[Voter, ...]
    because: str


@dataclass(frozen=True)
class Start:
    """Start etcd on the data directory. `join` and `charter` are given on the first start of a
    data set and None when it has its own membership on disk."""

    because: str
    charter: Charter | None = None
    join: Join | None = None


@dataclass(frozen=True)
class Restart:
    """Stop the etcd that takes no part, and start it again on the same data."""

    because: str


@dataclass(frozen=True)
class Stop:
    """Stop etcd. `then_exit` ends the agent afterwards."""

    because: str
    then_exit: bool = False


@dataclass(frozen=True)
class SetAside:
    """Rename `member/` (if there is one) into `eco/old/`, and begin an empty data set: the one
    of the stamp's accepted join, or one with a fresh incarnation."""

    why: str
    because: str


@dataclass(frozen=True)
class AddSelf:
    """Ask the cluster to add me as a learner, and stamp the accepted join. `ghost` is my own
    unstarted learner entry to adopt instead; `stale` my other learner entries to remove first."""

    peer_url: str
    generation: int
    token: str
    because: str
    ghost: Id = ""
    stale: tuple[Id, ...] = ()


@dataclass(frozen=True)
class Promote:
    """Turn a learner that has caught up into a voter."""

    member_id: Id
    name: str
    because: str


@dataclass(frozen=True)
class RemoveMember:
    """Remove a voter or a learner from the cluster."""

    member_id: Id
    name: str
    is_learner: bool
    because: str


@dataclass(frozen=True)
class UpdatePeerUrl:
    """Tell the cluster my new peer URL (a voter's only, never a learner's)."""

    member_id: Id
    peer_url: str
    because: str


@dataclass(frozen=True)
class MoveLeader:
    """Hand leadership to another voter."""

    to: Id
    name: str
    because: str


@dataclass(frozen=True)
class WriteRoster:
    """Record the voter set that the next change will bring about."""

    generation: int
    seq: int
    voters: tuple[Voter, ...]
    because: str


@dataclass(frozen=True)
class ConfirmRoster:
    """Record that etcd's voters are those of the roster."""

    roster: Roster
    because: str


@dataclass(frozen=True)
class Adopt:
    """Register a running cluster that no charter names: owner, charter `number`, its voters.

    `token` is "" but where a registry that has lost its charters is repaired from my stamp."""

    number: int
    token: str
    cluster_id: Id
    voters: tuple[Voter, ...]
    because: str


@dataclass(frozen=True)
class Enrol:
    """Complete my stamp from the registry: the generation and token of the charter under which
    my running member was adopted, or the registry's id."""

    generation: int
    token: str
    member_id: Id
    cluster_id: Id
    because: str


Step: TypeAlias = (
    Hold
    | Found
    | Start
    | Restart
    | Stop
    | SetAside
    | AddSelf
    | Promote
    | RemoveMember
    | UpdatePeerUrl
    | MoveLeader
    | WriteRoster
    | ConfirmRoster
    | Adopt
    | Enrol
)

"""The nouns: everything a node can know, as frozen values.

One noun has one meaning (docs/glossary.md). An *instance* is what the provider lists, a
*member* is what etcd lists, a *peer* is another agent. Member and cluster ids are lower-case
hex strings as etcdctl prints them. Times are seconds; `Observation.now` is on CLOCK_BOOTTIME
of this machine and is never compared with another machine's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from eco.core.sight import Sight, Unknown

Id: TypeAlias = str
"""An etcd member or cluster id: lower-case hex without padding."""


# ---------------------------------------------------------------- provider


class Presence(Enum):
    """What the provider says of an instance."""

    PRESENT = "present"
    LEAVING = "leaving"
    """It is being taken away on purpose: scale-in, termination, ordinal beyond the desired size."""
    GONE = "gone"
    """A positive statement that its disk will not come back. Being unlisted is not that."""


class Medium(Enum):
    """How long the data directory's disk lives."""

    PERSISTENT = "persistent"
    INSTANCE = "with the instance"
    EPHEMERAL = "ephemeral"


@dataclass(frozen=True)
class Instance:
    """A machine or pod slot that the provider lists. `address` is a host name or IP, bare."""

    name: str
    address: str
    client_port: int = 2379
    peer_port: int = 2380
    status_port: int = 2378
    presence: Presence = Presence.PRESENT


@dataclass(frozen=True)
class Group:
    """The provider's answer. `instances` is sorted by name, names are unique, mine is among them.

    `gone` names instances that are no longer listed and of which the provider states that
    their disk will not come back. `operated`: the list is written by an operator, so that
    taking a live instance off it is an order to let it leave, not a contradiction.
    `identity` (account/region/group, cluster UID/namespace/StatefulSet UID, or "") guards
    against two clusters on one store. `volume` is what the provider attached to *me*, or "".
    """

    instances: tuple[Instance, ...]
    desired: int
    gone: tuple[str, ...] = ()
    operated: bool = False
    identity: str = ""
    medium: Medium = Medium.PERSISTENT
    volume: str = ""


# ---------------------------------------------------------------- registry


@dataclass(frozen=True)
class Voter:
    """One voter of a charter or roster. `incarnation` is "" where no agent has vouched for the
    data set yet (a plain etcd that is being adopted). `member_id` and `peer_urls` are filled in when
    the record is written: etcd derives a founder's id from its peer URL and the token."""

    name: str
    member_id: Id
    peer_urls: tuple[str, ...]
    incarnation: str = ""
    instance: str = ""
    volume: str = ""
    medium: Medium = Medium.PERSISTENT
    account: str = ""


class Origin(Enum):
    """Where a generation's first data came from."""

    NOTHING = "nothing"
    ADOPTED = "adopted"


class Verdict(Enum):
    """What a charter did with its number."""

    FOUNDS = "founds"
    BURNS = "burns"


@dataclass(frozen=True)
class Charter:
    """The immutable record that founds a generation or burns its number.

    `at` is wall-clock text for humans; nothing compares it. `evidence` is the sentence on which
    the claim was made.
    """

    number: int
    verdict: Verdict
    nonce: str
    token: str
    cluster_id: Id
    founders: tuple[Voter, ...]
    origin: Origin
    by: str
    at: str
    evidence: str


@dataclass(frozen=True)
class Roster:
    """A voter set about to be in force. Number 0 of a generation is its charter's founders."""

    generation: int
    seq: int
    nonce: str
    voters: tuple[Voter, ...]
    by: str
    at: str
    why: str
    confirmed: bool = False


@dataclass(frozen=True)
class RegistryView:
    """All that the registry says. `registry_id` is "" while no owner object exists.

    `charters` are sorted by number. `rosters` are those of the newest founded generation,
    sorted by seq, without number 0. `greetings` maps incarnation to the nonce its agent wrote:
    proof that we see the same store. `snapshots`: the store holds at least one snapshot, ours
    or the original operator's. `alive` is the leader's counter, None before its first beat.
    """

    registry_id: str = ""
    cluster: str = ""
    owner: str = ""
    charters: tuple[Charter, ...] = ()
    rosters: tuple[Roster, ...] = ()
    greetings: Mapping[str, str] = field(default_factory=dict)
    snapshots: bool = False
    alive: int | None = None


# ---------------------------------------------------------------- disk


class Data(Enum):
    """What lies at `member/` of the data directory."""

    ABSENT = "absent"
    PRESENT = "present"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class Join:
    """An accepted MemberAdd that still has to be started on an empty directory."""

    generation: int
    token: str
    cluster_id: Id
    member_id: Id
    initial_cluster: tuple[tuple[str, str], ...]
    """(name, peer URL) pairs, as `--initial-cluster` wants them."""


@dataclass(frozen=True)
class Stamp:
    """`eco/stamp.json`: whose data this is. Written before an agent reports anything.

    An empty directory's stamp has generation 0, no member id and only its incarnation.
    `started` is fsynced before the first exec of etcd on this data set: with it, a missing
    `member/` means the data was lost, never that it is new. `join` is an accepted join whose
    data set is not begun yet; the old data, if any, is set aside before it is started.
    `rosters` are the last rosters seen, so that a record never depends on the store alone.
    """

    name: str
    incarnation: str
    nonce: str
    cluster: str = ""
    registry_id: str = ""
    generation: int = 0
    token: str = ""
    member_id: Id = ""
    cluster_id: Id = ""
    volume: str = ""
    started: bool = False
    join: Join | None = None
    rosters: tuple[Roster, ...] = ()
    version: int = 1


@dataclass(frozen=True)
class Disk:
    """The data directory as read offline. Ids, term and index are of the WAL, "" and 0 when
    there is none or it could not be read; `damage` says what is wrong with it."""

    stamp: Stamp
    data: Data
    stamped: bool = True
    """False when a data set was found that carries no stamp: a plain etcd's."""
    member_id: Id = ""
    cluster_id: Id = ""
    last_term: int = 0
    last_index: int = 0
    damage: str = ""
    volume: str = ""
    size: int = 0
    """Bytes of the database while etcd runs; it grows while a snapshot from the leader comes in."""


# ---------------------------------------------------------------- etcd


class Exit(Enum):
    """Why etcd ended, as far as its exit status and last words tell."""

    ASKED = "we stopped it"
    REMOVED = "it was removed from the cluster"
    DAMAGED = "its data is damaged"
    PORT_BUSY = "an address it needs is in use"
    DISK = "the disk is full, read-only or failing"
    CRASHED = "it crashed"


@dataclass(frozen=True)
class Stopped:
    """etcd does not run. `failures` counts starts in a row that ended before it served;
    `not_before` is when the back-off allows the next start."""

    exit: Exit | None = None
    words: str = ""
    failures: int = 0
    not_before: float = 0.0


@dataclass(frozen=True)
class Running:
    """etcd runs, as our child or adopted from an earlier agent, since `since`."""

    pid: int
    since: float
    adopted: bool = False


Process: TypeAlias = Stopped | Running


@dataclass(frozen=True)
class Member:
    """A line of etcd's member list. `name` is "" until the member has published itself."""

    id: Id
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...] = ()
    is_learner: bool = False


@dataclass(frozen=True)
class MemberStatus:
    """One member's own answer to Status (served without quorum). `leader` is "" if it knows none.
    `raft_index` is the commit index: no measure of how long its log is."""

    member_id: Id
    cluster_id: Id
    leader: Id
    term: int
    raft_index: int
    applied_index: int
    revision: int
    is_learner: bool
    version: str = ""
    db_size: int = 0
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cluster:
    """A cluster as seen through etcd: `mine` is the answering member's status, `members` its
    list, `statuses` every *other* member's own answer, `readable` whether a linearizable read
    through the answering member succeeded at this look."""

    mine: MemberStatus
    members: tuple[Member, ...]
    readable: bool
    statuses: Mapping[Id, Sight[MemberStatus]] = field(default_factory=dict)


# ---------------------------------------------------------------- peers


class Holding(Enum):
    """What a node has to offer, in its own agent's words."""

    RUNNING = "running"
    HOLDING = "holding"
    EMPTY = "empty"
    LATE = "late"
    DAMAGED = "damaged"
    """Not startable, and its agent has given it up; the files are kept."""


@dataclass(frozen=True)
class Report:
    """What an agent says of itself on `/status`: what peers read is what humans read."""

    name: str
    incarnation: str
    nonce: str
    situation: str
    because: str
    holding: Holding
    generation: int = 0
    registry_id: str = ""
    cluster: str = ""
    member_id: Id = ""
    cluster_id: Id = ""
    leader: Id = ""
    volume: str = ""
    last_term: int = 0
    last_index: int = 0
    serving: bool = False
    """A linearizable read through this node succeeded lately."""
    is_learner: bool = False
    stopping: bool = False
    leaving: bool = False
    paused: bool = False
    ticket: str = ""
    """The instance this agent, as the leader's, lets stop now."""
    waiting: bool = False
    """It holds no usable data and wants to join."""
    progress: int = 0
    """Anything that grows while a learner catches up: applied index plus bytes received."""


# ---------------------------------------------------------------- the whole

NOT_RUNNING = Unknown("etcd does not run")
NOT_SERVED = Unknown("no peer serves")


@dataclass(frozen=True)
class Intent:
    """What people and supervisors ask of this node. `stopping_since` and `leaving_since` are on
    the observation's clock, None when not asked."""

    stopping_since: float | None = None
    leaving_since: float | None = None
    paused: bool = False


@dataclass(frozen=True)
class Observation:
    """Everything looked at in one look, with the time in it.

    `instance` is me as last listed: it outlives the provider, so that its silence does not blind
    a node whose job is to start its etcd. `peers` holds every other listed instance by name.
    `probes` (asked only while there is no charter) tells for each listed instance, me too, whether
    anything answers on its client or peer port. `mine` is my etcd's view; `theirs` is the newest
    generation's cluster as a serving peer
    shows it, fetched when my own etcd does not serve.
    """

    now: float
    me: str
    cluster: str
    group: Sight[Group]
    disk: Sight[Disk]
    process: Process
    registry: Sight[RegistryView]
    instance: Instance | None = None
    peer_url: str = ""
    """My advertised peer URL."""
    peers: Mapping[str, Sight[Report]] = field(default_factory=dict)
    probes: Mapping[str, Sight[bool]] = field(default_factory=dict)
    mine: Sight[Cluster] = NOT_RUNNING
    theirs: Sight[Cluster] = NOT_SERVED
    intent: Intent = Intent()

"""What follows from the facts: everything situations, steps and the vetting derive from a look.

Derived once per tick and never stored. Each property is three-valued where its facts are: it
names what is unknown and never takes it for absence.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from functools import cached_property

from eco.core.model import (
    Charter,
    Cluster,
    Data,
    Disk,
    Group,
    Holding,
    Id,
    Instance,
    Medium,
    Member,
    Observation,
    Presence,
    RegistryView,
    Report,
    Roster,
    Running,
    Verdict,
    Voter,
)
from eco.core.sight import Known


class Evidence(Enum):
    """What is known of one voter's data set."""

    ALIVE = "alive"
    HOLDING = "holding"
    DAMAGED = "damaged"
    WIPED = "wiped"
    GONE = "gone"
    UNKNOWN = "unknown"


LOST = frozenset({Evidence.DAMAGED, Evidence.WIPED, Evidence.GONE})


class View:
    """One observation, read."""

    def __init__(self, o: Observation) -> None:
        self.o = o

    # ------------------------------------------------------------ facts, or None when unknown

    @cached_property
    def group(self) -> Group | None:
        """The provider's group."""
        return self.o.group.value if isinstance(self.o.group, Known) else None

    @cached_property
    def registry(self) -> RegistryView | None:
        """The registry's content."""
        return self.o.registry.value if isinstance(self.o.registry, Known) else None

    @cached_property
    def disk(self) -> Disk | None:
        """My data directory."""
        return self.o.disk.value if isinstance(self.o.disk, Known) else None

    @cached_property
    def mine(self) -> Cluster | None:
        """The cluster as my own etcd shows it."""
        return self.o.mine.value if isinstance(self.o.mine, Known) else None

    @cached_property
    def theirs(self) -> Cluster | None:
        """The cluster as a serving peer's etcd shows it: the one of the newest charter, or while
        none can be read, of my data. Another cluster is nothing to join or to compare with."""
        theirs, due = self.o.theirs, self._due
        return theirs.value if isinstance(theirs, Known) and due in ("", theirs.value.mine.cluster_id) else None

    @cached_property
    def _due(self) -> Id:
        """The id of the cluster that is to serve, "" when it is not known."""
        if self.charter is not None:
            return self.charter.cluster_id
        return (self.disk.stamp.cluster_id or self.disk.cluster_id) if self.disk else ""

    @cached_property
    def reports(self) -> dict[str, Report]:
        """The peers that report, by name."""
        return {name: sight.value for name, sight in self.o.peers.items() if isinstance(sight, Known)}

    def presence(self, name: str) -> Presence | None:
        """What the provider says of a listed instance; None when it does not list it."""
        listed = {i.name: i.presence for i in self.group.instances} if self.group else {}
        return listed.get(name)

    def gone(self, voter: Voter) -> bool:
        """Whether the provider states that this voter's disk will not come back. A written list
        says so by leaving a name out, but only of a data set that an agent under that name has
        vouched for: a plain etcd being adopted may go by another name."""
        if self.group is None or self.presence(voter.name) is not None:
            return self.presence(voter.name) is Presence.GONE
        return voter.name in self.group.gone or (self.group.operated and voter.incarnation != "")

    # ------------------------------------------------------------ generations and voter sets

    @cached_property
    def charter(self) -> Charter | None:
        """The newest founding charter."""
        if self.registry is None:
            return None
        founding = [c for c in self.registry.charters if c.verdict is Verdict.FOUNDS]
        return founding[-1] if founding else None

    @cached_property
    def newest(self) -> int:
        """The newest generation known to registry, peers of this registry, and my stamp."""
        known = [self.charter.number] if self.charter else []
        if self.disk is not None:
            known.append(self.disk.stamp.generation)
            ours = self.disk.stamp.registry_id
            known += [r.generation for r in self.reports.values() if ours and r.registry_id == ours]
        return max(known, default=0)

    @property
    def foreign(self) -> bool:
        """The registry is known to belong to another owner than this group."""
        owner, identity = self.registry.owner if self.registry else "", self.group.identity if self.group else ""
        return "" not in (owner, identity) and owner != identity

    @cached_property
    def my_charter(self) -> Charter | None:
        """The founding charter of the data I hold, by its cluster id."""
        if self.registry is None or self.disk is None:
            return None
        cluster_id = self.disk.cluster_id or self.disk.stamp.cluster_id
        for charter in reversed(self.registry.charters):
            if charter.verdict is Verdict.FOUNDS and charter.cluster_id == cluster_id:
                return charter
        return None

    @cached_property
    def generation(self) -> int:
        """The generation of the data I hold; 0 when it has none yet."""
        if self.disk is None:
            return 0
        if self.disk.stamp.generation:
            return self.disk.stamp.generation
        return self.my_charter.number if self.my_charter else 0

    @cached_property
    def rosters(self) -> tuple[Roster, ...]:
        """The newest generation's rosters, of the registry or of my stamp, whichever is longer."""
        known = self.registry.rosters if self.registry else ()
        if self.disk is not None and self.disk.stamp.generation == self.newest:
            last = known[-1].seq if known else 0
            known += tuple(r for r in self.disk.stamp.rosters if r.generation == self.newest and r.seq > last)
        return known

    @cached_property
    def pending(self) -> tuple[Roster, ...]:
        """The rosters since the last confirmed one."""
        confirmed = [at for at, roster in enumerate(self.rosters) if roster.confirmed]
        return self.rosters[confirmed[-1] + 1 :] if confirmed else self.rosters

    @cached_property
    def voter_sets(self) -> tuple[tuple[Voter, ...], ...]:
        """Every voter set that may be in force: the last confirmed one and all written since."""
        confirmed = [roster.voters for roster in self.rosters if roster.confirmed]
        base = confirmed[-1] if confirmed else (self.charter.founders if self.charter else ())
        return tuple(voters for voters in (base, *(r.voters for r in self.pending)) if voters)

    @cached_property
    def recorded(self) -> dict[Id, Voter]:
        """Every voter that charter or rosters of the newest generation name, newest record wins."""
        founders = self.charter.founders if self.charter else ()
        named = [*founders, *(voter for roster in self.rosters for voter in roster.voters)]
        return {voter.member_id: voter for voter in named}

    # ------------------------------------------------------------ evidence

    def evidence(self, voter: Voter) -> Evidence:
        """What is known of this voter's data set. Life contradicts every other statement."""
        if self._answers(voter):
            return Evidence.ALIVE
        if voter.name == self.o.me:
            return self._my_evidence(voter)
        report = self.reports.get(voter.name)
        if report is not None:
            return _told(report, voter)
        return Evidence.GONE if self.gone(voter) else Evidence.UNKNOWN

    def alive(self, voter: Voter) -> bool:
        """Whether this voter's etcd is seen to run."""
        return self.evidence(voter) is Evidence.ALIVE

    def _answers(self, voter: Voter) -> bool:
        """Whether its etcd answers, whichever cluster that is."""
        seen = [sight.value for sight in (self.o.mine, self.o.theirs) if isinstance(sight, Known)]
        answering = {i for cluster in seen for i, status in cluster.statuses.items() if isinstance(status, Known)}
        return voter.member_id != "" and voter.member_id in answering | {cluster.mine.member_id for cluster in seen}

    def _my_evidence(self, voter: Voter) -> Evidence:
        if self.disk is None:
            return Evidence.UNKNOWN
        stamp = self.disk.stamp
        same = self.my_id == voter.member_id or (voter.incarnation and stamp.incarnation == voter.incarnation)
        if same and self.disk.data is Data.PRESENT:
            return Evidence.HOLDING
        if same and self.disk.data is Data.DAMAGED:
            return Evidence.DAMAGED
        if same and not stamp.started:
            return Evidence.HOLDING
        return Evidence.WIPED if self.holding is Holding.EMPTY else Evidence.UNKNOWN

    @cached_property
    def lost(self) -> frozenset[Id]:
        """The recorded voters that are proven lost."""
        return frozenset(i for i, voter in self.recorded.items() if self.evidence(voter) in LOST)

    @cached_property
    def holding(self) -> Holding:
        """What I have to offer. An empty directory is `EMPTY` only on the expected volume and while it
        was never given a role: else, and while the registry cannot be asked, it is `LATE`."""
        if isinstance(self.o.process, Running):
            return Holding.RUNNING
        if self.disk is None:
            return Holding.LATE
        if self.disk.data is Data.DAMAGED:
            return Holding.DAMAGED
        if self.disk.data is Data.PRESENT:
            return Holding.HOLDING
        if self.disk.stamp.started or self.disk.stamp.join is not None:
            return Holding.LATE
        return Holding.EMPTY if self.registry is not None and self._volume_expected else Holding.LATE

    @cached_property
    def _volume_expected(self) -> bool:
        """A voter set that may be in force expects me on the volume it names; a set of the past does not."""
        records = [voter for voters in self.voter_sets for voter in voters if voter.name == self.o.me]
        if not records or self.disk is None:
            return True
        last, volume = records[-1], self.my_volume
        ephemeral = Medium.EPHEMERAL in (last.medium, self.group.medium if self.group else last.medium)
        return ephemeral or last.incarnation == self.disk.stamp.incarnation or volume == last.volume != ""

    @cached_property
    def my_volume(self) -> str:
        """The volume identity of my data directory: the provider's word, else the filesystem's. While
        the provider is silent, what my stamp says of it stands."""
        if self.disk is None:
            return self.group.volume if self.group else ""
        told = self.group.volume if self.group else self.disk.stamp.volume
        return told or self.disk.volume

    # ------------------------------------------------------------ my cluster

    @cached_property
    def serving(self) -> bool:
        """I am a voter, a leader is known, and a linearizable read just worked."""
        mine = self.mine
        return mine is not None and mine.readable and mine.mine.leader != "" and not mine.mine.is_learner

    @cached_property
    def leading(self) -> bool:
        """My member is the leader of a cluster that serves."""
        return self.serving and self.mine is not None and self.mine.mine.leader == self.mine.mine.member_id

    @cached_property
    def cluster(self) -> Cluster | None:
        """The best view of the cluster: mine while I serve, else a serving peer's, else mine."""
        return self.mine if self.serving else self.theirs or self.mine

    @cached_property
    def quorum_seen(self) -> bool:
        """A linearizable read worked at this look, here or at a peer."""
        return self.serving or (self.theirs is not None and self.theirs.readable)

    @cached_property
    def voters(self) -> tuple[Member, ...]:
        """Etcd's voters in that view."""
        return tuple(m for m in self.cluster.members if not m.is_learner) if self.cluster else ()

    @cached_property
    def learners(self) -> tuple[Member, ...]:
        """Etcd's learners in that view."""
        return tuple(m for m in self.cluster.members if m.is_learner) if self.cluster else ()

    @cached_property
    def my_id(self) -> Id:
        """My member id, of my etcd, my stamp or my log; "" when none of them tells. Another node's
        data set in my directory does not make me its member."""
        if self.mine is not None:
            return self.mine.mine.member_id
        if self.disk is not None and self.disk.stamped and self.disk.stamp.name not in ("", self.o.me):
            return ""
        return (self.disk.stamp.member_id or self.disk.member_id) if self.disk else ""

    @cached_property
    def my_member(self) -> Member | None:
        """My line of the member list."""
        return next((m for m in (*self.voters, *self.learners) if m.id == self.my_id), None)

    @cached_property
    def removed(self) -> bool:
        """The cluster of my data serves and does not list my member any more. Both ids have to be
        known: a member that cannot be named has not been removed."""
        if self.theirs is None or not self.theirs.readable or self.disk is None or not self.my_id:
            return False
        ours = self.mine.mine.cluster_id if self.mine else self.disk.stamp.cluster_id or self.disk.cluster_id
        return ours == self.theirs.mine.cluster_id and self.my_id not in {m.id for m in self.theirs.members}

    @cached_property
    def healthy(self) -> frozenset[Id]:
        """The members that answer for themselves and follow the leader we know."""
        cluster = self.cluster
        if cluster is None:
            return frozenset()
        answers = [s.value for s in cluster.statuses.values() if isinstance(s, Known)]
        up = {s.member_id for s in answers if s.leader and s.leader == cluster.mine.leader}
        return frozenset(up | {cluster.mine.member_id})

    def instance_of(self, member: Member) -> Instance | None:
        """The listed instance behind a member: the one whose agent has vouched for its data, else
        the one at its peer URL (addresses are used again), else the one of its published name."""
        recorded, instances = self.recorded.get(member.id), self.group.instances if self.group else ()
        if recorded is not None and recorded.incarnation:
            return next((i for i in instances if i.name == recorded.name), None)
        named = next((i for i in instances if i.name == member.name), None)
        return self.instance_at(member.peer_urls) or named

    def instance_at(self, peer_urls: tuple[str, ...]) -> Instance | None:
        """The listed instance whose peer address is among these URLs."""
        for instance in self.group.instances if self.group else ():
            if any(url.split("://", 1)[-1] == authority(instance) for url in peer_urls):
                return instance
        return None

    def name_of(self, member: Member) -> str:
        """What to call a member: its instance's name, its record's, its own, else its id."""
        instance = self.instance_of(member)
        if instance is not None:
            return instance.name
        recorded = self.recorded.get(member.id)
        return (recorded.name if recorded else "") or member.name or member.id

    def records(self, members: tuple[Member, ...]) -> tuple[Voter, ...]:
        """Members as the voters of a roster, sorted by name."""
        return tuple(sorted((self.record_of(member) for member in members), key=lambda voter: voter.name))

    def record_of(self, member: Member) -> Voter:
        """The member as a voter: what the rosters know, brought up to date by a report or me."""
        name = self.name_of(member)
        known = self.recorded.get(member.id) or Voter(name, member.id, member.peer_urls)
        known = replace(known, name=name, instance=name, peer_urls=member.peer_urls)
        if self.group is not None:
            known = replace(known, medium=self.group.medium, account=self.group.identity)
        report = self.reports.get(name)
        if report is not None and report.member_id == member.id and report.incarnation:
            return replace(known, incarnation=report.incarnation, volume=report.volume or known.volume)
        stamp = self.disk.stamp if self.disk else None
        if stamp is not None and stamp.member_id == member.id:
            return replace(known, incarnation=stamp.incarnation, volume=self.my_volume or known.volume)
        return known


def authority(instance: Instance) -> str:
    """`host:peer-port` of an instance as it stands in a URL; IPv6 addresses in brackets."""
    host = f"[{instance.address}]" if ":" in instance.address else instance.address
    return f"{host}:{instance.peer_port}"


def _told(report: Report, voter: Voter) -> Evidence:
    same = report.incarnation == voter.incarnation or (not voter.incarnation and report.member_id == voter.member_id)
    match report.holding:
        case Holding.RUNNING:
            return Evidence.ALIVE if same or report.member_id == voter.member_id else Evidence.UNKNOWN
        case Holding.HOLDING:
            return Evidence.HOLDING if same else Evidence.UNKNOWN
        case Holding.DAMAGED:
            return Evidence.DAMAGED if same else Evidence.UNKNOWN
        case Holding.EMPTY if voter.incarnation:
            return Evidence.HOLDING if same else Evidence.WIPED
        case Holding.EMPTY:
            return Evidence.UNKNOWN  # no agent ever vouched that the data set lay in this directory
        case Holding.LATE:
            return Evidence.UNKNOWN

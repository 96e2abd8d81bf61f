"""Members: joining, healing, resizing (docs/design.md 8.2, 8.3, 8.5).

Voters are changed by the leader's agent alone, one change in flight, the roster written first;
everything else a node does to itself. A change passes three looks: the roster of the voters it
will bring about is written, then the change is made, then the roster is confirmed. Whatever
happened in between, the next look compares etcd's list with the pending roster and goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eco.core.model import (
    Data,
    Disk,
    Id,
    Instance,
    Join,
    Member,
    MemberStatus,
    Presence,
    Report,
    Running,
    Stopped,
    Voter,
)
from eco.core.quorum import has_quorum
from eco.core.seeding import listed
from eco.core.sight import Known
from eco.core.steps import (
    AddSelf,
    ConfirmRoster,
    Hold,
    MoveLeader,
    Promote,
    RemoveMember,
    SetAside,
    Start,
    Step,
    Stop,
    WriteRoster,
)
from eco.core.view import LOST, Evidence, View

if TYPE_CHECKING:
    from eco.core.decision import Memory
    from eco.core.policy import Policy


@dataclass(frozen=True)
class Change:
    """A change of voters, and the voters it brings about."""

    step: RemoveMember | Promote
    voters: tuple[Member, ...]


# ---------------------------------------------------------------- the leader's agent


def look_after(view: View, memory: Memory, policy: Policy) -> Step | None:
    """What the leader's agent does for the members now; None when all is well."""
    cast_out = _useless_learner(view, memory, policy)
    if cast_out is not None:
        return cast_out
    if view.registry is None:
        return Hold("no change of voters while the registry cannot be reached") if view.learners else None
    if view.charter is None or view.mine is None or view.charter.cluster_id != view.mine.mine.cluster_id:
        return None
    change = next_change(view, memory, policy)
    if isinstance(change, MoveLeader):
        return change
    return _carry_out(view, change)


def _carry_out(view: View, change: Change | None) -> Step | None:
    """The roster first, then the change, then the confirmation."""
    if view.charter is None:
        return None
    now = {member.id for member in view.voters}
    records = view.records(view.voters)
    last = view.rosters[-1] if view.rosters else None
    seq = last.seq + 1 if last else 1
    if view.pending and last is not None:
        if {v.member_id for v in last.voters} == now:
            return ConfirmRoster(last, f"etcd's voters are those of roster {last.seq}")
        if change is None:
            return WriteRoster(view.charter.number, seq, records, f"roster {last.seq} is not wanted any more")
    if change is None:
        return _refresh(view, records, seq)
    then = view.records(change.voters)
    if view.pending and last is not None and {v.member_id for v in last.voters} == {v.member_id for v in then}:
        return change.step
    return WriteRoster(view.charter.number, seq, then, f"before this change: {change.step.because}")


def _refresh(view: View, records: tuple[Voter, ...], seq: int) -> WriteRoster | None:
    """A roster with the same voters, when what is recorded of one of them has become better."""
    if view.charter is None:
        return None
    outdated = [v.name for v in records if view.recorded.get(v.member_id) != v]
    if not outdated:
        return None
    return WriteRoster(view.charter.number, seq, records, f"what is recorded of {listed(outdated)} has changed")


def next_change(view: View, memory: Memory, policy: Policy) -> Change | MoveLeader | None:
    """The one change of voters that is due: the dead go first, then the new come, then those
    that leave go, then the silent when somebody waits to replace them."""
    lost = {m: said for m in view.voters if (said := view.evidence(view.record_of(m))) in LOST}
    for member, evidence in lost.items():
        # The provider may be wrong about a living member, and one look without its answer proves nothing.
        if evidence is not Evidence.GONE or memory.silence(member.id, view.o.now) >= policy.leaderless:
            return _removal(view, member, f"its data is lost: {evidence.value}")
    for member in view.learners if not lost else ():
        promotion = _promotion(view, member, policy)
        if promotion is not None:
            return promotion
    for member in view.voters:
        reason = reason_to_leave(view, member)
        if reason:
            return _farewell(view, member, reason)
    return _replacement(view, memory, policy)


def reason_to_leave(view: View, member: Member) -> str:
    """Why a living member is to be removed, in the provider's or its own agent's words; ""."""
    name = view.name_of(member)
    presence = view.presence(name)
    report = view.reports.get(name)
    if presence is Presence.LEAVING:
        return "the provider is taking its instance away"
    if view.group is not None and view.group.operated and view.gone(view.record_of(member)):
        return "an operator took it off the list"
    if report is not None and report.leaving and report.member_id == member.id:
        return "it asked to leave"
    return ""


def _removal(view: View, member: Member, because: str) -> Change | None:
    rest = tuple(m for m in view.voters if m.id != member.id)
    if not rest or not has_quorum([m.id for m in rest], view.healthy):
        return None
    name = view.name_of(member)
    return Change(RemoveMember(member.id, name, is_learner=False, because=f"remove {name}: {because}"), rest)


def _farewell(view: View, member: Member, because: str) -> Change | MoveLeader | None:
    """Removal of a member that lives. The leader hands over first, and the new leader's agent
    removes it."""
    if view.mine is None or member.id != view.mine.mine.member_id:
        return _removal(view, member, because)
    heir = successor(view)
    return MoveLeader(heir.id, view.name_of(heir), f"I am to leave: {because}") if heir else None


def _promotion(view: View, learner: Member, policy: Policy) -> Change | None:
    """Promote a learner that is close by our own measure; never while a voter is lost."""
    name = view.name_of(learner)
    status = _status(view, learner.id)
    if status is None or view.mine is None or not learner.name or learner.id not in view.healthy:
        return None
    if view.presence(name) not in (Presence.PRESENT, None) or _leaves(view.reports.get(name)):
        return None
    if not view.record_of(learner).incarnation:
        return None  # a voter is recorded by what its own agent says of its data and its volume
    lag = view.mine.mine.raft_index - status.applied_index
    voters = (*view.voters, learner)
    # A promotion that is written down is not taken back over a swing of the lag: rosters are for ever.
    written = any(v.member_id == learner.id for roster in view.pending[-1:] for v in roster.voters)
    if lag > policy.learner_lag * (4 if written else 1) or not has_quorum([m.id for m in voters], view.healthy):
        return None
    return Change(Promote(learner.id, name, f"{name} has caught up ({max(lag, 0)} entries behind)"), voters)


def _leaves(report: Report | None) -> bool:
    return report is not None and (report.leaving or report.stopping)


def _replacement(view: View, memory: Memory, policy: Policy) -> Change | None:
    """A voter that is silent for longer than the ttl, when somebody waits to take its place."""
    waiting = [name for name, report in view.reports.items() if report.waiting]
    for member in view.voters:
        silence = memory.silence(member.id, view.o.now)
        report = view.reports.get(view.name_of(member))
        paused = report is not None and report.paused
        if silence < policy.unhealthy_member_ttl or not waiting or paused:
            continue
        silent = f"silent for {silence:.0f} s, and {listed(sorted(waiting))} waits to replace it"
        return _removal(view, member, silent)
    return None


def _useless_learner(view: View, memory: Memory, policy: Policy) -> RemoveMember | None:
    for member in view.learners:
        name = view.name_of(member)
        _, since = memory.learners.get(member.id, (0, view.o.now))
        stuck = view.o.now - since >= policy.learner_patience
        told = reason_to_leave(view, member)
        if stuck or told:
            why = told or f"it has made no progress for {view.o.now - since:.0f} s"
            return RemoveMember(member.id, name, is_learner=True, because=f"remove the learner {name}: {why}")
    return None


def _status(view: View, member: Id) -> MemberStatus | None:
    sight = view.mine.statuses.get(member) if view.mine else None
    return sight.value if isinstance(sight, Known) else None


def successor(view: View) -> Member | None:
    """The voter to hand leadership to: it answers, follows me, its agent lives and it stays."""
    mine = view.mine
    if mine is None:
        return None
    fit = [
        m
        for m in view.voters
        if m.id != mine.mine.member_id and m.id in view.healthy and m.id != mine.mine.leader and _stays(view, m)
    ]
    manned = [m for m in fit if view.name_of(m) in view.reports]
    return next(iter(sorted(manned, key=lambda m: -_index(view, m)) or fit), None)


def _stays(view: View, member: Member) -> bool:
    report = view.reports.get(view.name_of(member))
    return not reason_to_leave(view, member) and not (report is not None and report.stopping)


def _index(view: View, member: Member) -> int:
    status = _status(view, member.id)
    return status.raft_index if status else 0


# ---------------------------------------------------------------- oneself


def rejoin(view: View) -> Step:
    """The way of a node without usable data into the cluster that serves: my earlier voter entry
    is removed by the leader's agent (my emptiness is the proof), I am added as a learner, old
    data is set aside only then, and etcd starts empty."""
    cluster, charter, disk, me = view.theirs, view.charter, view.disk, view.o.instance
    if cluster is None or charter is None or disk is None or me is None:
        return Hold("joining needs the serving cluster, the registry, my data directory and my own address")
    if view.presence(view.o.me) not in (Presence.PRESENT, None):
        return Hold("the provider does not list me as present: I do not join")
    if isinstance(view.o.process, Running):
        return Stop("my data is no longer part of the cluster: stop etcd before joining anew")
    join = disk.stamp.join
    if join is not None and join.generation == charter.number and join.member_id in {m.id for m in view.learners}:
        return _begin(view, join, disk)
    return _ask_to_join(view, me)


def _begin(view: View, join: Join, disk: Disk) -> Step:
    process = view.o.process
    if isinstance(process, Stopped) and process.not_before > view.o.now:
        return Hold(f"etcd ended ({process.words}); next try in {process.not_before - view.o.now:.0f} s")
    if disk.data is not Data.ABSENT or disk.stamp.started:
        return SetAside("rejoin", "my join was accepted: set the old data aside")
    return Start("my join was accepted: start as a learner", join=join)


def _ask_to_join(view: View, me: Instance) -> Step:
    if view.theirs is None or view.charter is None:
        return Hold("no cluster serves")
    mine = [m for m in view.theirs.members if m.name == me.name or view.instance_at(m.peer_urls) == me]
    mine += [m for m in view.theirs.members if m not in mine and m.id == view.my_id]
    voters = [m for m in mine if not m.is_learner]
    if voters:
        return Hold(f"awaiting the leader's agent: my earlier entry {voters[0].id} is still a voter")
    busy = [view.name_of(m) for m in view.learners if m not in mine]
    if busy:
        return Hold(f"{listed(busy)} is joining; etcd takes one learner at a time")
    staying = [m for m in view.voters if not reason_to_leave(view, m)]
    if view.group is not None and len(staying) >= view.group.desired:
        return Hold(f"the cluster has its {view.group.desired} members; I wait to replace one")
    if view.group is None and view.disk is not None and view.disk.data is not Data.ABSENT:
        return Hold("my member was removed or is of no use; the provider has to list me before I join anew")
    if view.foreign:
        return Hold("the registry belongs to another owner")
    url = view.o.peer_url
    ghosts = [m for m in mine if not m.name and url in m.peer_urls]
    ghost = ghosts[0].id if ghosts else ""
    stale = tuple(m.id for m in mine if m.id != ghost)
    because = "adopt my unstarted learner entry" if ghost else "join the cluster as a learner"
    return AddSelf(url, view.charter.number, view.charter.token, because, ghost=ghost, stale=stale)

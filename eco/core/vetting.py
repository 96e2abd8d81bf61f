"""The vetting: an independent check of a step against the safety rules (docs/design.md section 7).

It knows nothing of situations or of how a step was chosen. It reads the same facts and asks one
question of each kind of step: which fact would make this a mistake, and is it known to be
otherwise? Unknown is never good enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from eco.core.model import Data, Holding, Origin, Presence, Running, Stopped
from eco.core.quorum import has_quorum
from eco.core.sight import Known
from eco.core.steps import (
    AddSelf,
    Adopt,
    ConfirmRoster,
    Enrol,
    Found,
    Hold,
    MoveLeader,
    Promote,
    RemoveMember,
    Restart,
    SetAside,
    Start,
    Step,
    Stop,
    UpdatePeerUrl,
    WriteRoster,
)
from eco.core.view import LOST, Evidence, View

if TYPE_CHECKING:
    from eco.core.decision import Memory
    from eco.core.model import Disk, Member, RegistryView, Voter
    from eco.core.policy import Policy


def vet(step: Step, view: View, memory: Memory, policy: Policy) -> str:  # noqa: C901, PLR0912 - one case a step
    """Why this step must not be taken now, naming the rule; "" when nothing forbids it."""
    match step:
        case Hold():
            return ""
        case Found():
            return _found(step, view)
        case Start():
            return _start(step, view)
        case Restart():
            return _restart(view)
        case Stop():
            return _stop(view, memory, policy)
        case SetAside():
            return _set_aside(view)
        case AddSelf():
            return _add_self(step, view)
        case Promote():
            return _promote(step, view)
        case RemoveMember():
            return _remove(step, view, memory, policy)
        case UpdatePeerUrl():
            return _update(step, view)
        case MoveLeader():
            return _move(step, view)
        case WriteRoster():
            return _roster(step, view)
        case ConfirmRoster():
            same = view.leading and {v.member_id for v in step.roster.voters} == {m.id for m in view.voters}
            return "" if same else "I5: etcd's voters are not those of the roster"
        case Adopt():
            return _adopt(step, view)
        case Enrol():
            ours = view.charter is not None and view.charter.cluster_id == step.cluster_id
            return "" if ours and view.serving else "I3: the charter is not of the cluster that serves here"
        case _:
            assert_never(step)


def _found(step: Found, view: View) -> str:  # noqa: C901 - the one act that must not happen twice
    registry, group = view.registry, view.group
    if registry is None or group is None or view.disk is None:
        return "I4: registry, provider or my own disk is unknown"
    if step.number != max((c.number for c in registry.charters), default=0) + 1:
        return f"I3: {step.number} is not the next number"
    if registry.snapshots:
        return "I1: the store holds snapshots"
    founded = view.charter is not None and (view.rosters or view.charter.origin is not Origin.NOTHING)
    if registry.alive is not None or founded:
        return "I4: a cluster has lived under this registry"
    if view.charter is not None and any(view.evidence(v) not in LOST for v in view.charter.founders):
        return "I4: a founder of the earlier generation may live"
    if view.foreign:
        return "I3: the registry belongs to another owner"
    present = {i.name for i in group.instances if i.presence is Presence.PRESENT}
    if any(r.holding is not Holding.EMPTY for name, r in view.reports.items() if name in present):
        return "I4: a peer holds data, or may"
    if any(r.holding is Holding.RUNNING or r.serving for r in view.reports.values()):
        return "I4: a peer's etcd runs"
    if any(not isinstance(p, Known) or p.value for name, p in view.o.probes.items() if name in present):
        return "I4: something answers, or may answer, on an etcd port"
    named = {v.name: v.incarnation for v in step.founders}
    empty = {name: r.incarnation for name, r in view.reports.items()} | {view.o.me: view.disk.stamp.incarnation}
    if set(named) != present or len(present) < group.desired or not present <= set(view.o.probes):
        return "I4: the founders are not all of the desired instances"
    if any(empty.get(name) != incarnation for name, incarnation in named.items()):
        return "I4: a founder does not report"
    if view.disk.data is not Data.ABSENT or view.holding is not Holding.EMPTY:
        return "I4: my own disk is not known to be empty"
    return _greeted(step.founders, registry)


def _greeted(founders: tuple[Voter, ...], registry: RegistryView) -> str:
    unseen = [v.name for v in founders if v.incarnation not in registry.greetings]
    return f"I3: {unseen[0]} was not seen in this registry: it may look at another" if unseen else ""


def _adopt(step: Adopt, view: View) -> str:
    if not view.serving or view.registry is None or view.disk is None:
        return "I3: only a cluster that serves is registered, in a registry that can be read"
    mine = view.disk.stamp.generation or 1
    if step.number != mine or any(c.number >= mine for c in view.registry.charters):
        return "I3: the registry holds a charter of this generation, or of a newer one"
    return ""


def _start(step: Start, view: View) -> str:
    disk = view.disk
    if disk is None or not isinstance(view.o.process, Stopped):
        return "I3: my data directory is unknown, or etcd runs"
    stamp = disk.stamp
    if step.charter is not None or step.join is not None:
        if disk.data is not Data.ABSENT or stamp.started:
            return "I1: a first start needs a data set that was never started"
        named = step.charter is None or stamp.incarnation in {v.incarnation for v in step.charter.founders}
        newest = step.charter is None or view.charter == step.charter
        joined = step.join is None or stamp.join == step.join
        if not (named and newest and joined):
            return "I3: neither the newest charter nor an accepted join names me"
        return _greeted(step.charter.founders, view.registry) if step.charter and view.registry else ""
    if disk.data is not Data.PRESENT or stamp.join is not None:
        return "I1: there is no data to start on, or it is to be set aside"
    if stamp.cluster and stamp.cluster != view.o.cluster:
        return "I3: the data is of another cluster"
    if view.generation and view.generation < view.newest:
        return "I3: a newer generation was founded"
    return _whose(disk, view)


def _whose(disk: Disk, view: View) -> str:
    stamp, registry = disk.stamp, view.registry
    if disk.stamped and stamp.name != view.o.me:
        return f"I3: the data is of {stamp.name}"
    if _differ(stamp.cluster_id, disk.cluster_id) or _differ(stamp.member_id, disk.member_id):
        return "I3: the log is not of the member that the stamp names"
    if registry is None:
        unvouched = "I3: data without a stamp is started only when the registry can be asked whose it is"
        return "" if disk.stamped else unvouched
    if _differ(stamp.registry_id, registry.registry_id):
        return "I3: the data is of another registry"
    unnamed = not stamp.generation and view.charter is not None and view.my_charter is None
    return "I3: no charter names this data" if unnamed else ""


def _differ(one: str, other: str) -> bool:
    return "" not in (one, other) and one != other


def _restart(view: View) -> str:
    if view.serving or view.theirs is None or not view.theirs.readable:
        return "I9: an etcd is restarted only while others serve without it"
    if not has_quorum([m.id for m in view.voters], view.healthy - {view.my_id}):
        return "I5: without this member there may be no quorum"
    disk = view.disk
    held = disk is not None and disk.data is Data.PRESENT and disk.stamp.join is None
    return "" if held else "I1: there is no data to start on again"


def _stop(view: View, memory: Memory, policy: Policy) -> str:
    if view.o.intent.stopping_since is not None or view.o.intent.leaving_since is not None:
        return ""
    if view.serving:
        return "I9: a linearizable read through this etcd just worked"
    unserved = view.o.now - memory.unserved_since if memory.unserved_since is not None else 0.0
    if not view.removed and unserved < policy.leaderless:
        return "I9: this etcd may serve again at the next look"
    return ""


def _set_aside(view: View) -> str:
    disk = view.disk
    if disk is None or isinstance(view.o.process, Running):
        return "I6: my data directory is unknown, or etcd runs on it"
    if disk.data is Data.ABSENT:
        return "" if disk.stamp.started else "I6: this data set was never started"
    join = disk.stamp.join
    accepted = join is not None and view.theirs is not None and view.theirs.readable
    if not accepted or join is None or join.member_id not in {m.id for m in view.learners}:
        return "I6: data is set aside only after the serving cluster accepted my join"
    return ""


def _add_self(step: AddSelf, view: View) -> str:
    if view.theirs is None or not view.theirs.readable or view.charter is None:
        return "I5: no cluster is seen to serve"
    if view.foreign or step.generation != view.charter.number or view.theirs.mine.cluster_id != view.charter.cluster_id:
        return "I3: the cluster that serves is not the newest charter's"
    if any(step.peer_url in m.peer_urls or m.name == view.o.me for m in view.voters):
        return "I5: I am still a voter of an earlier incarnation"
    mine = {m.id for m in view.learners if step.peer_url in m.peer_urls or m.name == view.o.me}
    if not {i for i in (step.ghost, *step.stale) if i} <= mine | {view.my_id}:
        return "I5: a learner entry that is not mine"
    return "I9: my etcd runs" if isinstance(view.o.process, Running) else ""


def _promote(step: Promote, view: View) -> str:
    if view.lost & {m.id for m in view.voters}:
        return "I5: never promote while a voter is lost"
    after = {m.id for m in view.voters} | {step.member_id}
    if step.member_id not in {m.id for m in view.learners} or step.member_id not in view.healthy:
        return "I5: not a learner that follows the leader"
    return _change(view, after)


def _remove(step: RemoveMember, view: View, memory: Memory, policy: Policy) -> str:
    if step.is_learner:
        known = view.leading and step.member_id in {m.id for m in view.learners}
        return "" if known else "I5: not a learner of a cluster that I lead"
    target = next((m for m in view.voters if m.id == step.member_id), None)
    if target is None or view.mine is None or target.id == view.mine.mine.member_id:
        return "I5: not another voter of a cluster that I lead"
    if not _may_go(view, memory, policy, target):
        return "I5: it is neither lost, nor leaving, nor silent for long enough"
    return _change(view, {m.id for m in view.voters} - {target.id})


def _may_go(view: View, memory: Memory, policy: Policy, target: Member) -> bool:
    voter = view.record_of(target)
    silence, evidence = memory.silence(target.id, view.o.now), view.evidence(voter)
    if evidence in LOST and (evidence is not Evidence.GONE or silence >= policy.leaderless):
        return True
    report = view.reports.get(voter.name)
    taken_off = view.group is not None and view.group.operated and view.gone(voter)
    ordered = view.presence(voter.name) is Presence.LEAVING or taken_off
    asked = report is not None and report.leaving and report.member_id == target.id
    silent = silence >= policy.unhealthy_member_ttl and not (report is not None and report.paused)
    return bool(ordered or asked or (silent and any(r.waiting for r in view.reports.values())))


def _change(view: View, after: set[str]) -> str:
    """What every change of voters has to meet: I lead, the roster is written, quorum holds."""
    if not view.leading or view.registry is None:
        return "I5: voters are changed by the leader's agent, with the registry in reach"
    if not view.pending or {v.member_id for v in view.pending[-1].voters} != after:
        return "I5: the roster of the voters after this change is not written"
    if not has_quorum(after, view.healthy):
        return "I5: the voters after this change would have no quorum that is seen to live"
    return ""


def _roster(step: WriteRoster, view: View) -> str:
    if not view.leading or view.registry is None or view.charter is None:
        return "I5: rosters are written by the leader's agent"
    if step.generation != view.charter.number or step.seq != (view.rosters[-1].seq if view.rosters else 0) + 1:
        return "I5: not the next roster of the newest generation"
    now, then = {m.id for m in view.voters}, {v.member_id for v in step.voters}
    if len(now ^ then) > 1 or len(then) != len(step.voters):
        return "I5: one change of voters at a time"
    if view.mine is None or view.mine.mine.member_id not in then or not then - now <= {m.id for m in view.learners}:
        return "I5: only a learner becomes a voter, and the leader does not remove itself"
    if then - now and view.lost & now:
        return "I5: never promote while a voter is lost"
    return (
        "" if then == now or has_quorum(then, view.healthy) else "I5: these voters have no quorum that is seen to live"
    )


def _update(step: UpdatePeerUrl, view: View) -> str:
    mine = view.my_member
    if mine is None or mine.id != step.member_id or not view.quorum_seen:
        return "I5: only my own address, and only in a cluster that serves"
    return "I5: a learner's address is never updated (old etcd turns it into a voter)" if mine.is_learner else ""


def _move(step: MoveLeader, view: View) -> str:
    fit = view.serving and step.to in {m.id for m in view.voters} and step.to in view.healthy
    return "" if fit else "I5: leadership goes to a voter that is seen to follow"

"""Situations: what a node finds itself in, tested in order, first match wins (docs/design.md section 5).

Each test returns the sentence that makes it true, or "". A test never turns an unknown into a
no: where a fact it depends on is unknown it does not match, and BLIND names what is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eco.core.decision import Memory
from eco.core.model import Data, Exit, Holding, Medium, Presence, Running, Stopped
from eco.core.quorum import broken_by
from eco.core.seeding import listed, obstacle_to_birth
from eco.core.sight import Unknown
from eco.core.view import LOST, View

if TYPE_CHECKING:
    from eco.core.policy import Policy


def leaving(view: View, _memory: Memory, _policy: Policy) -> str:
    """Scale-in, termination, or `eco leave`."""
    if view.o.intent.leaving_since is not None:
        return "asked to leave"
    if _takes_its_data_along(view):
        return "told to stop, and my disk does not outlive this: leave in order"
    return "the provider is taking this instance away" if view.presence(view.o.me) is Presence.LEAVING else ""


def _takes_its_data_along(view: View) -> bool:
    """A stop on an ephemeral medium is for good, unless the whole group stops (docs/design.md section 5)."""
    if view.o.intent.stopping_since is None or view.group is None or view.group.medium is not Medium.EPHEMERAL:
        return False
    names = {view.name_of(m) for m in view.voters} - {view.o.me}
    stopping = {name for name, report in view.reports.items() if report.stopping}
    return view.quorum_seen and bool(names - stopping)


def stopping(view: View, _memory: Memory, _policy: Policy) -> str:
    """SIGTERM or SIGINT."""
    return "told to stop" if view.o.intent.stopping_since is not None else ""


def paused(view: View, _memory: Memory, _policy: Policy) -> str:
    """The maintenance flag."""
    return "paused for maintenance: etcd is left alone" if view.o.intent.paused else ""


def alien(view: View, _memory: Memory, _policy: Policy) -> str:
    """Data of another cluster or registry, or a registry of another owner."""
    disk, registry, group = view.disk, view.registry, view.group
    if registry is not None and group is not None and registry.owner and group.identity not in ("", registry.owner):
        return f"the registry belongs to {registry.owner}, this group is {group.identity}"
    if disk is None or disk.data is Data.ABSENT:
        return ""
    stamp = disk.stamp
    if stamp.cluster and stamp.cluster != view.o.cluster:
        return f"the data directory belongs to cluster {stamp.cluster}, this is {view.o.cluster}"
    if stamp.cluster_id and disk.cluster_id and stamp.cluster_id != disk.cluster_id:
        return f"the data is of cluster id {disk.cluster_id}, its stamp says {stamp.cluster_id}"
    if registry is None:
        return ""
    if stamp.registry_id and registry.registry_id and stamp.registry_id != registry.registry_id:
        return f"the data belongs to registry {stamp.registry_id}, the store holds {registry.registry_id}"
    if not stamp.generation and view.charter is not None and disk.cluster_id and view.my_charter is None:
        return f"the data is of cluster id {disk.cluster_id}, which no charter in the store names"
    return ""


def contradiction(view: View, _memory: Memory, _policy: Policy) -> str:
    """Two lineages: mine serves, and a newer generation was founded."""
    if view.serving and view.charter is not None and 0 < view.generation < view.charter.number:
        return f"my etcd serves generation {view.generation}, and generation {view.charter.number} was founded"
    if view.serving and view.charter is not None and view.mine is not None and view.generation == 0:
        mine, theirs = view.mine.mine.cluster_id, view.charter.cluster_id
        return "" if mine == theirs else f"my etcd serves cluster {mine}, and the charter names cluster {theirs}"
    return ""


def chartered(view: View, _memory: Memory, _policy: Policy) -> str:
    """The newest charter names my incarnation, and I have not started."""
    disk, charter = view.disk, view.charter
    if disk is None or charter is None or disk.data is not Data.ABSENT or disk.stamp.started:
        return ""
    if isinstance(view.o.process, Running) or charter.number < view.newest:
        return ""
    if disk.stamp.incarnation not in {v.incarnation for v in charter.founders}:
        return ""
    dropped = view.theirs is not None and not any(
        m.id == v.member_id for v in charter.founders if v.incarnation == disk.stamp.incarnation for m in view.voters
    )
    return "" if dropped else f"charter {charter.number} names me as a founder"


def superseded(view: View, _memory: Memory, _policy: Policy) -> str:
    """My data is of an older generation, and does not serve."""
    if view.disk is None or view.disk.data is Data.ABSENT or view.serving:
        return ""
    if 0 < view.generation < view.newest:
        return f"my data is of generation {view.generation}; generation {view.newest} was founded"
    return ""


def serving(view: View, _memory: Memory, _policy: Policy) -> str:
    """Voter, leader known, a linearizable read works."""
    if not view.serving:
        return ""
    return "serving, as the leader" if view.leading else "serving"


def catching_up(view: View, _memory: Memory, _policy: Policy) -> str:
    """Learner of the cluster that serves."""
    if not isinstance(view.o.process, Running):
        return ""
    if view.mine is not None:
        return "a learner, catching up" if view.mine.mine.is_learner and view.mine.mine.leader else ""
    return "a learner, starting" if view.theirs and view.my_id in {m.id for m in view.learners} else ""


def degraded(view: View, _memory: Memory, _policy: Policy) -> str:
    """The cluster has quorum; my etcd runs and takes no part."""
    if isinstance(view.o.process, Running) and view.theirs is not None and view.theirs.readable:
        return "the cluster serves, and my member takes no part"
    return ""


def dormant(view: View, _memory: Memory, policy: Policy) -> str:
    """Valid data of the newest known generation, etcd not running."""
    disk, process = view.disk, view.o.process
    if disk is None or disk.data is not Data.PRESENT or not isinstance(process, Stopped):
        return ""
    if unusable(view, policy) or (not disk.stamped and view.registry is None):
        return ""
    return "my data is of the newest known generation, and etcd does not run"


def unusable(view: View, policy: Policy) -> str:
    """Why the data on my disk must not, or cannot, be started; "" when it can."""
    disk, process = view.disk, view.o.process
    if disk is None or disk.data is Data.ABSENT:
        return ""
    stamp = disk.stamp
    elsewhere = alien(view, Memory(), policy) or superseded(view, Memory(), policy)
    if elsewhere:
        return elsewhere
    if disk.data is Data.DAMAGED:
        return f"my data is damaged: {disk.damage}"
    if stamp.name and stamp.name != view.o.me and disk.stamped:
        return f"the data directory holds the data of {stamp.name}"
    if stamp.member_id and disk.member_id and stamp.member_id != disk.member_id:
        return f"the data is of member {disk.member_id}, its stamp says {stamp.member_id}"
    if stamp.join is not None:
        return "my join as a new member was accepted: this data is to be set aside"
    if view.removed:
        return "my member was removed from the cluster"
    return _ended(process, view, policy) if isinstance(process, Stopped) else ""


def _ended(process: Stopped, view: View, policy: Policy) -> str:
    """Why etcd, as it ended, must not be started again on the same data; "" when it may."""
    if process.exit is Exit.REMOVED and view.my_member is None:
        return "etcd says that its member was removed from the cluster"
    if process.exit is Exit.DAMAGED:
        return f"etcd calls its data damaged: {process.words}"
    # A wrong flag, rolled out node by node, must not cost one voter after the other: only the first
    # of a cluster at full strength is given up.
    whole = view.group is not None and len(view.voters) >= view.group.desired
    if process.exit is Exit.CRASHED and process.failures >= policy.give_up_starts and whole:
        return f"etcd failed to start {process.failures} times: {process.words}"
    return ""


def damaged(view: View, _memory: Memory, policy: Policy) -> str:
    """Data that cannot be started, while the cluster has quorum."""
    return unusable(view, policy) if view.theirs is not None and view.theirs.readable else ""


def absent(view: View, _memory: Memory, _policy: Policy) -> str:
    """No data, and the newest generation has quorum."""
    if view.disk is None or view.disk.data is not Data.ABSENT or isinstance(view.o.process, Running):
        return ""
    if view.theirs is None or not view.theirs.readable or view.charter is None:
        return ""
    begun = view.disk.stamp.started or view.disk.stamp.join is not None
    return "no data, and the cluster serves" if begun or view.holding is not Holding.LATE else ""


def reseeding(view: View, memory: Memory, policy: Policy) -> str:
    """No quorum serves, and the lost break a voter set that may be in force."""
    if view.registry is None or view.charter is None or view.quorum_seen:
        return ""
    if memory.leaderless_since is None or view.o.now - memory.leaderless_since < policy.leaderless:
        return ""
    for voters in view.voter_sets:
        lost = {v.member_id for v in voters if view.evidence(v) in LOST}
        if broken_by([v.member_id for v in voters], lost) and len(lost) < len(voters):
            gone = sorted(v.name for v in voters if v.member_id in lost)
            return f"{listed(gone)} of {len(voters)} voters are lost for good: quorum cannot come back"
    return ""


def bereft(view: View, memory: Memory, policy: Policy) -> str:
    """Everything is lost and there is nothing to restore from; the cluster once lived."""
    if view.registry is None or view.charter is None or view.quorum_seen or not view.voter_sets:
        return ""
    if any(view.evidence(v) not in LOST for voters in view.voter_sets for v in voters):
        return ""
    obstacle = obstacle_to_birth(view, memory, policy)
    lived = view.rosters or view.registry.alive is not None
    return f"every voter's data is lost: {obstacle}" if obstacle and lived else ""


def newborn(view: View, _memory: Memory, _policy: Policy) -> str:
    """No data, no charter; or a first generation that died at once."""
    if view.disk is None or view.disk.data is not Data.ABSENT or isinstance(view.o.process, Running):
        return ""
    if view.registry is None or view.group is None or view.holding is not Holding.EMPTY:
        return ""
    if view.charter is None:
        return "no data here, and no charter in the registry"
    founders = view.charter.founders
    return "the first generation died at once" if all(view.evidence(v) in LOST for v in founders) else ""


def blind(view: View, _memory: Memory, _policy: Policy) -> str:
    """Facts that the next decision needs are unknown, or my volume is not the expected one."""
    if isinstance(view.o.process, Running):
        return ""
    if isinstance(view.o.disk, Unknown):
        return f"my data directory: {view.o.disk.because}"
    disk = view.o.disk.value
    missing: list[str] = []
    if isinstance(view.o.registry, Unknown) and not (disk.data is Data.PRESENT and disk.stamped):
        missing.append(f"the registry: {view.o.registry.because}")
    if isinstance(view.o.group, Unknown) and disk.data is Data.ABSENT:
        missing.append(f"the provider: {view.o.group.because}")
    if missing:
        return "; ".join(missing)
    begun = disk.stamp.started or disk.stamp.join is not None
    if disk.data is Data.ABSENT and view.holding is Holding.LATE and not begun:
        return f"this directory is empty, and on volume {view.my_volume or 'unknown'}, not on the one recorded for me"
    return ""


def waiting_for_quorum(view: View, _memory: Memory, policy: Policy) -> str:
    """No quorum, and it may come back."""
    awaited = [v.name for v in (view.voter_sets or ((),))[-1] if v.name != view.o.me and not view.alive(v)]
    reason = unusable(view, policy)
    return f"{f'{reason}; ' if reason else ''}no quorum serves; awaiting {listed(sorted(awaited))}"

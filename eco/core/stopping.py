"""Leaving and stopping without a gap (docs/design.md 8.6): stops are serialised, leadership goes first.

The leader's agent lets one node stop at a time by naming it in its own report (`ticket`). When
all are stopping, the followers go first and the leader's node last. Everything is bounded: a
supervisor that asked for a stop gets one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eco.core.decision import Memory
from eco.core.membership import successor
from eco.core.model import Exit, Holding, Report, Running
from eco.core.quorum import has_quorum
from eco.core.seeding import listed
from eco.core.situation import dormant
from eco.core.steps import Hold, MoveLeader, Start, Step, Stop

if TYPE_CHECKING:
    from eco.core.policy import Policy
    from eco.core.view import View


def stop(view: View, memory: Memory, policy: Policy) -> Step:
    """The next step of a node that was told to stop."""
    since = view.o.intent.stopping_since or 0.0
    if not isinstance(view.o.process, Running):
        return Stop("told to stop; etcd does not run", then_exit=True)
    if not view.serving:
        return _unserving(view, memory, policy)
    waited = view.o.now - since
    if waited >= policy.stop_patience:
        return Stop(f"told to stop {waited:.0f} s ago; waiting no longer for a turn", then_exit=True)
    return _as_leader(view, memory, policy) if view.leading else _as_follower(view, waited, policy)


def _unserving(view: View, memory: Memory, policy: Policy) -> Step:
    """My etcd serves no linearizable read at this look. In an election that passes, and then a
    quorum may need me; it does not when I am no voter, or when all the others have stopped."""
    learner = view.my_member is not None and view.my_member.is_learner
    if learner or view.removed or (view.voters and everyone_stops(view, memory, policy)):
        return Stop("told to stop; nobody needs this node", then_exit=True)
    unserved = view.o.now - memory.unserved_since if memory.unserved_since is not None else 0.0
    if unserved < policy.ticket_patience:
        return Hold("told to stop; my etcd serves no read at this look, but may be needed for an election")
    return Stop(f"told to stop; this node has served nobody for {unserved:.0f} s", then_exit=True)


def _as_leader(view: View, memory: Memory, policy: Policy) -> Step:
    others = [m for m in view.voters if view.mine is None or m.id != view.mine.mine.member_id]
    if not others:
        return Stop("told to stop; I am the only voter", then_exit=True)
    if everyone_stops(view, memory, policy):
        running = [name for name in _voting_names(view) if name != view.o.me and _runs(view.reports.get(name))]
        if running:
            return Hold(f"all are stopping: the leader goes last, after {listed(running)}")
        return Stop("all others have stopped", then_exit=True)
    if memory.ticket != view.o.me:
        return Hold(f"{memory.ticket} is stopping: one at a time" if memory.ticket else _unaffordable(view))
    heir = successor(view)
    if heir is None:
        return Hold("told to stop, but nobody can take over leadership yet")
    return MoveLeader(heir.id, view.name_of(heir), "told to stop: hand leadership over first")


def _as_follower(view: View, waited: float, policy: Policy) -> Step:
    leader = next((m for m in view.voters if view.mine and m.id == view.mine.mine.leader), None)
    report = view.reports.get(view.name_of(leader)) if leader else None
    if report is not None and report.ticket == view.o.me:
        return Stop(f"told to stop, and {report.name} let me go", then_exit=True)
    if report is None and waited >= policy.ticket_patience:
        ahead = [n for n, r in view.reports.items() if r.stopping and n < view.o.me and _runs(r)]
        if not ahead and affordable(view, view.o.me):
            return Stop("told to stop; the leader's agent is silent, and quorum survives without me", then_exit=True)
    if report is not None and report.ticket:
        return Hold(f"told to stop; {report.ticket} goes first")
    return Hold(f"told to stop; awaiting my turn from {report.name if report else 'the leader, whose agent is silent'}")


def ticket(view: View, memory: Memory, policy: Policy) -> str:
    """Whom the leader's agent lets stop now; "" for nobody. A ticket lasts until its holder's etcd
    is seen stopped, or its holder does not want to stop any more."""
    if not view.leading:
        return ""
    wanting = sorted(_stopping(view))
    followers = [name for name in wanting if name != view.o.me and _runs(view.reports.get(name))]
    everyone = everyone_stops(view, memory, policy)
    if memory.ticket in followers or (memory.ticket == view.o.me in wanting and not everyone):
        return memory.ticket
    if everyone:
        return next(iter(followers), view.o.me)
    for name in (*followers, *(name for name in wanting if name == view.o.me)):
        if affordable(view, name):
            return name
    return ""


def affordable(view: View, name: str) -> bool:
    """Whether the voters keep quorum when this instance's member stops now."""
    up = {m.id for m in view.voters if m.id in view.healthy and view.name_of(m) != name}
    return has_quorum([m.id for m in view.voters], up)


def let_go(view: View, memory: Memory, ticket: str) -> frozenset[str]:
    """Whose turn it was. One that runs and does not want to stop has come back. It is kept when the
    last ones that stop lose their leader over it."""
    if not view.leading:
        return memory.let_go if view.o.intent.stopping_since is not None else frozenset()
    back = {name for name, report in view.reports.items() if _runs(report) and not report.stopping}
    return frozenset((memory.let_go | {ticket}) - back - {"", view.o.me})


def everyone_stops(view: View, memory: Memory, policy: Policy) -> bool:
    """Every voter has been told to stop, or has long been silent: no quorum is left to protect. One
    that gives no answer just now, or whose etcd is just being started again, may be well."""
    told = _stopping(view) | memory.let_go
    silent = {m.id for m in view.voters if memory.silence(m.id, view.o.now) >= policy.leaderless}
    return all(view.name_of(m) in told or m.id in silent for m in view.voters)


def _stopping(view: View) -> set[str]:
    told = {name for name, report in view.reports.items() if report.stopping}
    return told | ({view.o.me} if view.o.intent.stopping_since is not None else set())


def _voting_names(view: View) -> list[str]:
    return sorted(view.name_of(m) for m in view.voters)


def _runs(report: Report | None) -> bool:
    return report is not None and report.holding is Holding.RUNNING


def _unaffordable(view: View) -> str:
    down = [view.name_of(m) for m in view.voters if m.id not in view.healthy]
    missing = f" while {listed(down)} is down" if down else ""
    return f"told to stop, but without me there is no quorum{missing}; waiting for it"


def leave(view: View, policy: Policy) -> Step:
    """The next step of a node that leaves the cluster: it waits to be removed, and hands
    leadership over first; the leader's agent does the removing."""
    orders = [at for at in (view.o.intent.leaving_since, view.o.intent.stopping_since) if at is not None]
    asked = min(orders, default=None)
    final = asked is not None
    if not isinstance(view.o.process, Running):
        return _left(view, policy, final=final)
    waited = view.o.now - asked if asked is not None else 0.0
    if final and waited >= policy.leave_patience:
        return Stop(f"asked to leave {waited:.0f} s ago; waiting no longer to be removed", then_exit=True)
    if view.leading:
        heir = successor(view)
        if heir is not None:
            return MoveLeader(heir.id, view.name_of(heir), "I am leaving: hand leadership over first")
        return Hold("I am leaving, but nobody can take over leadership")
    if view.removed:
        return Stop("I have been removed from the cluster", then_exit=final)
    return Hold("leaving: awaiting my removal by the leader's agent")


def _left(view: View, policy: Policy, *, final: bool) -> Step:
    process = view.o.process
    if final or isinstance(process, Running):
        return Stop("asked to leave; etcd has stopped", then_exit=True)
    removed = process.exit is Exit.REMOVED
    why = dormant(view, Memory(), policy)
    if why and not removed and process.not_before <= view.o.now:
        return Start(f"{why}; it is started once more, so that it can be removed in order")
    return Hold("this node is not part of the cluster, and the provider is taking it away")

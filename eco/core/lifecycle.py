"""The table of situations: the order in which they are tried and what a node does in each.

This is the one source of the behaviour, of `docs/lifecycle.md` and of its picture: `classify`
walks the rows, the documentation prints them, and a test fails when the two have drifted apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from eco.core import membership, seeding, situation, stopping
from eco.core.decision import Memory, Situation
from eco.core.model import Data, RegistryView, Report, Running, Stopped
from eco.core.policy import Policy
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
from eco.core.view import View

Test = Callable[[View, Memory, Policy], str]
Choice = Callable[[View, Memory, Policy, str], Step]


@dataclass(frozen=True)
class Row:
    """One situation: when it matches, what is done, which steps can follow, what it needs to know."""

    situation: Situation
    test: Test
    choose: Choice
    does: str
    steps: tuple[type[Step], ...]
    needs: str


def _hold(_view: View, _memory: Memory, _policy: Policy, because: str) -> Step:
    return Hold(because)


def _leave(view: View, _memory: Memory, policy: Policy, _because: str) -> Step:
    return stopping.leave(view, policy)


def _stop(view: View, memory: Memory, policy: Policy, _because: str) -> Step:
    return stopping.stop(view, memory, policy)


def _chartered(view: View, _memory: Memory, _policy: Policy, _because: str) -> Step:
    process = view.o.process
    if isinstance(process, Stopped) and process.not_before > view.o.now:
        return Hold(f"etcd did not start: {process.words}")
    return seeding.chartered(view)


def _rejoin(view: View, memory: Memory, policy: Policy, because: str) -> Step:
    if isinstance(view.o.process, Running):
        since = memory.unserved_since
        if since is None or view.o.now - since < policy.leaderless:
            return Hold(f"{because}; my etcd does not serve at this look")
        return Stop(f"{because}, and my etcd has not served for {view.o.now - since:.0f} s: stop it")
    if view.theirs is None or not view.theirs.readable:
        return Hold(f"{because}; awaiting a cluster that serves, to join it")
    return _renewed(view, policy) or membership.rejoin(view)


def _serve(view: View, memory: Memory, policy: Policy, because: str) -> Step:
    if view.leading:
        return _own(view) or membership.look_after(view, memory, policy) or Hold(because)
    return _own(view) or _relieve(view, memory, policy) or Hold(because)


def _own(view: View) -> Step | None:
    """What a serving node does for itself: be registered, and be found at its address."""
    mine, registry, disk = view.mine, view.registry, view.disk
    if mine is None or disk is None:
        return None
    if registry is not None and not _registered(view, registry):
        voters = view.records(view.voters)
        stamp, lost = disk.stamp, disk.stamp.generation > 0
        why = "the registry has lost its charter: register it again" if lost else "no charter names it: register it"
        because = f"this cluster serves, and {why}"
        return Adopt(stamp.generation or 1, stamp.token, mine.mine.cluster_id, voters, because)
    charter = view.charter
    if charter is not None and not disk.stamp.generation and charter.cluster_id == mine.mine.cluster_id:
        because = f"my data is of generation {charter.number}: complete my stamp"
        return Enrol(charter.number, charter.token, mine.mine.member_id, mine.mine.cluster_id, because)
    return _address(view)


def _registered(view: View, registry: RegistryView) -> bool:
    """Whether the registry holds the charter of the generation that serves here."""
    generation = view.disk.stamp.generation if view.disk else 0
    return any(c.number >= max(generation, 1) for c in registry.charters)


def _address(view: View) -> Step | None:
    member, url = view.my_member, view.o.peer_url
    if member is None or member.is_learner or not url or member.peer_urls == (url,):
        return None
    return UpdatePeerUrl(member.id, url, f"my peer URL is {url}, the member list says {', '.join(member.peer_urls)}")


def _relieve(view: View, memory: Memory, policy: Policy) -> Step | None:
    """Move leadership away from a node whose agent is silent; the first live agent by name asks."""
    since = memory.leader_agent_silent_since
    if since is None or view.o.now - since < policy.leader_agent_patience or view.mine is None:
        return None
    able = [name for name, report in view.reports.items() if report.serving and not report.is_learner]
    able = [name for name in able if not _away(view.reports[name])]
    if min([*able, view.o.me]) != view.o.me:
        return None
    because = f"the leader's agent has been silent for {view.o.now - since:.0f} s: lead from a node whose agent lives"
    return MoveLeader(view.mine.mine.member_id, view.o.me, because)


def _away(report: Report) -> bool:
    return report.paused or report.stopping or report.leaving


def _restart(view: View, memory: Memory, policy: Policy, because: str) -> Step:
    if view.removed:
        return membership.rejoin(view)
    since, process = memory.idle_since, view.o.process
    booted = isinstance(process, Running) and view.o.now - process.since >= policy.restart_patience
    due = booted and since is not None and view.o.now - since >= policy.restart_patience
    if due and view.my_member is not None and view.disk is not None:
        if not stopping.affordable(view, view.o.me):
            return Hold(f"{because} that I can see, but without it there may be no quorum")
        if view.disk.data is not Data.PRESENT:
            return Stop(f"{because}, and its data is not in my data directory any more: stop it")
        return Restart(f"{because} for {policy.restart_patience:.0f} s: restart it")
    return _address(view) or Hold(because)


def _start(view: View, _memory: Memory, _policy: Policy, because: str) -> Step:
    process = view.o.process
    if isinstance(process, Stopped) and process.not_before > view.o.now:
        return Hold(f"etcd ended ({process.words}); next try in {process.not_before - view.o.now:.0f} s")
    return Start(f"{because}: start it")


def _newborn(view: View, memory: Memory, policy: Policy, _because: str) -> Step:
    return seeding.birth(view, memory, policy)


def _wait(view: View, _memory: Memory, policy: Policy, because: str) -> Step:
    return _renewed(view, policy) or Hold(because)


def _reseeding(view: View, _memory: Memory, policy: Policy, because: str) -> Step:
    return _renewed(view, policy) or Hold(
        f"{because}. This version does not recover from it by itself: nothing is touched; "
        "restore from the data of the survivors with etcdutl"
    )


def _unborn(view: View, process: Stopped, policy: Policy) -> Step:
    """etcd was started and ended before it wrote anything: a wrong flag, say. Every new data set
    costs a generation, so it is tried a few times, with pauses, and then a person has to look."""
    if process.failures >= policy.give_up_starts:
        return Hold(f"etcd ends before it has written anything ({process.words}): mend that, and restart this agent")
    if process.not_before > view.o.now:
        return Hold(f"etcd ended before it had written anything ({process.words}); next try soon")
    return SetAside("unborn", f"etcd ended before it had written anything ({process.words}): begin anew")


def _renewed(view: View, policy: Policy) -> Step | None:
    """A stamp that says `started` over a missing `member/`: that data set is lost, and must never
    come back under its member id with an empty log. Begin another one."""
    if view.disk is None or view.disk.data is not Data.ABSENT or not view.disk.stamp.started:
        return None
    process = view.o.process
    if isinstance(process, Running) or view.disk.stamp.join is not None:
        return None
    if process.failures:
        return _unborn(view, process, policy)
    return SetAside("lost", "my data set was started and is not there any more: begin an empty one")


ABOUT_MEMBERS: tuple[type[Step], ...] = (WriteRoster, RemoveMember, Promote, ConfirmRoster, MoveLeader)

TABLE: tuple[Row, ...] = (
    Row(
        Situation.LEAVING,
        situation.leaving,
        _leave,
        "hands leadership over, waits to be removed by the leader's agent, stops",
        (MoveLeader, Start, Stop),
        "etcd",
    ),
    Row(
        Situation.STOPPING,
        situation.stopping,
        _stop,
        "waits for its turn, hands leadership over, stops etcd and exits",
        (MoveLeader, Stop),
        "etcd, peers",
    ),
    Row(Situation.PAUSED, situation.paused, _hold, "watches and reports; etcd is untouched", (), "nothing"),
    Row(
        Situation.ALIEN, situation.alien, _hold, "never starts that data; an etcd that runs stays", (), "data directory"
    ),
    Row(
        Situation.CONTRADICTION,
        situation.contradiction,
        _hold,
        "keeps serving and raises the alarm; a human chooses",
        (),
        "registry, etcd",
    ),
    Row(
        Situation.CHARTERED,
        situation.chartered,
        _chartered,
        "checks through the registry that all founders see the same one, starts",
        (Start,),
        "registry, data directory",
    ),
    Row(
        Situation.SUPERSEDED,
        situation.superseded,
        _rejoin,
        "stops etcd, joins the newer generation, sets its old data aside",
        (Stop, AddSelf, SetAside),
        "data directory, registry or a peer",
    ),
    Row(
        Situation.SERVING,
        situation.serving,
        _serve,
        "serves; the leader's agent looks after the members",
        (Adopt, Enrol, UpdatePeerUrl, *ABOUT_MEMBERS),
        "etcd",
    ),
    Row(Situation.CATCHING_UP, situation.catching_up, _hold, "reports how far it is", (), "etcd or a serving peer"),
    Row(
        Situation.DEGRADED,
        situation.degraded,
        _restart,
        "is restarted after a while; its data is kept",
        (Restart, UpdatePeerUrl, Stop),
        "a serving peer",
    ),
    Row(Situation.DORMANT, situation.dormant, _start, "starts etcd on its data", (Start,), "data directory"),
    Row(
        Situation.DAMAGED,
        situation.damaged,
        _rejoin,
        "joins anew; the unusable data is set aside, not deleted",
        (AddSelf, SetAside),
        "a serving peer",
    ),
    Row(
        Situation.ABSENT,
        situation.absent,
        _rejoin,
        "joins as a learner",
        (SetAside, AddSelf, Start),
        "registry, a serving peer",
    ),
    Row(
        Situation.RESEEDING,
        situation.reseeding,
        _reseeding,
        "names what is lost and who survives, and touches nothing",
        (SetAside,),
        "registry, peers, provider",
    ),
    Row(
        Situation.BEREFT,
        situation.bereft,
        _wait,
        "refuses to begin an empty cluster over a lost one",
        (SetAside,),
        "registry, peers, provider",
    ),
    Row(
        Situation.NEWBORN,
        situation.newborn,
        _newborn,
        "gathers the founders; the first by name writes the charter",
        (Found,),
        "registry, provider, peers",
    ),
    Row(Situation.BLIND, situation.blind, _hold, "holds, and names what it cannot see", (), "nothing"),
    Row(
        Situation.WAITING_FOR_QUORUM,
        situation.waiting_for_quorum,
        _wait,
        "holds, and names who is awaited",
        (SetAside,),
        "nothing",
    ),
)
"""Ordered: the first row whose test gives a sentence is the situation."""


def classify(view: View, memory: Memory, policy: Policy) -> tuple[Row, str]:
    """The row that matches, and the sentence that says why. The last row always does."""
    for row in TABLE[:-1]:
        because = row.test(view, memory, policy)
        if because:
            return row, because
    return TABLE[-1], TABLE[-1].test(view, memory, policy)

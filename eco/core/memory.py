"""What is carried from one tick to the next: since when something has been so.

Memory only ever delays an act. A fact that cannot be seen at this look resets its clock, so an
agent that was restarted, or woke from a long pause, starts every patience anew.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eco.core.model import Running
from eco.core.sight import Known

if TYPE_CHECKING:
    from eco.core.decision import Memory
    from eco.core.model import Id, Member
    from eco.core.policy import Policy
    from eco.core.view import View


def remember(view: View, memory: Memory, policy: Policy) -> Memory:
    """The memory as of this look."""
    idle = isinstance(view.o.process, Running) and not view.serving and view.theirs is not None and not _learning(view)
    return replace(
        memory,
        silent=_silent(view, memory),
        learners=_learners(view, memory, policy),
        idle_since=_since(memory.idle_since, view.o.now, so=idle),
        unserved_since=_since(
            memory.unserved_since, view.o.now, so=isinstance(view.o.process, Running) and not view.serving
        ),
        leaderless_since=_since(memory.leaderless_since, view.o.now, so=not view.quorum_seen),
        leader_agent_silent_since=_since(
            memory.leader_agent_silent_since, view.o.now, so=view.serving and not _leader_agent_lives(view)
        ),
        alive=_alive(view, memory),
    )


def _since(earlier: float | None, now: float, *, so: bool) -> float | None:
    if not so:
        return None
    return now if earlier is None else earlier


def _silent(view: View, memory: Memory) -> dict[Id, float]:
    if not view.serving:
        return {}
    return {m.id: memory.silent.get(m.id, view.o.now) for m in view.voters if m.id not in view.healthy}


def _learners(view: View, memory: Memory, policy: Policy) -> dict[Id, tuple[int, float]]:
    if view.mine is None or not view.serving:
        return {}
    index = view.mine.mine.raft_index - policy.learner_lag
    return {m.id: _progress(view, m, memory.learners.get(m.id), index) for m in view.learners}


def _progress(view: View, learner: Member, earlier: tuple[int, float] | None, enough: int) -> tuple[int, float]:
    """A learner that has caught up has nowhere to go: it stands still without fault."""
    status = view.mine.statuses.get(learner.id) if view.mine else None
    report = view.reports.get(view.name_of(learner))
    reached = max(
        status.value.applied_index if isinstance(status, Known) else 0,
        report.progress if report is not None and report.member_id == learner.id else 0,
    )
    close = isinstance(status, Known) and status.value.applied_index >= enough
    return earlier if earlier is not None and reached <= earlier[0] and not close else (reached, view.o.now)


def _learning(view: View) -> bool:
    return view.my_member is not None and view.my_member.is_learner


def _leader_agent_lives(view: View) -> bool:
    if view.leading or view.mine is None:
        return True
    leader = next((m for m in view.voters if m.id == view.mine.mine.leader), None)
    return leader is None or view.name_of(leader) in view.reports


def _alive(view: View, memory: Memory) -> tuple[int, float] | None:
    counter = view.registry.alive if view.registry else None
    if counter is None:
        return None
    return memory.alive if memory.alive is not None and memory.alive[0] == counter else (counter, view.o.now)

"""One turn of the decision: look in, decision out. Pure; the same input gives the same output."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eco.core.decision import Decision, Memory, Situation
from eco.core.lifecycle import classify
from eco.core.memory import remember
from eco.core.sight import Unknown
from eco.core.steps import Hold
from eco.core.stopping import let_go, ticket
from eco.core.vetting import vet
from eco.core.view import View

if TYPE_CHECKING:
    from eco.core.model import Observation
    from eco.core.policy import Policy

QUIET = frozenset({Situation.SERVING, Situation.PAUSED, Situation.ALIEN, Situation.CONTRADICTION})

ALARMING = frozenset({Situation.ALIEN, Situation.CONTRADICTION, Situation.RESEEDING, Situation.BEREFT})
"""Situations in which a person has to do something."""


def tick(memory: Memory, o: Observation, policy: Policy) -> Decision:
    """Name the situation, choose at most one step, and let the vetting refuse it."""
    view = View(o)
    remembered = remember(view, memory, policy)
    granted = ticket(view, remembered, policy)
    remembered = replace(remembered, ticket=granted, let_go=let_go(view, remembered, granted))
    row, because = classify(view, remembered, policy)
    if row.situation is not memory.situation:
        remembered = replace(remembered, situation=row.situation, since=o.now)
    step = row.choose(view, remembered, policy, because)
    refusal = vet(step, view, remembered, policy)
    refused = (f"{type(step).__name__} ({step.because}): {refusal}",) if refusal else ()
    step = Hold(f"refused to {type(step).__name__}: {refusal}") if refusal else step
    restless = row.situation not in QUIET or not isinstance(step, Hold) or bool(remembered.silent or view.learners)
    told = alarms(view, remembered, policy)
    if row.situation in ALARMING:
        told = (f"{row.situation.value}: {because}", *told)
    return Decision(row.situation, step, remembered, refused, told, urgent=restless or bool(remembered.ticket))


def alarms(view: View, memory: Memory, policy: Policy) -> tuple[str, ...]:
    """What a human should know although no step follows from it, sorted."""
    told: list[str] = []
    if isinstance(view.o.group, Unknown):
        told.append(f"the provider cannot be asked: {view.o.group.because}")
    if isinstance(view.o.registry, Unknown):
        told.append(f"the registry cannot be asked: {view.o.registry.because}")
    if isinstance(view.o.disk, Unknown):
        told.append(f"the data directory: {view.o.disk.because}")
    since = memory.unserved_since if memory.unserved_since is not None else view.o.now
    if isinstance(view.o.mine, Unknown) and view.o.now - since >= policy.leaderless:
        told.append(f"my etcd runs and tells me nothing: {view.o.mine.because}")
    told += [f"{name} is paused" for name, report in view.reports.items() if report.paused]
    told += [alarm for alarm in (_denied_life(view), _regressed(view)) if alarm]
    return tuple(sorted(told))


def _denied_life(view: View) -> str:
    """Life contradicts a statement that an instance is gone."""
    if view.group is None or view.group.operated:
        return ""
    denied = sorted(v.name for v in view.recorded.values() if view.gone(v) and view.alive(v))
    return f"the provider says that {', '.join(denied)} is gone, but it is alive" if denied else ""


def _regressed(view: View) -> str:
    """The registry knows less than my stamp does."""
    if view.registry is None or view.disk is None or not view.disk.stamp.registry_id:
        return ""
    numbers = {c.number for c in view.registry.charters}
    behind = view.disk.stamp.generation and view.disk.stamp.generation not in numbers
    return "the registry has lost charters that this node has seen" if behind else ""

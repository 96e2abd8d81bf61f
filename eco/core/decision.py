"""What one tick gives back: the situation, at most one step, and what to remember."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eco.core.model import Id
    from eco.core.steps import Step


class Situation(Enum):
    """The words on the status page, in the order in which they are tried (`lifecycle`)."""

    LEAVING = "LEAVING"
    STOPPING = "STOPPING"
    PAUSED = "PAUSED"
    ALIEN = "ALIEN"
    CONTRADICTION = "CONTRADICTION"
    CHARTERED = "CHARTERED"
    SUPERSEDED = "SUPERSEDED"
    SERVING = "SERVING"
    CATCHING_UP = "CATCHING_UP"
    DEGRADED = "DEGRADED"
    DORMANT = "DORMANT"
    DAMAGED = "DAMAGED"
    ABSENT = "ABSENT"
    RESEEDING = "RESEEDING"
    BEREFT = "BEREFT"
    NEWBORN = "NEWBORN"
    BLIND = "BLIND"
    WAITING_FOR_QUORUM = "WAITING_FOR_QUORUM"


@dataclass(frozen=True)
class Memory:
    """What the next tick needs of the earlier ones; all times on the observation's clock.

    It only ever delays an act: a fresh `Memory()` (an agent that was restarted) is always safe.
    """

    situation: Situation | None = None
    since: float = 0.0
    """When this situation began."""
    silent: Mapping[Id, float] = field(default_factory=dict)
    """Voters that answer nobody, since when."""
    learners: Mapping[Id, tuple[int, float]] = field(default_factory=dict)
    """Learners: the highest applied index seen, and when it was reached."""
    idle_since: float | None = None
    """Since when my running etcd has taken no part while others serve."""
    unserved_since: float | None = None
    """Since when my running etcd has not served."""
    leaderless_since: float | None = None
    """Since when no quorum was seen to serve."""
    leader_agent_silent_since: float | None = None
    alive: tuple[int, float] | None = None
    """The `alive` counter and when it was first seen at that value."""
    ticket: str = ""
    """As the leader's agent: whose turn it is to stop."""
    let_go: frozenset[str] = frozenset()
    """As the leader's agent: who had its turn, and has not been seen to run since it stopped."""

    def silence(self, voter: Id, now: float) -> float:
        """For how many seconds this voter has answered nobody; 0 when it does, or was not watched."""
        return now - self.silent.get(voter, now)


@dataclass(frozen=True)
class Decision:
    """One tick's outcome. `refused` are the vetting's sentences, `alarms` what a human should
    know although no step follows from it."""

    situation: Situation
    step: Step
    memory: Memory
    refused: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()
    urgent: bool = False
    """Something is in flight or unhealthy: look again within half a second."""

    @property
    def because(self) -> str:
        """The step's sentence."""
        return self.step.because

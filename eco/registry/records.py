"""What the registry holds: one immutable JSON document a key, and the beat that alone is replaced.

    cluster.json                              Owner
    charters/<number:08>.json                 eco.core.model.Charter
    rosters/<generation:08>/<seq:08>.json     eco.core.model.Roster
    rosters/<generation:08>/<seq:08>.confirmed.json   Confirmation
    greetings/<incarnation>.json              Greeting
    alive.json                                Beat

`at` is wall-clock text for humans; nothing compares it. A nonce is drawn by the writer, so that a
create whose reply was lost can be settled by reading back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, assert_never

from eco.core.model import Charter, Roster, Verdict


@dataclass(frozen=True)
class Owner:
    """Whose registry this is: `owner` is the provider's identity, `registry_id` a random one."""

    cluster: str
    registry_id: str
    owner: str
    created_by: str
    at: str
    nonce: str


@dataclass(frozen=True)
class Confirmation:
    """etcd's voters are those of the roster with this nonce."""

    generation: int
    seq: int
    nonce: str
    by: str
    at: str


@dataclass(frozen=True)
class Greeting:
    """The agent with this incarnation was here, and its stamp holds this nonce."""

    incarnation: str
    nonce: str
    by: str
    at: str


@dataclass(frozen=True)
class Beat:
    """The leader's agent has counted so far."""

    counter: int
    by: str
    at: str


Record: TypeAlias = Owner | Charter | Roster | Confirmation | Greeting | Beat


def key(record: Record) -> str:
    """Where the record lies, below the cluster's prefix."""
    match record:
        case Owner():
            return "cluster.json"
        case Charter(number=number):
            return f"charters/{number:08}.json"
        case Roster(generation=generation, seq=seq):
            return f"rosters/{generation:08}/{seq:08}.json"
        case Confirmation(generation=generation, seq=seq):
            return f"rosters/{generation:08}/{seq:08}.confirmed.json"
        case Greeting(incarnation=incarnation):
            return f"greetings/{incarnation}.json"
        case Beat():
            return "alive.json"
        case _:
            assert_never(record)


def flaw_of(record: Record) -> str:
    """What the record lacks to mean anything, or "": an empty voter set has a quorum of nobody."""
    match record:
        case Charter(verdict=Verdict.FOUNDS, founders=()) | Roster(voters=()):
            return "names no voters"
        case Charter(verdict=Verdict.FOUNDS, token="") | Charter(verdict=Verdict.FOUNDS, cluster_id=""):
            return "names no token or no cluster id"
        case Owner(registry_id=""):
            return "holds no registry id"
        case _:
            return ""

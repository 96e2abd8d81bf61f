"""The lifecycle as a document: a table and a picture, both printed from the code that decides.

`python -m eco.core.drawing > docs/lifecycle.md` writes it; a test fails when the two differ. The
table is `lifecycle.TABLE`. The picture shows the same steps as arrows; `LEADS` tells which of them
end a situation, and which situation the node then finds itself in. A test looks at the world
before and after each of these arrows, so that the picture shows what the code does.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeAlias

from eco.core.decision import Situation
from eco.core.lifecycle import TABLE
from eco.core.steps import Found, Restart, SetAside, Start, Stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eco.core.lifecycle import Row
    from eco.core.steps import Step

End: TypeAlias = Situation | None
"""Where an arrow ends; None is the end of the agent."""

LEADS: dict[tuple[Situation, type[Step]], tuple[End, ...]] = {
    (Situation.LEAVING, Stop): (None,),
    (Situation.STOPPING, Stop): (None,),
    (Situation.CHARTERED, Start): (Situation.SERVING, Situation.WAITING_FOR_QUORUM),
    (Situation.SUPERSEDED, SetAside): (Situation.ABSENT,),
    (Situation.DEGRADED, Restart): (Situation.SERVING,),
    (Situation.DEGRADED, Stop): (Situation.DAMAGED, Situation.ABSENT),
    (Situation.DORMANT, Start): (Situation.SERVING, Situation.WAITING_FOR_QUORUM),
    (Situation.DAMAGED, SetAside): (Situation.ABSENT,),
    (Situation.ABSENT, Start): (Situation.CATCHING_UP,),
    (Situation.NEWBORN, Found): (Situation.CHARTERED,),
}
"""The steps that end a situation. Every other step leaves it as it is until the world has changed."""

BY_OTHERS: dict[tuple[Situation, Situation], str] = {
    (Situation.CATCHING_UP, Situation.SERVING): "promoted by the leader's agent",
    (Situation.WAITING_FOR_QUORUM, Situation.SERVING): "quorum is back",
    (Situation.WAITING_FOR_QUORUM, Situation.DEGRADED): "quorum is back without me",
    (Situation.BLIND, Situation.NEWBORN): "the missing facts are known",
}
"""The ways on that a node does not take by a step of its own, where it does nothing but wait."""

BEGINNINGS: dict[Situation, str] = {
    Situation.NEWBORN: "an empty disk, no cluster",
    Situation.ABSENT: "an empty disk, a cluster that serves",
    Situation.DORMANT: "data on disk",
}
"""In which situation a node finds itself first, when nothing is amiss."""

INTRO = """\
# Situations and steps

<!-- Written by `python -m eco.core.drawing`; do not edit. -->

Every few seconds each node looks at the world, and finds itself in exactly one situation: the first row of this
table whose condition holds. In each situation it takes at most one step at a time, or holds, and says why. The words
are those of the status page, of `eco status` and of the log. `Hold` is possible everywhere and not listed.

A situation needs only the facts in the last column; a fact that is not needed may be unknown. What is unknown is
never taken for absent: a condition that depends on an unknown fact does not hold.

"""

PICTURE = """
## What leads where

Arrows are steps of the node itself or, in parentheses, what others do. A step on an arrow from a situation to itself
leaves the node in it until the world has changed. What happens *to* a node (a crash, a wiped disk, a signal, a word of
the provider's) can take it from any situation to any other, and is not drawn.

"""


def document() -> str:
    """The whole of docs/lifecycle.md."""
    return INTRO + table() + PICTURE + picture()


def table() -> str:
    """The situations in the order in which they are tried, as a Markdown table."""
    head = "| situation | when | what the node does | steps | needs |\n|---|---|---|---|---|\n"
    return head + "".join(_line(row) for row in TABLE)


def _line(row: Row) -> str:
    when = " ".join((row.test.__doc__ or "").split())
    steps = ", ".join(f"`{step.__name__}`" for step in row.steps) or "–"
    return f"| {row.situation.value} | {when} | {row.does} | {steps} | {row.needs} |\n"


def picture() -> str:
    """The arrows, as a Mermaid state diagram."""
    return "".join(["```mermaid\n", "stateDiagram-v2\n", *(f"    {arrow}\n" for arrow in _arrows()), "```\n"])


def _arrows() -> Iterator[str]:
    yield from (f"[*] --> {situation.value}: ({words})" for situation, words in BEGINNINGS.items())
    for row in TABLE:
        labels: dict[str, list[str]] = {}
        for step in row.steps:
            for end in LEADS.get((row.situation, step), (row.situation,)):
                labels.setdefault(end.value if end else "[*]", []).append(step.__name__)
        for (start, reached), words in BY_OTHERS.items():
            if start is row.situation:
                labels.setdefault(reached.value, []).append(f"({words})")
        if not labels:
            yield row.situation.value
        for end_name, steps in labels.items():
            yield f"{row.situation.value} --> {end_name}: {', '.join(steps)}"


if __name__ == "__main__":
    sys.stdout.write(document())

"""Text from outside, made fit for a terminal.

Sentences come from journals, peers and etcd's own words: whoever wrote them must not be able to
move the cursor, recolour the screen or turn the reading direction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eco.errors import ConfigError

LONGEST = 4000
"""Characters of one text that are worth showing."""

MOST_BYTES = 10**15


def printable(text: str, longest: int = LONGEST) -> str:
    """`text` on one line, every unprintable character escaped, cut at `longest` with an ellipsis."""
    kept = text if len(text) <= longest else text[: longest - 1] + "…"
    if kept.isprintable():
        return kept
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in kept
    )


def complaint(path: object, fault: ConfigError) -> str:
    """Everything wrong with a configuration: a headline, then one problem a line."""
    problems = (f"\n  {printable(str(problem))}" for problem in fault.problems)
    return f"{path} is not a usable configuration:{''.join(problems)}"


def size(count: int) -> str:
    """Bytes for a narrow column: `20 kB`, `1.5 MB`."""
    amount = float(min(count, MOST_BYTES))
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:  # noqa: PLR2004  # units go by thousands
            return f"{amount:.0f} {unit}" if unit in {"B", "kB"} else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"

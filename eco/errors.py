"""Five errors, by what the caller does next.

`ConfigError` fix the file · `Unavailable` look again next tick · `Corrupt` never retry ·
`Refused` the vetting or a peer said no · `Bug` crash. SDK exceptions end at the adapter's edge.
"""

from __future__ import annotations

from dataclasses import dataclass


class EcoError(Exception):
    """Anything this project raises on purpose; its text is a sentence for a human."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong in the configuration: where, what stands there, what to write instead."""

    path: str
    value: str
    hint: str

    def __str__(self) -> str:
        """`path: value — hint`, one line."""
        return f"{self.path}: {self.value} — {self.hint}" if self.value else f"{self.path}: {self.hint}"


class ConfigError(EcoError):
    """The configuration is wrong; every problem at once. The process exits with 78."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        """Hold all `problems`, in file order."""
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class Unavailable(EcoError):
    """Not to be had at this moment; nothing is known about whether it happened. Look again."""


class Corrupt(EcoError):
    """Bytes that do not say what they should; reading them again will not help."""


class Refused(EcoError):
    """The other side understood and said no, or the vetting did."""


class Bug(EcoError):
    """A promise between our own parts was broken; crash and be seen."""

"""What was seen, or why it could not be: unknown is never absent.

A fact that could not be fetched is `Unknown(because)`; it is never an empty list,
`None` or `False`. Every reader of a `Sight` has to say what it does in both cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Known(Generic[T]):
    """A fact as it was seen at this look."""

    value: T


@dataclass(frozen=True)
class Unknown:
    """A fact that could not be fetched; `because` is a clause for a human to read."""

    because: str


Sight: TypeAlias = Known[T] | Unknown

"""Quorum arithmetic as plain values (Raft, section 5.2: a majority of the voters)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection

T = TypeVar("T")


def majority(voters: int) -> int:
    """How many of `voters` make a quorum; at least 1."""
    return voters // 2 + 1


def has_quorum(voters: Collection[T], up: Collection[T]) -> bool:
    """Whether those of `voters` that are `up` make a quorum of them."""
    return sum(voter in up for voter in voters) >= majority(len(voters))


def broken_by(voters: Collection[T], lost: Collection[T]) -> bool:
    """Whether the `lost` alone make a quorum of `voters` impossible for ever."""
    return not has_quorum(voters, [voter for voter in voters if voter not in lost])

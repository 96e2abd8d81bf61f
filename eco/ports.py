"""The ports: what the shell needs from the world, each small and honest about failure.

Providers and stores are plug-ins (entry points `eco.providers`, `eco.snapshot_stores`); each
parses and explains its own settings. The trivial implementation of each stands beside it, in
`eco.testing`, with the conformance suite that a real one has to pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from eco.core.model import (
        Charter,
        Disk,
        Group,
        Id,
        Instance,
        Member,
        MemberStatus,
        Origin,
        Process,
        RegistryView,
        Report,
        Roster,
        Stamp,
        Voter,
    )
    from eco.errors import Problem


class Provider(Protocol):
    """Who is in the group. A plug-in under `eco.providers`."""

    summary: ClassVar[str]
    """One line for help texts and the plug-in list."""

    @classmethod
    def parse(cls, settings: Mapping[str, object], base: Path) -> tuple[Provider | None, tuple[Problem, ...]]:
        """Build from the `asg:` mapping without its `provider` key, or say everything wrong with it.

        `base` is the configuration file's directory, for relative paths. Touches nothing.
        Problem paths start with `asg.`.
        """

    async def look(self) -> Group:
        """The group now, with me in it.

        Raises `Unavailable` when it cannot be known, and when the answer is empty, malformed or
        lacks this node: such an answer is an error, never "everyone is gone".
        """

    @property
    def me(self) -> str:
        """This node's instance name. Raises `Unavailable` while it cannot be known."""

    @property
    def pace(self) -> float:
        """Seconds between looks in quiet; the caller jitters it and caches in between."""

    async def close(self) -> None:
        """Release what it holds; idempotent."""


class Store(Protocol):
    """Named immutable objects in a shared place. A plug-in under `eco.snapshot_stores`.

    Keys are relative, `/`-separated, of `[a-z0-9._=-]` parts; the store adds its own prefix.
    Its only hard promise is create-if-absent. Every method raises `Unavailable` when the store
    cannot be reached, and `Refused` when it understood and denied.
    """

    summary: ClassVar[str]

    @classmethod
    def parse(cls, settings: Mapping[str, object], base: Path) -> tuple[Store | None, tuple[Problem, ...]]:
        """Build from the `snapshot:` mapping without the shared keys; as `Provider.parse`."""

    async def create(self, key: str, data: bytes) -> bool:
        """Create the object with these bytes, atomically; False when the key was taken.

        `Unavailable` leaves open whether it was created: read it back and compare the nonce.
        """

    async def read(self, key: str) -> bytes | None:
        """The object's bytes (at most 1 MiB; `Corrupt` beyond), or None when there is none."""

    async def list(self, prefix: str) -> tuple[str, ...]:
        """Every key below `prefix` (which ends in `/`, or is ""), sorted, all pages."""

    async def replace(self, key: str, data: bytes) -> None:
        """Create or overwrite, atomically. Only the `alive` beat uses it."""

    async def foreign(self) -> bool:
        """True when the original operator's backups lie at the root (`*_etcd.backup`)."""

    async def close(self) -> None:
        """Release what it holds; idempotent."""


class Registry(Protocol):
    """Charters and rosters, over any store. Raises `Unavailable`, `Refused`, `Corrupt`."""

    async def look(self) -> RegistryView:
        """All that it says."""

    async def greet(self, incarnation: str, nonce: str) -> None:
        """Write my nonce, for the others to read back; idempotent."""

    async def found(  # noqa: PLR0913 - a charter has that many parts
        self,
        number: int,
        *,
        founders: tuple[Voter, ...],
        token: str,
        cluster_id: Id,
        origin: Origin,
        evidence: str,
        owner: str,
        nonce: str,
    ) -> Charter:
        """Create the owner object if absent, and the charter; returns the one that holds the number."""

    async def write_roster(self, roster: Roster) -> Roster:
        """Create the roster; returns the one that holds its number."""

    async def confirm(self, roster: Roster) -> None:
        """Confirm it; idempotent."""

    async def beat(self, counter: int) -> None:
        """Replace the `alive` counter."""

    async def repair(self, registry_id: str, owner: str) -> None:
        """Write the owner object anew, with the id that the stamps hold, when it is missing."""

    async def restore(self, registry_id: str, rosters: tuple[Roster, ...]) -> None:
        """Write a stamp's rosters and confirmations anew where they are missing; idempotent.

        Works where `look` fails for a hole in the rosters. `Refused` unless the id is the registry's.
        """


class EtcdApi(Protocol):
    """The part of etcd's v3 API that we use. `urls` are client URLs, tried in order.

    Every method has its own deadline and raises `Unavailable` (no answer, no leader, too many
    requests), `Refused` (etcd understood and said no, with its sentence), `Corrupt` (nonsense).
    """

    async def status(self, urls: Sequence[str]) -> MemberStatus:
        """The answering member's own status; served without quorum."""

    async def members(self, urls: Sequence[str], *, linearizable: bool) -> tuple[Member, ...]:
        """The member list, sorted by id. Learners do not answer it."""

    async def readable(self, urls: Sequence[str]) -> bool:
        """Whether a linearizable read through this member succeeds within its deadline."""

    async def add_learner(self, urls: Sequence[str], peer_url: str) -> tuple[Id, tuple[Member, ...]]:
        """The new member's id and the whole list. Ask a voter."""

    async def promote(self, urls: Sequence[str], member: Id) -> None:
        """Learner to voter. Ask a voter."""

    async def remove(self, urls: Sequence[str], member: Id) -> None:
        """Remove a member; removing one that is not there is fine."""

    async def update_peer_urls(self, urls: Sequence[str], member: Id, peer_urls: Sequence[str]) -> None:
        """Record a voter's new peer URLs. Never for a learner: old etcd makes it a voter."""

    async def move_leader(self, urls: Sequence[str], to: Id) -> None:
        """Hand leadership to a voter; `urls` must be the leader's."""

    async def close(self) -> None:
        """Close every channel; idempotent."""


class Child(Protocol):
    """The etcd process of this node."""

    def look(self) -> Process:
        """Whether it runs, and if not, how it ended."""

    async def start(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Exec etcd in its own process group, inheriting the data directory's lock."""

    async def stop(self, grace: float) -> None:
        """SIGTERM, wait `grace` seconds, SIGKILL; returns when it is reaped. Idempotent."""

    def served(self) -> None:
        """Tell it that etcd has served: failures in a row are forgotten."""


class DataDirectory(Protocol):
    """The data directory: `member/` (etcd's) and `eco/` (ours)."""

    def look(self, *, running: bool) -> Disk:
        """Stamp and data, read offline. While etcd runs the log is not read.

        Raises `Unavailable` (cannot be read) or `Corrupt` (a stamp that is not one): then nothing
        is started and nothing changed.
        """

    def stamp(self, label: str, stamp: Stamp) -> None:
        """Replace the stamp durably."""

    def set_aside(self, label: str, why: str, then: Stamp) -> None:
        """Rename `member/`, if there is one, into `eco/old/`, then write `then`. Repeatable."""


class Peers(Protocol):
    """Other agents."""

    async def ask(self, instance: Instance, *, urgent: bool) -> Report:
        """Its report; an `urgent` question makes it look at the world at once.

        Raises `Unavailable` (nobody there, too late), `Corrupt` (not a report).
        """

    async def occupied(self, instance: Instance) -> bool:
        """Whether anything accepts TCP on its client or peer port. Raises `Unavailable` if the
        host gives no answer at all (a refused connection is an answer)."""

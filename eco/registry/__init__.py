"""The registry: who owns the cluster, which generations were founded, which voters were in force.

It lies in any store that keeps one promise, create-if-absent, as small JSON documents (`records`)
below `<cluster>/`. All but the beat are written once and never again, which gives the three habits
of this module:

* *Read once.* What was parsed is remembered, so that a look in quiet costs one listing and the beat.
* *Settle by nonce.* A create may lose (the key is taken) or be lost (no reply, and nobody knows).
  In both cases the object is read back, and whoever holds the key is returned; the caller compares
  the nonce with its own. What cannot be read back is `Unavailable`, never a loss and never a win.
* *Skip nothing.* A charter or roster that cannot be read, comes from a newer eco, or contradicts its key makes
  the whole look fail: a decision on the rest might be made on an older voter set. So does a hole in
  the numbers where it could hide a founding, or a voter set in force. A greeting that cannot be read
  counts as missing. Files that are none of ours are passed over and never touched.
* *Go forward again.* A store that was rolled back, or replaced by an empty one, gets back what the
  stamps hold of it (`repair`, `restore`), needing no look that succeeds: a hole is filled, too. Below
  the last confirmed roster a hole is history; above it only the very roster that is missing fills it.

Greetings: before a birth every agent writes its stamp's nonce under its incarnation. Whoever reads
another's greeting back knows that both look at the same store; a directory that is not shared, on
which every node would pass the create-if-absent alone, shows by their absence.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from eco.config.kinds import CLUSTER
from eco.core.model import Charter, Origin, RegistryView, Roster, Verdict, Voter
from eco.errors import Bug, ConfigError, Corrupt, Problem, Refused, Unavailable
from eco.formats import dump, parse
from eco.registry.records import Beat, Confirmation, Greeting, Owner, Record, flaw_of, key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from eco.core.model import Id
    from eco.ports import Store

__all__ = ["Registry"]

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R", bound=Record)

DEADLINE = 5.0
"""Seconds that one question to the store may take."""

_OWNER = "cluster.json"
_BEAT = "alive.json"
_CHARTER = re.compile(r"charters/([0-9]{8})\.json")
_GREETING = re.compile(r"greetings/([^/]+)\.json")


def _wall() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Registry:
    """The registry of one cluster in a store, as one node uses it; `eco.ports.Registry`."""

    def __init__(
        self,
        store: Store,
        cluster: str,
        name: str,
        *,
        wall: Callable[[], str] = _wall,
        deadline: float = DEADLINE,
    ) -> None:
        """`name` is this node's, for the records; `wall` gives the time as text. Raises `ConfigError`."""
        if not re.fullmatch(CLUSTER, cluster):
            hint = "write small letters, digits and dashes between them, 63 at most"
            raise ConfigError((Problem("eco.cluster", cluster, hint),))
        self._store = store
        self._cluster = cluster
        self._name = name
        self._wall = wall
        self._deadline = deadline
        self._known: dict[str, Record] = {}
        self._foreign: bool | None = None

    # ------------------------------------------------------------ reading

    async def look(self) -> RegistryView:
        """All that the registry says.

        Raises `Unavailable`, `Corrupt` (a record that does not say what it should, or is of a newer
        eco's making) and `Refused` (access denied, or the registry is another cluster's).
        """
        keys = await self._list("")
        self._known = {where: record for where, record in self._known.items() if where in keys}
        owner = await self._get(Owner, _OWNER) if _OWNER in keys else None
        if owner:
            self._check_cluster(owner)
        charters = await self._charters(keys)
        greetings = await self._greetings(keys)
        beat = await self._read(Beat, _BEAT) if _BEAT in keys else None
        return RegistryView(
            registry_id=owner.registry_id if owner else "",
            cluster=owner.cluster if owner else "",
            owner=owner.owner if owner else "",
            charters=charters,
            rosters=await self._rosters(keys, _founded(charters)),
            greetings={greeting.incarnation: greeting.nonce for greeting in greetings},
            snapshots=any(where.startswith("snapshots/") for where in keys) or await self._has_foreign(charters),
            alive=beat.counter if beat else None,
        )

    async def _greetings(self, keys: frozenset[str]) -> tuple[Greeting, ...]:
        """Those that can be read. Of the others nothing follows but that a birth which needs them waits."""
        heard = await _together(self._greeting(where) for where in sorted(keys) if _GREETING.fullmatch(where))
        return tuple(greeting for greeting in heard if greeting is not None)

    async def _greeting(self, where: str) -> Greeting | None:
        try:
            return await self._get(Greeting, where)
        except Corrupt as fault:
            log.debug("Passed over: %s", fault)
            return None

    async def _charters(self, keys: frozenset[str]) -> tuple[Charter, ...]:
        charters = await self._all(Charter, (where for where in keys if _CHARTER.fullmatch(where)))
        _check_gapless("charter", _founded(charters), (charter.number for charter in charters))
        return charters

    async def _rosters(self, keys: frozenset[str], generation: int) -> tuple[Roster, ...]:
        """The generation's rosters. Between the last confirmed one and the newest none may lack."""
        log = rf"rosters/{generation:08}/[0-9]{{8}}"
        rosters = await self._all(Roster, (where for where in keys if re.fullmatch(rf"{log}\.json", where)))
        confirmations = await self._all(
            Confirmation, (where for where in keys if re.fullmatch(rf"{log}\.confirmed\.json", where))
        )
        confirmed = {confirmation.seq: confirmation.nonce for confirmation in confirmations}
        _check_gapless("roster", max(confirmed, default=0), (roster.seq for roster in rosters))
        nonces = {roster.seq: roster.nonce for roster in rosters}
        for seq, nonce in confirmed.items():
            if seq not in nonces:
                raise Unavailable(f"the registry lacks roster {seq} of generation {generation}, which is confirmed")
            if nonces[seq] != nonce:
                raise Corrupt(f"roster {seq} of generation {generation} is not the one that was confirmed")
        return tuple(replace(roster, confirmed=roster.seq in confirmed) for roster in rosters)

    async def _has_foreign(self, charters: tuple[Charter, ...]) -> bool:
        """Whether the original's backups are there: once, and anew at every look before a birth."""
        if self._foreign is None or not charters:
            self._foreign = await self._ask(self._store.foreign())
        return self._foreign

    # ------------------------------------------------------------ writing

    async def greet(self, incarnation: str, nonce: str) -> None:
        """Write my nonce, for the others to read back; idempotent. Raises `Unavailable`, `Refused`."""
        held = await self._settle(Greeting(incarnation, nonce, self._name, self._wall()))
        if held.nonce != nonce:
            raise Refused(f"the incarnation {incarnation} was used by {held.by} before: is the disk a copy of another?")

    async def found(  # noqa: PLR0913 — a charter has that many parts
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
        """Create the owner object if it is absent, then charter `number`, and return who holds it.

        That may be another's charter: compare the nonce, and obey. `owner` is the provider's identity
        or "". Raises `Unavailable` when it cannot be settled (ask again with the same nonce) and
        `Refused` when the registry is another's or has lost its owner object.
        """
        await self._own(owner)
        return await self._settle(
            Charter(
                number=number,
                verdict=Verdict.FOUNDS,
                nonce=nonce,
                token=token,
                cluster_id=cluster_id,
                founders=founders,
                origin=origin,
                by=self._name,
                at=self._wall(),
                evidence=evidence,
            )
        )

    async def write_roster(self, roster: Roster) -> Roster:
        """Create the roster, and return the one that holds its number; compare the nonce."""
        return await self._settle(replace(roster, confirmed=False))

    async def confirm(self, roster: Roster) -> None:
        """Confirm the roster; idempotent. Raises `Refused` unless it is the one that was written."""
        held = await self._get(Roster, key(roster))
        if held.nonce != roster.nonce:
            raise Refused(f"roster {roster.seq} of generation {roster.generation} is the one of {held.by}")
        confirmation = Confirmation(roster.generation, roster.seq, roster.nonce, self._name, self._wall())
        if (await self._settle(confirmation)).nonce != roster.nonce:
            raise Refused(f"of roster {roster.seq} of generation {roster.generation} another was confirmed")

    async def beat(self, counter: int) -> None:
        """Replace the `alive` counter."""
        beat = Beat(counter, self._name, self._wall())
        await self._ask(self._store.replace(self._at(_BEAT), dump(beat)))

    async def repair(self, registry_id: str, owner: str) -> None:
        """Write the owner object anew with the id that the stamps hold; fine when it is there already.

        Raises `Refused` when the one that is there has another id.
        """
        if not registry_id:
            raise Bug("a registry is repaired with the id that it had")
        held = await self._settle(self._owner(registry_id, owner))
        if held.registry_id != registry_id:
            raise Refused(f"the store holds registry {held.registry_id}, and not {registry_id}")

    async def restore(self, registry_id: str, rosters: tuple[Roster, ...]) -> None:
        """Write what is missing of these rosters, and of their confirmations, in their order; idempotent.

        `registry_id` and `rosters` are those of a stamp. Where another roster holds a number, it stays.
        Works on a registry that cannot be looked at for a hole in its rosters. Raises `Unavailable`,
        `Corrupt`, and `Refused` unless the registry is the stamp's.
        """
        held = await self._get(Owner, _OWNER)
        self._check_cluster(held)
        if held.registry_id != registry_id:
            raise Refused(f"the store holds registry {held.registry_id}, and not {registry_id}")
        for roster in rosters:
            written = await self._once(replace(roster, confirmed=False))
            if roster.confirmed and written.nonce == roster.nonce:
                await self._once(Confirmation(roster.generation, roster.seq, roster.nonce, self._name, self._wall()))

    async def _once(self, record: R) -> R:
        """As `_settle`, without a question about what is known to be there."""
        held = self._known.get(key(record))
        return held if isinstance(held, type(record)) else await self._settle(record)

    async def _own(self, owner: str) -> None:
        """Be sure that the registry is ours; make it so where nobody has."""
        charters = await self._list("charters/")  # first: the owner object is written before any charter
        held = await self._read(Owner, _OWNER)
        if held is None and charters:
            raise Refused(
                f"the registry has charters and no {_OWNER} any more; a member that has it in its stamp repairs it"
            )
        if held is None:
            held = await self._settle(self._owner(secrets.token_hex(16), owner))
        self._check_cluster(held)
        if owner and held.owner and owner != held.owner:
            raise Refused(f"the registry is owned by {held.owner}, and this node belongs to {owner}")

    def _owner(self, registry_id: str, owner: str) -> Owner:
        return Owner(self._cluster, registry_id, owner, self._name, self._wall(), secrets.token_hex(8))

    def _check_cluster(self, held: Owner) -> None:
        if held.cluster != self._cluster:
            raise Refused(f"the registry is that of the cluster {held.cluster}, and this node's is {self._cluster}")

    # ------------------------------------------------------------ the store

    async def _settle(self, record: R) -> R:
        """Create the record, and return the one that holds its key: this one, or another's."""
        where = key(record)
        try:
            is_mine = await self._ask(self._store.create(self._at(where), dump(record)))
        except Unavailable as lost:
            held = await self._read(type(record), where)
            if held is None:
                raise Unavailable(f"{lost}; {where} may yet come to be") from lost
            return held
        if is_mine:
            self._known[where] = record
            return record
        held = await self._read(type(record), where)
        if held is None:
            raise Unavailable(f"{where} is taken and cannot be read yet")
        return held

    async def _all(self, kind: type[R], keys: Iterable[str]) -> tuple[R, ...]:
        """The records at these keys, in their order."""
        return await _together(self._get(kind, where) for where in sorted(keys))

    async def _get(self, kind: type[R], where: str) -> R:
        """The record that is there, remembered or read."""
        record = self._known.get(where)
        if not isinstance(record, kind):
            record = await self._read(kind, where)
        if record is None:
            raise Unavailable(f"the registry has no {where}, or does not give it yet")
        return record

    async def _read(self, kind: type[R], where: str) -> R | None:
        raw = await self._ask(self._store.read(self._at(where)))
        if raw is None:
            return None
        record = parse(kind, raw, f"the registry's {where}")
        if key(record) != where:
            raise Corrupt(f"the registry's {where} says that it is {key(record)}")
        if flaw := flaw_of(record):
            raise Corrupt(f"the registry's {where} {flaw}")
        self._known[where] = record
        return record

    async def _list(self, below: str) -> frozenset[str]:
        prefix = self._at("")
        return frozenset(where.removeprefix(prefix) for where in await self._ask(self._store.list(f"{prefix}{below}")))

    def _at(self, where: str) -> str:
        return f"{self._cluster}/{where}"

    async def _ask(self, question: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._deadline):
                return await question
        except TimeoutError:
            raise Unavailable(f"the registry's store gave no answer within {self._deadline:g} s") from None


async def _together(questions: Iterable[Coroutine[object, object, T]]) -> tuple[T, ...]:
    """The answers, in order; the first fault is raised as it is."""
    try:
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(question) for question in questions]
    except ExceptionGroup as several:
        raise several.exceptions[0] from several
    return tuple(task.result() for task in asked)


def _founded(charters: tuple[Charter, ...]) -> int:
    """The newest generation that was founded, or 0."""
    return max((charter.number for charter in charters if charter.verdict is Verdict.FOUNDS), default=0)


def _check_gapless(what: str, last: int, numbers: Iterable[int]) -> None:
    """Above the last number that settles what was before, none may lack: it might settle it anew."""
    for expected, number in enumerate(sorted(number for number in numbers if number > last), last + 1):
        if number != expected:
            raise Unavailable(f"the registry has {what} {number}, but lacks {what} {expected}")

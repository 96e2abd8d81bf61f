"""Chores: slow or periodic work beside the steps. None of them is ever waited for by the loop.

The provider's watch, the pulse of my etcd, the leader's `alive` beat, my greeting in the registry,
the last rosters in my stamp, the size of etcd's log.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from eco.core.model import Data, Observation, Running
from eco.core.sight import Known, Unknown
from eco.core.view import View
from eco.errors import Corrupt, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from eco.agent.look import Looker
    from eco.agent.world import World
    from eco.core.model import Group, Roster

log = logging.getLogger(__name__)

BEAT = 60.0
"""Seconds between two beats of `alive` (docs/design.md section 9)."""
PULSE = 1.0
"""Seconds between two looks at my own etcd alone."""
READ_EVERY = 3
"""Beats between two linearizable reads: a status and a read together cost 3 ms of CPU, a status 1.5."""
PROVIDER_DEADLINE = 10.0
MOST_PATIENT = 60.0
"""Seconds: the longest back-off of a provider that does not answer."""
MOST_PACES = 8
"""The same in its own paces: what may be asked every second, such as a file, is soon asked again."""


async def watch_provider(world: World, looker: Looker, changed: Callable[[], None]) -> None:
    """Ask the provider at its own pace, for ever; `changed` hears of every other answer."""
    failures = 0
    while True:
        await asyncio.sleep(_next_look(world.provider.pace, failures))
        before = looker.group
        try:
            async with asyncio.timeout(PROVIDER_DEADLINE):
                looker.heard(await world.provider.look())
            failures = 0
        except TimeoutError:
            failures = min(failures + 1, 10)
            looker.forget(f"no answer within {PROVIDER_DEADLINE:g} s")
        except (Unavailable, Corrupt, Refused) as trouble:
            failures = min(failures + 1, 10)
            looker.forget(str(trouble))
        if looker.group != before:
            _tell(before, looker)
            changed()


def _next_look(pace: float, failures: int) -> float:
    """Seconds to the next question: the provider's pace, or a growing back-off, jittered."""
    back_off = min(max(pace, 1.0) * min(2**failures, MOST_PACES), MOST_PATIENT) if failures else pace
    return back_off * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not a secret


def _tell(before: object, looker: Looker) -> None:
    match looker.group:
        case Known(group):
            log.info("The provider lists %s; %d are desired.", _listed(group), group.desired)
        case Unknown(because) if isinstance(before, Known):
            log.warning("The provider cannot be asked: %s. Its last list is kept, nothing follows from it.", because)


def _listed(group: Group) -> str:
    return ", ".join(f"{i.name} ({i.presence.value})" for i in group.instances)


@dataclass
class Pulse:
    """My own etcd, once a second: a change of leader, of role or of health wakes the loop at once,
    and `/readyz` speaks of a linearizable read that is at most seconds old."""

    world: World
    looker: Looker
    wake: Callable[[], None]
    every: float = PULSE
    served_at: float | None = None
    _last: tuple[str, bool, bool] | None = field(default=None, repr=False)

    async def run(self) -> None:
        """Beat for ever."""
        for beat in itertools.count():
            await asyncio.sleep(self.every)
            if self.looker.instance is None or not isinstance(self.world.child.look(), Running):
                self._last = None
                continue
            read = beat % READ_EVERY == 0 or self._last is None or not self._last[1]
            felt = await self._feel(self.world.client_url(self.looker.instance), read=read)
            if felt[1] and read:
                self.served_at = self.world.now()
            if self._last is not None and felt != self._last:
                self.wake()
            self._last = felt

    async def _feel(self, url: str, *, read: bool) -> tuple[str, bool, bool]:
        """Leader, whether reads work (taken on trust between two reads), whether it is a learner."""
        try:
            status = await self.world.api.status((url,))
            readable = not status.is_learner and (not read or await self.world.api.readable((url,)))
        except (Unavailable, Refused, Corrupt):
            return ("", False, False)
        return (status.leader, readable, status.is_learner)


@dataclass
class Records:
    """What this node writes down beside its steps, after a look; one writing at a time."""

    world: World
    wake: Callable[[], None]
    _greeted: str = field(default="", repr=False)
    _beat_at: float | None = field(default=None, repr=False)
    _told: str = field(default="", repr=False)
    _writing: asyncio.Task[None] | None = field(default=None, repr=False)

    def keep(self, o: Observation, tasks: asyncio.TaskGroup) -> None:
        """Write what is due on the facts of `o`, in the background."""
        if self._writing is None or self._writing.done():
            self._remember_rosters(o)
            self._writing = tasks.create_task(self._write(o))

    def end(self) -> None:
        """Abandon what is being written."""
        if self._writing is not None:
            self._writing.cancel()

    async def _write(self, o: Observation) -> None:
        """A greeting that cannot be written blocks a birth, and the birth's sentence says so."""
        try:
            async with asyncio.timeout(PROVIDER_DEADLINE):
                await self._repair(o)
                await self._greet(o)
                await self._beat(o)
            self._told = ""
        except TimeoutError:
            self._tell("the registry does not answer")
        except (Unavailable, Corrupt, Refused) as trouble:
            self._tell(str(trouble))

    def _tell(self, trouble: str) -> None:
        """Say it, once for as long as it lasts: an outage is met at every look."""
        if trouble != self._told:
            log.warning("Not written down: %s", trouble)
        self._told = trouble

    async def _greet(self, o: Observation) -> None:
        """Let the others read my nonce through the registry, before a birth."""
        if not isinstance(o.disk, Known) or not isinstance(o.registry, Known):
            return
        stamp = o.disk.value.stamp
        unborn = o.disk.value.data is Data.ABSENT and not stamp.started
        if unborn and stamp.incarnation not in {self._greeted, *o.registry.value.greetings}:
            await self.world.registry.greet(stamp.incarnation, stamp.nonce)
            self._greeted = stamp.incarnation
            self.wake()

    async def _beat(self, o: Observation) -> None:
        view = View(o)
        if not view.leading or view.registry is None or view.charter is None:
            return
        if self._beat_at is None or o.now - self._beat_at >= BEAT:
            await self.world.registry.beat((view.registry.alive or 0) + 1)
            self._beat_at = o.now

    async def _repair(self, o: Observation) -> None:
        """A registry that went backwards gets back what my stamp holds of it: its owner object, its rosters.

        The owner is written once and for ever, so it waits until the provider has said who that is. One
        that cannot be looked at, for a hole in its rosters perhaps, is offered mine all the same.
        """
        view = View(o)
        if not view.serving or view.disk is None or not view.disk.stamp.registry_id:
            return
        stamp, registry = view.disk.stamp, view.registry
        if registry is not None and registry.charters and not registry.registry_id and view.group is not None:
            log.warning("The registry has lost its owner object: it is written again from my stamp.")
            await self.world.registry.repair(stamp.registry_id, view.group.identity)
        elif registry is None and stamp.rosters:
            await self.world.registry.restore(stamp.registry_id, stamp.rosters)
        elif lost := lost_rosters(view):
            log.warning("The registry has lost %d of its rosters: they are written again from my stamp.", len(lost))
            await self.world.registry.restore(stamp.registry_id, lost)

    def _remember_rosters(self, o: Observation) -> None:
        """Keep the last rosters in my stamp, so that they never depend on the store alone."""
        view = View(o)
        if view.disk is None or not view.disk.stamped or view.registry is None or not view.disk.stamp.started:
            return
        if view.charter is None or view.charter.number != view.disk.stamp.generation:
            return
        if view.registry.registry_id != view.disk.stamp.registry_id or lost_rosters(view):
            return
        confirmed = [at for at, roster in enumerate(view.rosters) if roster.confirmed]
        last = view.rosters[confirmed[-1] :] if confirmed else view.rosters
        if last != view.disk.stamp.rosters:
            try:
                self.world.data.stamp("rosters.stamp", replace(view.disk.stamp, rosters=last))
            except Unavailable as trouble:
                log.warning("The rosters could not be noted in the stamp: %s", trouble)


def lost_rosters(view: View) -> tuple[Roster, ...]:
    """The rosters in my stamp that its registry does not hold, or not as confirmed, and should.

    What lies below the last that the registry confirms is history: no voter set in force depends on it.
    """
    disk, registry, charter = view.disk, view.registry, view.charter
    if disk is None or registry is None or charter is None or charter.number != disk.stamp.generation:
        return ()
    if registry.registry_id != disk.stamp.registry_id:
        return ()
    held = {roster.seq: roster for roster in registry.rosters}
    settled = max((roster.seq for roster in registry.rosters if roster.confirmed), default=0)
    later = (roster for roster in disk.stamp.rosters if roster.seq > settled)
    return tuple(r for r in later if r.seq not in held or (r.confirmed and held[r.seq].nonce == r.nonce))

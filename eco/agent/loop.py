"""The loop: look, decide, act, show, for ever, and at once when something happens.

One step at a time. While anything is in flight or unhealthy it turns every quarter of a second,
in quiet every `check-interval`; a child's exit, a change of leader, a peer that asks, the provider
or a signal wakes it. Before an irreversible effect the world is looked at once more, and a plan
that grew old on the way (a paused agent) is dropped: age counts on CLOCK_BOOTTIME.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from eco.agent.act import IRREVERSIBLE, Actor
from eco.agent.chores import Pulse, Records, watch_provider
from eco.agent.look import DEADLINE, HASTE, Looker
from eco.core.decision import Decision, Memory
from eco.core.model import Data, Intent, Observation, Running
from eco.core.sight import Known
from eco.core.steps import Hold, Stop
from eco.core.tick import tick
from eco.errors import Corrupt, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from eco.agent.journal import Journal
    from eco.agent.world import World
    from eco.core.model import Instance
    from eco.core.policy import Policy

log = logging.getLogger(__name__)

RESTLESS = 0.25
"""Seconds between looks while anything is in flight or unhealthy."""
CALM = 0.05
"""Seconds: the least time between two looks, whoever wakes the loop."""
PLAN_AGE = 10.0
"""Seconds after which a plan is too old to be acted upon."""
MOST_PATIENT = 5.0
"""Seconds: the longest wait after steps that failed."""
HURRY = 2.0
"""Seconds between SIGTERM and SIGKILL for who asked twice."""
QUIETEST = 30.0
"""Seconds: the longest wait in quiet, whatever `check-interval` says: peers believe no page older than a minute."""
HEARD_WITHIN, HEARD_MOST = 5.0, 25
"""Peers' questions may wake the loop this often in so many seconds."""


@dataclass
class Loop:
    """One agent's life. `show` publishes a decision, `noted` keeps where the instances are, `intent` is
    what people asked."""

    world: World
    policy: Policy
    journal: Journal
    check_interval: float
    show: Callable[[Observation, Decision, float], None]
    noted: Callable[[tuple[Instance, ...]], None]
    intent: Intent = Intent()  # noqa: RUF009 - a frozen value
    memory: Memory = field(default_factory=Memory)

    def __post_init__(self) -> None:
        self.looker = Looker(self.world)
        self.actor = Actor(self.world)
        self.pulse = Pulse(self.world, self.looker, self.wake)
        self.records = Records(self.world, self.has_news)
        self.decision: Decision | None = None
        self.listed: Instance | None = None
        """Me, as I was listed when etcd's and my own addresses were chosen."""
        self.moved = False
        """I was listed elsewhere since: this life ends, and the next one begins there."""
        self._woken = asyncio.Event()
        self._alarmed = False
        self._hurried = asyncio.Event()
        self._failures = 0
        self._news = True
        self._asked: list[float] = []
        self._shown: object = None
        self._told = ""

    def wake(self) -> None:
        """Look now instead of later."""
        self._woken.set()

    def etcd_ended(self) -> None:
        """Look this very moment: until etcd runs again every millisecond is downtime."""
        self._alarmed = True
        self.wake()

    def peer_asked(self, name: str) -> None:
        """A peer with news asks for my report: look at once. Anybody can take a peer's name, so this
        has a budget."""
        if name not in {instance.name for instance in self.looker.known}:
            return
        now = self.world.now()
        self._asked = [at for at in self._asked if now - at < HEARD_WITHIN]
        if len(self._asked) < HEARD_MOST:
            self._asked.append(now)
            self.wake()

    def has_news(self) -> None:
        """Let the peers look at once: the next look tells them that I have changed."""
        self._news = True
        self.wake()

    def _restless(self) -> bool:
        return self.decision is None or self.decision.urgent or self._failures > 0

    async def run(self) -> None:
        """Turn until a step ends the agent. What it cannot go on with is raised as it is, in no group."""
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._live(tasks)
        except ExceptionGroup as several:
            raise several.exceptions[0] from several

    async def _live(self, tasks: asyncio.TaskGroup) -> None:
        watch = watch_provider(self.world, self.looker, self._regrouped)
        beside = [tasks.create_task(work) for work in (watch, self.pulse.run(), self._hurry())]
        try:
            while not await self._turn(tasks):
                await self._pause()
        finally:
            for task in beside:
                task.cancel()
            self.records.end()

    async def _hurry(self) -> None:
        """Asked twice to stop: etcd is stopped now, whatever look or step is under way; a stop, too."""
        await self._hurried.wait()
        await self.world.child.stop(HURRY)

    def _regrouped(self) -> None:
        self.noted(self.looker.known)
        now, then = self.looker.instance, self.listed
        if now is not None and then is not None and replace(now, presence=then.presence) != then and not self.moved:
            log.warning("I am listed at %s now: stopping in order, to start again there.", now.address)
            self.moved = True
            if self.intent.stopping_since is None:
                self.ask_to_stop()
        self.wake()

    async def _turn(self, tasks: asyncio.TaskGroup) -> bool:
        """One look, one decision, at most one step. True when the agent is to end."""
        if self._hurried.is_set():
            await self.world.child.stop(HURRY)
            return True
        self._woken.clear()
        began = self.world.now()
        news, self._news = self._news, False
        o = await self.looker.look(self.intent, self._deadline(), urgent=news)
        if isinstance(o.mine, Known) and o.mine.value.readable:
            self.pulse.served_at = o.now
        decision = self._decide(o)
        self._publish(o, decision, self.world.now() - began)
        self.records.keep(o, tasks)
        if isinstance(decision.step, Hold):
            self.journal.waited(decision, o, self.world.wall())
            self._failures = 0
            return False
        return await self._take(decision, o, began)

    def _publish(self, o: Observation, decision: Decision, seconds: float) -> None:
        """Show the decision, and let the peers know when it is news to them."""
        self.show(o, decision, seconds)
        shown = (decision.situation, decision.memory.ticket, type(o.process), o.intent, _incarnation(o))
        if shown != self._shown:
            self._shown = shown
            self.has_news()

    def _deadline(self) -> float:
        """The first look of a node that holds data is a short one."""
        disk = self.looker.look_at_disk()
        data = isinstance(disk, Known) and disk.value.data is Data.PRESENT
        hasty = self.decision is None and data and not isinstance(self.world.child.look(), Running)
        return HASTE if hasty else DEADLINE

    def _decide(self, o: Observation) -> Decision:
        before = self.decision
        self.decision = tick(self.memory, o, self.policy)
        self.memory = self.decision.memory
        gist = f"{self.decision.situation.value}: {self.decision.because}"
        if before is None or before.situation is not self.decision.situation or _gist(gist) != _gist(self._told):
            self._told = gist
            log.info("%s", gist, extra={"event": "decision", "situation": self.decision.situation.value})
        for refusal in self.decision.refused if before is None or before.refused != self.decision.refused else ():
            log.warning("Refused: %s", refusal, extra={"event": "refused"})
        for alarm in self.decision.alarms if before is None or before.alarms != self.decision.alarms else ():
            log.warning("Alarm: %s", alarm, extra={"event": "alarm"})
        return self.decision

    async def _take(self, decision: Decision, o: Observation, began: float) -> bool:
        """Take the step; when it cannot be undone, only if a second look leads to the same one.

        A plan is as old as its oldest fact: `began` is when the look began.
        """
        if isinstance(decision.step, IRREVERSIBLE):
            began = self.world.now()
            o = await self.looker.look(self.intent)
            again = tick(self.memory, o, self.policy)
            if _kind(again) != _kind(decision):
                self.journal.write(decision, o, self.world.wall(), f"dropped: now {again.because}", facts=True)
                return False
            decision = again
        age = self.world.now() - began
        if age > PLAN_AGE:
            self.journal.write(decision, o, self.world.wall(), f"dropped: the plan is {age:.0f} s old", facts=True)
            return False
        self.journal.write(decision, o, self.world.wall(), "begins", facts=True)
        outcome = await self._act(decision, o)
        self.journal.write(decision, o, self.world.wall(), outcome, facts=False)
        return isinstance(decision.step, Stop) and decision.step.then_exit and outcome.startswith("done")

    async def _act(self, decision: Decision, o: Observation) -> str:
        kind = type(decision.step).__name__
        try:
            result = await self.actor.act(decision.step, o)
        except TimeoutError:
            result = "no answer in time"
        except (Unavailable, Refused, Corrupt) as trouble:
            result = str(trouble)
        else:
            log.info("%s: %s.", kind, result, extra={"event": "step"})
            self._failures = 0
            self.wake()
            return f"done: {result}"
        self._failures += 1
        log.warning("%s failed: %s.", kind, result.rstrip("."), extra={"event": "step.failed"})
        return f"failed: {result}"

    async def _pause(self) -> None:
        """Wait for the next turn, or for something to happen."""
        restless = min(RESTLESS * 2 ** min(self._failures, 6), MOST_PATIENT)
        quiet = min(self.check_interval, QUIETEST)
        try:
            async with asyncio.timeout(restless if self._restless() else quiet):
                await self._woken.wait()
        except TimeoutError:
            return
        if not self._alarmed:
            await asyncio.sleep(CALM)
        self._alarmed = False

    # ------------------------------------------------------------ what people ask

    def ask_to_stop(self) -> None:
        """SIGTERM or SIGINT; asked twice, etcd is stopped at once."""
        if self.intent.stopping_since is not None:
            self._hurried.set()
        else:
            self.intent = replace(self.intent, stopping_since=self.world.now())
        self.wake()

    def ask_to_leave(self) -> str:
        """`eco leave`: give up membership, then end."""
        if self.intent.leaving_since is not None:
            return "this node is leaving already"
        self.intent = replace(self.intent, leaving_since=self.world.now())
        self.wake()
        return "this node hands over, waits to be removed, and ends"

    def set_paused(self, *, paused: bool) -> None:
        """The maintenance flag."""
        self.intent = replace(self.intent, paused=paused)
        self.wake()


def _incarnation(o: Observation) -> str:
    return o.disk.value.stamp.incarnation if isinstance(o.disk, Known) else ""


def _kind(decision: Decision) -> object:
    """A step without its sentence: seconds pass between two looks."""
    return replace(decision.step, because="")


def _gist(sentence: str) -> str:
    return "".join(c for c in sentence if not c.isdigit())

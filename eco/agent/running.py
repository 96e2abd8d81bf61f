"""Running: one agent from its start to its end, as a supervisor sees it.

Exit codes: 0 it was told to stop or has left; 75 start it again: something on this machine stands
in the way (a busy port, another agent, no etcd), or this node is listed at another address now; 78
the configuration is wrong. An agent that ends for any reason but a stop leaves its etcd running.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from typing import TYPE_CHECKING

from eco import __version__
from eco.agent import address
from eco.agent.assembly import assemble
from eco.agent.journal import Journal
from eco.agent.logs import set_up
from eco.agent.loop import Loop
from eco.core.decision import Situation
from eco.core.model import Intent
from eco.core.view import View
from eco.errors import ConfigError, Corrupt, Refused, Unavailable
from eco.status.api import StatusApi
from eco.status.http import serve
from eco.status.metrics import Metrics
from eco.status.page import compose

if TYPE_CHECKING:
    from eco.config import Config
    from eco.core.decision import Decision
    from eco.core.model import Instance, Observation
    from eco.status.http import Server
    from eco.status.page import Page

log = logging.getLogger(__name__)

OK, TRY_AGAIN, WRONG_CONFIG = 0, 75, 78
JOINING = frozenset({Situation.ABSENT, Situation.DAMAGED, Situation.SUPERSEDED})


def run(config: Config) -> int:
    """Run the agent until it ends; returns the process's exit code."""
    set_up(config.log.format, config.log.level)
    for warning in config.warnings:
        log.warning("%s", warning)
    try:
        return asyncio.run(_live(config))
    except ConfigError as wrong:
        for problem in wrong.problems:
            log.error("%s", problem)  # noqa: TRY400 - a sentence, not a traceback
        return WRONG_CONFIG
    except Unavailable as trouble:
        log.error("%s", trouble)  # noqa: TRY400 - a sentence, not a traceback
        return TRY_AGAIN


async def _live(config: Config) -> int:
    agent = Agent(config)
    try:
        return await agent.run()
    finally:
        await agent.close()


class Agent:
    """The agent of one node: the loop, and the port on which it shows itself."""

    def __init__(self, config: Config) -> None:
        self._page: Page | None = None
        self._server: Server | None = None
        self._stop_asked = asyncio.Event()
        self._world, self._data = assemble(config, self._etcd_ended)
        self._started_at = self._world.now()
        self._metrics = Metrics(eco=__version__, etcd=str(self._world.binaries.version))
        self._group_file = self._data.path / "eco" / "group.json"
        self._loop = Loop(
            world=self._world,
            policy=config.policy,
            journal=Journal(self._data.path / "eco" / "journal.jsonl"),
            check_interval=config.check_interval,
            show=self._show,
            noted=lambda instances: address.note(self._group_file, instances),
            intent=Intent(paused=self._data.paused),
        )
        self._listen = config.listen_address

    async def run(self) -> int:
        """Live until told to stop, until I have left, or until I am listed at another address; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        self._loop.looker.remembered(address.recall(self._group_file))
        instance = await self._myself()
        if instance is None:
            return OK
        self._loop.listed = instance
        await self._serve(instance)
        log.info(
            "eco %s runs as %s of cluster %s, with etcd %s in %s.",
            __version__, self._world.me, self._world.cluster, self._world.binaries.etcd, self._data.path,
        )  # fmt: skip
        if self._world.binaries.version.warning:
            log.warning("%s", self._world.binaries.version.warning)
        await self._loop.run()
        return TRY_AGAIN if self._loop.moved else OK

    async def close(self) -> None:
        """Let go of everything but etcd."""
        if self._server is not None:
            await self._server.close()
        await self._world.api.close()
        await self._world.provider.close()
        self._data.close()

    # ------------------------------------------------------------ beginning

    async def _myself(self) -> Instance | None:
        """My own address: the provider's word, or what it said last time; None when told to stop first."""
        pause = 0.5
        while not self._stop_asked.is_set():
            try:
                async with asyncio.timeout(5.0):
                    self._loop.looker.heard(await self._world.provider.look())
                    address.note(self._group_file, self._loop.looker.known)
            except (Unavailable, Corrupt, Refused, TimeoutError) as trouble:
                because = str(trouble) or "it does not answer"
                self._loop.looker.forget(because)
                known = self._loop.looker.instance
                log.warning("The provider cannot be asked: %s.%s", because, _kept(known))
            if self._loop.looker.instance is not None:
                return self._loop.looker.instance
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stop_asked.wait()
            pause = min(pause * 2, 30.0)
        return None

    async def _serve(self, instance: Instance) -> None:
        api = StatusApi(
            lambda: self._page,
            {"leave": self._leave, "pause": self._pause, "resume": self._resume},
            self._data.token,
            self._metrics.render,
            clock=self._world.now,
            on_peer=self._loop.peer_asked,
        )
        self._server = await serve(self._listen or instance.address, instance.status_port, api)

    # ------------------------------------------------------------ showing

    def _show(self, o: Observation, decision: Decision, seconds: float) -> None:
        view = View(o)
        self._page = compose(
            o,
            decision,
            holding=view.holding,
            volume=view.my_volume,
            waiting=decision.situation in JOINING,
            served_at=self._loop.pulse.served_at,
            started_at=self._started_at,
            loop_seconds=seconds,
            eco=__version__,
            etcd=str(self._world.binaries.version),
        )
        self._metrics.record(o, decision, seconds)

    # ------------------------------------------------------------ being asked

    def _etcd_ended(self) -> None:
        self._loop.etcd_ended()

    def _told_to_stop(self) -> None:
        self._stop_asked.set()
        self._loop.ask_to_stop()

    async def _leave(self) -> str:
        return self._loop.ask_to_leave()

    async def _pause(self) -> str:
        self._data.set_paused(paused=True)
        self._loop.set_paused(paused=True)
        return "paused: etcd is left alone until `eco resume`"

    async def _resume(self) -> str:
        self._data.set_paused(paused=False)
        self._loop.set_paused(paused=False)
        return "resumed"


def _kept(known: Instance | None) -> str:
    return f" Going on with the address it gave last time, {known.address}." if known else " Trying again."

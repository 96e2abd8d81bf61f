"""The supervisor: all nodes of a dev cluster, and the cloud they believe in.

It starts every listed node, performs orders from a second terminal, and at the end stops
everything: in good order first, then whatever is left.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, assert_never

from eco.cli.dev import group
from eco.cli.dev.control import Verb
from eco.cli.dev.keeper import Keeper
from eco.errors import EcoError
from eco.status.client import authority

if TYPE_CHECKING:
    from collections.abc import Callable

    from eco.cli.dev.control import Order
    from eco.cli.dev.home import Home

GRACE = 40.0
"""Seconds for all agents to stop in good order: twice what they themselves wait for their turn."""


class Supervisor:
    """Runs one dev cluster. `tell` receives a sentence for everything that happens."""

    def __init__(self, home: Home, tell: Callable[[str], None]) -> None:
        self.home = home
        self.keepers: dict[str, Keeper] = {}
        self._tell = tell
        self._asked_to_stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._nodes = asyncio.TaskGroup()
        self._timers: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Begin to stop; asked a second time, stop at once."""
        if self._asked_to_stop.is_set():
            self._hurry.set()
        else:
            self._asked_to_stop.set()
            self._tell("stopping every node; ask once more to stop at once")

    async def run(self) -> None:
        """Keep every listed node running until `stop`; when this returns, nothing runs any more."""
        try:
            async with self._nodes:
                for instance in self.home.listing().instances:
                    await self._begin(instance.name)
                await self._asked_to_stop.wait()
                await self._end()
        finally:
            await self._end()

    async def perform(self, order: Order) -> dict[str, Any]:
        """Do what the second terminal asks; the answer. Raises `EcoError`."""
        match order.do:
            case Verb.STATUS:
                return {"nodes": [_state(keeper) for keeper in self.keepers.values()]}
            case Verb.STOP:
                self.stop()
                return {"said": "stopping every node"}
            case Verb.ADD:
                said = await self._add(order.node)
            case Verb.KILL:
                said = await self._keeper(order).kill(agent=order.agent, etcd=order.etcd)
            case Verb.PAUSE:
                said = await self._pause(self._keeper(order), order.seconds)
            case Verb.UNPAUSE:
                said = await self._keeper(order).unpause()
            case Verb.WIPE:
                said = await self._wipe(self._keeper(order))
            case Verb.TERMINATE:
                said = await self._terminate(self._keeper(order))
            case _:
                assert_never(order.do)
        self._tell(said)
        return {"said": said}

    async def _begin(self, name: str) -> None:
        keeper = Keeper(self.home.node(name), self._tell)
        await keeper.clean_up()
        self.keepers[name] = keeper
        self._nodes.create_task(keeper.keep())

    async def _end(self) -> None:
        for timer in self._timers:
            timer.cancel()
        await asyncio.gather(*(keeper.stop(GRACE, self._hurry) for keeper in self.keepers.values()))

    async def _add(self, name: str | None) -> str:
        instance = self.home.newcomer(name)
        self.home.furnish(instance)
        listing = self.home.listing().having(instance)
        group.write(self.home.group_file, listing)
        await self._begin(instance.name)
        where = authority(instance.address, instance.client_port)
        return f"{instance.name}: added at {where}; {listing.desired} nodes are wanted"

    async def _pause(self, keeper: Keeper, seconds: float | None) -> str:
        said = await keeper.pause()
        if seconds is None:
            return f"{said}; `eco dev unpause {keeper.name}` lets it go on"
        timer = asyncio.create_task(keeper.unpause_after(seconds))
        self._timers.add(timer)
        timer.add_done_callback(self._timers.discard)
        return f"{said} for {seconds:g} s"

    async def _wipe(self, keeper: Keeper) -> str:
        said = await keeper.wipe()
        if keeper.exit_code is not None:
            self._nodes.create_task(keeper.keep())
        return said

    async def _terminate(self, keeper: Keeper) -> str:
        said = await keeper.terminate()
        del self.keepers[keeper.name]
        listing = self.home.listing().without(keeper.name)
        group.write(self.home.group_file, listing)
        left = f"{len(listing.instances)} of {listing.desired} wanted nodes are left"
        return f"{said}; {left}: `eco dev add` gives another"

    def _keeper(self, order: Order) -> Keeper:
        if order.node in self.keepers:
            return self.keepers[order.node]
        raise EcoError(f"there is no node {order.node}; there is {', '.join(self.keepers) or 'none'}")


def _state(keeper: Keeper) -> dict[str, Any]:
    return {
        "name": keeper.name,
        "agent_pid": keeper.agent_pid,
        "paused": keeper.paused,
        "exit_code": keeper.exit_code,
    }

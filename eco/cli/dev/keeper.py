"""One node: its agent is kept running, and may be hurt on request.

The keeper is what systemd is on a real machine. It starts the agent again whenever it dies,
unless the agent ended on purpose (0) or its configuration is wrong (78). Whatever hurts the
node holds `hands` meanwhile, so that nothing is started in the middle of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from eco.cli.dev.group import replace_file
from eco.cli.dev.home import last_line
from eco.cli.dev.processes import Identity, ended, unlocked
from eco.cli.exits import Exit
from eco.errors import EcoError
from eco.etcd import pids

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from eco.cli.dev.home import NodeHome

AT_ONCE = 0.1
"""Seconds before a dead agent is started again (systemd's RestartSec)."""
IN_A_LOOP = 0.9
"""The same, when it lived for less than `SHORT` seconds."""
SHORT = 5.0
PATIENCE = 5.0
"""Seconds in which a process that got SIGKILL has to be gone."""

FINAL = (Exit.OK, Exit.CONFIG)
"""Exit codes after which an agent is not started again."""


class Keeper:
    """Keeps one node's agent running."""

    def __init__(self, home: NodeHome, tell: Callable[[str], None]) -> None:
        self.home = home
        self.paused = False
        self.exit_code: int | None = None
        """Of an agent that ended for good."""
        self._tell = tell
        self._hands = asyncio.Lock()
        self._agent: asyncio.subprocess.Process | None = None
        self._pauses = 0
        self._retired = asyncio.Event()

    @property
    def name(self) -> str:
        """The node's name."""
        return self.home.name

    @property
    def agent_pid(self) -> int | None:
        """The running agent's pid."""
        return self._agent.pid if self._agent is not None and self._agent.returncode is None else None

    async def keep(self) -> None:
        """Start the agent, again and again, until it ends for good or the node is retired."""
        self.exit_code = None
        while True:
            async with self._hands:
                if self._retired.is_set():
                    return
                agent = self._agent = await self._start()
            born = time.monotonic()
            code = await agent.wait()
            if self._retired.is_set():
                return
            if code in FINAL:
                self.exit_code = code
                self._tell(f"{self.name}: the agent ended ({code}) and is not started again; see {self.home.log}")
                return
            self._tell(f"{self.name}: the agent {self._fate(code)}; starting it again")
            await asyncio.sleep(AT_ONCE if time.monotonic() - born > SHORT else IN_A_LOOP)

    async def kill(self, *, agent: bool = True, etcd: bool = True) -> str:
        """Kill them with SIGKILL; the agent comes back as after a crash. Says whom it hit."""
        async with self._hands:
            hit = await self._kill(agent=agent, etcd=etcd)
        if not hit:
            raise EcoError(f"{self.name}: there is nothing to kill; neither its agent nor its etcd runs")
        return f"{self.name}: killed {' and '.join(hit)}"

    async def wipe(self) -> str:
        """Kill both and delete the data. Raises `EcoError` when somebody still uses it."""
        async with self._hands:
            await self._kill(agent=True, etcd=True)
            if not await unlocked(self.home.lock, PATIENCE):
                raise EcoError(f"{self.name}: a process still holds {self.home.lock}; nothing was deleted")
            self.home.delete_data()
        return f"{self.name}: killed and wiped; it starts with an empty disk"

    async def pause(self) -> str:
        """Stop both in their tracks (SIGSTOP), as a machine that hangs."""
        async with self._hands:
            self._signal(signal.SIGSTOP)
            self.paused = True
            self._pauses += 1
        return f"{self.name}: paused"

    async def unpause(self) -> str:
        """Let both go on."""
        async with self._hands:
            self._signal(signal.SIGCONT)
            self.paused = False
            self._pauses += 1
        return f"{self.name}: goes on"

    async def unpause_after(self, seconds: float) -> None:
        """Let both go on after `seconds`, unless somebody paused or unpaused the node since."""
        mine = self._pauses
        await asyncio.sleep(seconds)
        if self._pauses == mine:
            self._tell(await self.unpause())

    async def terminate(self) -> str:
        """As `wipe`, and the agent is not started again: the machine is gone."""
        self._retired.set()
        await self.wipe()
        return f"{self.name}: terminated, and its data deleted"

    async def stop(self, grace: float, hurry: asyncio.Event) -> None:
        """End the agent in good order, within `grace` seconds and until `hurry`; then whatever is
        left, at once."""
        self._retired.set()
        async with self._hands:
            self._signal(signal.SIGCONT)
            if self._agent is not None and self._agent.returncode is None:
                self._agent.terminate()
                ends = {asyncio.ensure_future(self._agent.wait()), asyncio.ensure_future(hurry.wait())}
                _, waiting = await asyncio.wait(ends, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
                for task in waiting:
                    task.cancel()
            left = await self._kill(agent=True, etcd=True)
            if left:
                self._tell(f"{self.name}: had to kill {' and '.join(left)}")

    async def clean_up(self) -> None:
        """Kill the agent of a supervisor that died; its etcd lives on for the next agent."""
        leftover = read_identity(self.home.pid)
        if leftover is not None and leftover.signal(signal.SIGKILL):
            await ended(leftover, PATIENCE)

    async def _start(self) -> asyncio.subprocess.Process:
        command = (sys.executable, "-P", "-m", "eco.cli", "run", "--config", str(self.home.config))
        with self.home.log.open("ab") as log:
            agent = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home.root,
                start_new_session=True,
            )
        self.paused = False
        replace_file(self.home.pid, json.dumps(Identity.of(agent.pid)._asdict()))
        return agent

    async def _kill(self, *, agent: bool, etcd: bool) -> list[str]:
        """The agent first, so that it cannot start another etcd."""
        hit = []
        if agent and self._agent is not None and self._agent.returncode is None:
            self._agent.kill()
            await self._agent.wait()
            hit.append("the agent")
        if etcd and (process := self._etcd()) and process.signal(signal.SIGKILL):
            if not await ended(process, PATIENCE):
                raise EcoError(f"{self.name}: etcd (pid {process.pid}) does not die; its disk may hang")
            hit.append("etcd")
        return hit

    def _fate(self, code: int) -> str:
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"failed with exit code {code} ({last_line(self.home.log)})"

    def _signal(self, number: signal.Signals) -> None:
        """Send it to both, as far as they run."""
        if self.agent_pid is not None:
            os.kill(self.agent_pid, number)
        if process := self._etcd():
            process.signal(number)

    def _etcd(self) -> Identity | None:
        """The node's etcd, by its pid file, else (its agent died in between) by the lock it holds."""
        recorded = read_identity(self.home.etcd_pid)
        if recorded is not None and recorded.alive:
            return recorded
        pid = pids.find(self.home.data, self.home.lock)
        return Identity.of(pid) if pid else None


def read_identity(path: Path) -> Identity | None:
    """The process that a pid file names; None when there is no such file, or no sense in it."""
    try:
        document = json.loads(path.read_bytes())
        return Identity(int(document["pid"]), str(document["started"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None

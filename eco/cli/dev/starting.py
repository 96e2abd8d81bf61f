"""`eco dev` itself: prepare the directory, then supervise in this process or in one of its own."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from eco.cli.console import say
from eco.cli.dev import control, places, processes
from eco.cli.dev.home import last_line
from eco.cli.dev.keeper import Keeper
from eco.cli.dev.screen import Screen
from eco.cli.dev.supervisor import GRACE, Supervisor
from eco.cli.survey import ask_all, of, verdict
from eco.errors import EcoError
from eco.status.client import authority

if TYPE_CHECKING:
    from eco.cli.dev.home import Home

BIRTH = 60.0
"""Seconds a detached start waits for the cluster to serve."""
POLL = 0.1


def prepare(home: Home, size: int, base: str, *, fresh: bool) -> None:
    """Make the group, or find the one that is there. Raises `EcoError`: an address is taken."""
    if fresh:
        asyncio.run(_end_leftovers(home))
        home.clear()
    listing = home.listing() if home.group_file.exists() else home.found(size, base)
    for instance in listing.instances:
        home.furnish(instance)
    for instance in listing.instances:
        # What a dead supervisor left behind is taken over, and may keep its addresses.
        if not processes.held(home.node(instance.name).lock) and (taken := places.busy(instance)):
            raise EcoError(
                f"{', '.join(taken)} is in use by another program: stop it (another etcd?), "
                "or start elsewhere, with --dir and --base-address 127.0.1.1"
            )


def preface(home: Home) -> str:
    """How to use the cluster, said before it starts."""
    names = ", ".join(f"{each.name} {each.address}" for each in home.listing().instances)
    return (
        f"Cluster in {home.root}: {names}\n"
        "  use it    eco dev etcdctl put a b, or any client with\n"
        f"            export ETCDCTL_ENDPOINTS={client_urls(home)}\n"
        "  hurt it   eco dev kill|pause|wipe|terminate NODE, eco dev add\n"
        "  watch it  eco dev status, and agent.log of each node\n"
        "  end it    eco dev stop, or Ctrl-C here; the data stays for the next `eco dev`\n"
        f"From another directory: export ECO_DEV_DIR={home.root}\n"
    )


def client_urls(home: Home) -> str:
    """Every node's client URL, as etcdctl wants them."""
    return ",".join(f"http://{authority(each.address, each.client_port)}" for each in home.listing().instances)


async def supervise(home: Home) -> None:
    """Run the cluster until a signal or an order ends it."""
    screen = Screen(home)
    supervisor = Supervisor(home, screen.tell)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.stop)
    with control.listener(home) as sock:
        server = await control.serve(sock, supervisor.perform)
        showing = asyncio.create_task(screen.show())
        try:
            await supervisor.run()
        finally:
            showing.cancel()
            server.close()


def detach(home: Home) -> str:
    """Supervise in a process of its own; returns a sentence when the cluster serves.

    Raises `EcoError` when the process ends, or the cluster does not serve in time.
    """
    with home.log.open("ab") as log:
        child = subprocess.Popen(  # noqa: S603  # this very program
            (sys.executable, "-P", "-m", "eco.cli", "dev", "--dir", str(home.root)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home.root,
            start_new_session=True,
        )
    deadline = time.monotonic() + BIRTH
    while child.poll() is None:
        healthy, sentence = verdict(asyncio.run(ask_all(of(home.listing().instances))))
        if healthy:
            return f"{sentence}; it goes on in the background (process {child.pid})"
        if time.monotonic() > deadline:
            raise EcoError(
                f"after {BIRTH:g} s still {sentence}; it goes on trying, see {home.log} and `eco dev status`"
            )
        time.sleep(POLL)
    raise EcoError(f"it ended at once: {last_line(home.log)}; see {home.log}")


def await_end(home: Home) -> bool:
    """Wait until the supervisor has ended; whether it did in the time it may take."""
    deadline = time.monotonic() + GRACE + BIRTH
    while processes.held(home.lock):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


async def _end_leftovers(home: Home) -> None:
    """Kill what a supervisor that died left running."""
    for node in home.nodes():
        keeper = Keeper(node, say)
        await keeper.clean_up()
        await keeper.wipe()

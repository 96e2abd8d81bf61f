"""Where the agents of a configured group answer, this node's own among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eco.cli.survey import Endpoint

if TYPE_CHECKING:
    from eco.config import Config

LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # to be called, not to be bound
"""How to call, from this machine, an agent that listens on every address."""


async def everybody(config: Config) -> tuple[Endpoint, ...]:
    """Every instance the provider lists. Raises `Unavailable`."""
    try:
        group = await config.provider.look()
    finally:
        await config.provider.close()
    return tuple(Endpoint(each.address, each.status_port, each.name) for each in group.instances)


async def myself(config: Config) -> Endpoint:
    """This node's agent, called from this machine. Raises `Unavailable`."""
    listed = await everybody(config)
    mine = next(each for each in listed if each.name == config.provider.me)
    host = config.listen_address or mine.host
    return Endpoint(LOOPBACK.get(host, host), mine.port, mine.name)

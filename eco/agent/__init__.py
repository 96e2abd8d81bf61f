"""The agent: the shell around the core. It looks, lets the core decide, acts and shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eco.config import Config


def run(config: Config) -> int:
    """Run this node's agent until it ends; returns the process's exit code."""
    from eco.agent.running import run as live  # noqa: PLC0415 - readers of the journal need none of it

    return live(config)

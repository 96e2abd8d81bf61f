"""`eco run`: the agent itself. Imports nothing that its start does not need."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from eco.cli.exits import Exit
from eco.cli.text import complaint
from eco.config import load
from eco.errors import ConfigError

if TYPE_CHECKING:
    from eco.cli.argv import Run


def run(wanted: Run) -> int:
    """Run this node's agent until it ends; its exit code, or 78 with every problem on stderr."""
    path = Path(wanted.config)
    try:
        config = load(path)
    except ConfigError as fault:
        sys.stderr.write(f"eco: {complaint(path, fault)}\n")
        return Exit.CONFIG
    if wanted.log_level:
        config = replace(config, log=replace(config.log, level=wanted.log_level))
    from eco.agent import run as run_agent  # noqa: PLC0415  # a wrong file must not wait for it

    return run_agent(config)

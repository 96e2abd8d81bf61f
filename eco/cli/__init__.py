"""The command line: everything that people and supervisors ask of `eco`.

`run` is the agent's own start and takes the short way (`argv`): neither the parser nor the
tables are imported for it. All other commands live in `app`, one module for each topic; they
read and ask, and leave the deciding to the agent.
"""

from __future__ import annotations

import os
import sys

from eco.cli.argv import normalise, plain_run

__all__ = ["main"]


def main() -> int:
    """Do what `sys.argv` asks; returns the exit code (or leaves through `SystemExit`)."""
    arguments = normalise(sys.argv[1:])
    wanted = plain_run(arguments, os.environ)
    if wanted is not None:
        from eco.cli.running import run  # noqa: PLC0415  # the short way pays for nothing else

        return run(wanted)
    from eco.cli.app import app  # noqa: PLC0415  # 100 ms of parser that `run` must not pay

    app(list(arguments), prog_name="eco")
    return 0

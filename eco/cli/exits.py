"""Exit codes: a promise to scripts and supervisors, told in docs/cli.md."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a command's exit code says. Codes above 63 follow sysexits.h."""

    OK = 0
    FAILED = 1
    """It was not done, or the cluster is not healthy; a sentence on stderr says why."""
    NOBODY = 2
    """Nobody answered. A wrong command line gives 2, too, as everywhere."""
    LATER = 75
    """Something on this machine stands in the way (EX_TEMPFAIL): try again later."""
    CONFIG = 78
    """The configuration is wrong (EX_CONFIG): a supervisor need not try again."""

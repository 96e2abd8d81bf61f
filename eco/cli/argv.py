"""The command line before any parser sees it: old spellings, and the short way to `run`.

The original operator was started as `etcd-cloud-operator -config FILE`; the same arguments
start this agent. And because a node's start-up time is paid again at every restart, a plain
`run` is recognised here, without importing the parser that everything else deserves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_CONFIG = "/etc/eco/eco.yaml"
CONFIG_VARIABLE = "ECO_CONFIG"
LOG_LEVELS = ("debug", "info", "warn", "error")

_OLD = {"-config": "--config", "-log-level": "--log-level"}
_RUN_OPTIONS = {"--config": "config", "-c": "config", "--log-level": "log_level"}


class Run(NamedTuple):
    """A `run` whose command line is beyond doubt."""

    config: str
    log_level: str = ""
    """In place of the configuration's, unless empty."""


def normalise(arguments: Sequence[str]) -> tuple[str, ...]:
    """The arguments (without the program's name) in their canonical spelling.

    Go's one-dash flags become two-dash options, and options of `run` without a sub-command mean
    `run`. Everything else is left to the parser.
    """
    if not arguments or not _names_run_option(arguments[0]):
        return tuple(arguments)
    return ("run", *(_canonical(argument) for argument in arguments))


def plain_run(arguments: Sequence[str], environment: Mapping[str, str]) -> Run | None:
    """The `run` that normalised `arguments` ask for; None when the parser has to look at them:
    another command, help, a wrong option or a missing value."""
    if not arguments or arguments[0] != "run":
        return None
    given: dict[str, str] = {}
    rest = iter(arguments[1:])
    for argument in rest:
        name, glued, value = argument.partition("=")
        value = value if glued else next(rest, "")
        if name not in _RUN_OPTIONS or (glued and name == "-c") or not value or value.startswith("-"):
            return None
        given[_RUN_OPTIONS[name]] = value
    given.setdefault("config", environment.get(CONFIG_VARIABLE) or DEFAULT_CONFIG)
    if given.get("log_level", LOG_LEVELS[0]) not in LOG_LEVELS:
        return None
    return Run(**given)


def _names_run_option(argument: str) -> bool:
    return _canonical(argument).partition("=")[0] in _RUN_OPTIONS


def _canonical(argument: str) -> str:
    name, glued, value = argument.partition("=")
    return f"{_OLD.get(name, name)}{glued}{value}"

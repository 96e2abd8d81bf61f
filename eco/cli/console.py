"""Where commands print: tables and colour on terminals, plain greppable lines elsewhere."""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from eco.cli.exits import Exit
from eco.cli.text import complaint

if TYPE_CHECKING:
    from eco.errors import ConfigError


class Output(Enum):
    """How a command prints its result."""

    TEXT = "text"
    JSON = "json"


def console() -> Console:
    """Standard output. Text is taken literally: nothing in it is markup or an emoji."""
    return Console(highlight=False, markup=False, emoji=False)


def put(out: Console, text: Text, indent: int = 0) -> None:
    """Print one text: wrapped and indented on a terminal, one line for `grep` elsewhere."""
    if out.is_terminal:
        out.print(Padding(text, (0, 0, 0, indent), expand=False))
    else:
        out.print(Text(" " * indent) + text, soft_wrap=True)


def say(text: str) -> None:
    """One plain line on standard output, never wrapped."""
    typer.echo(text)


def say_json(value: object) -> None:
    """`value` as JSON, ASCII only, so that no text in it can play with the terminal."""
    typer.echo(json.dumps(value, indent=2))


def warn(text: str) -> None:
    """One plain line on standard error."""
    typer.echo(text, err=True)


def fail(text: str, code: Exit = Exit.FAILED) -> NoReturn:
    """Say on standard error what went wrong, and end the command with `code`."""
    warn(f"eco: {text}")
    raise typer.Exit(code)


def fail_config(path: object, fault: ConfigError) -> NoReturn:
    """Every problem of the configuration at once, on standard error; ends with 78."""
    fail(complaint(path, fault), Exit.CONFIG)

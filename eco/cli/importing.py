"""`eco import`: from an etcd's flags, environment or YAML to a configuration that adopts it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from eco.cli.console import fail, say, warn
from eco.cli.text import printable
from eco.errors import ConfigError

STANDARD_INPUT = "-"


def import_(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A file, - for standard input, or a command line.")],
    *,
    file: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there; never over a file that exists.")
    ] = None,
) -> None:
    """Turn an existing etcd's settings into an [bold]eco.yaml[/bold] that adopts it.

    SOURCE is etcd's own YAML, a static pod's manifest (kubeadm), an environment
    file (ETCD_…), a systemd unit, or a command line in quotes. Comments in the
    result say what is left to decide and what could not be carried over.

    [bold]Examples[/bold]
    eco import /etc/kubernetes/manifests/etcd.yaml --output eco.yaml
    eco import "etcd --name a --data-dir /var/lib/etcd"
    systemctl cat etcd | eco import -
    """
    from eco.config.importing import importing  # noqa: PLC0415  # for this command alone

    try:
        text = importing(_read(source))
    except ConfigError as fault:
        fail("this cannot be imported:" + "".join(f"\n  {printable(str(problem))}" for problem in fault.problems))
    if file is None:
        say(text.rstrip("\n"))
        return
    try:
        with file.open("x") as fresh:
            fresh.write(text)
    except OSError as fault:
        fail(f"{file} cannot be written: {fault.strerror}")
    warn(f"wrote {file}: read what it leaves to decide, then run `eco check-config {file}`")


def _read(source: str) -> str | Path:
    """The text on standard input or the command line, else the file."""
    if source == STANDARD_INPUT:
        return sys.stdin.read()
    return source if " " in source.strip() and not Path(source).exists() else Path(source)

"""`eco etcd install`, `eco etcd path`: the etcd that the agent runs."""

from typing import Annotated

import typer

from eco.cli.console import fail, say, warn
from eco.cli.options import DEFAULT, ConfigOption, configuration
from eco.errors import EcoError
from eco.etcd.install import DEFAULT as DEFAULT_VERSION
from eco.etcd.install import Binaries, find, install

etcd = typer.Typer(no_args_is_help=True, help="The etcd that the agent runs: install it, or say which it is.")


@etcd.command("install")
def install_etcd(
    version: Annotated[str, typer.Option("--version", help="Which etcd.")] = DEFAULT_VERSION,
) -> None:
    """Install etcd, etcdctl and etcdutl into eco's cache, checked against known checksums.

    The official release is fetched; where it cannot be reached, etcd is built
    from its Go modules, which takes two minutes and a Go toolchain.

    [bold]Examples[/bold]
    eco etcd install
    eco etcd install --version 3.5.33
    """
    try:
        binaries = install(version, progress=warn)
    except ValueError as fault:
        raise typer.BadParameter(str(fault), param_hint="--version") from fault
    except EcoError as fault:
        fail(str(fault))
    say(str(binaries.etcd))


@etcd.command("path")
def path(config: ConfigOption = DEFAULT) -> None:
    """Print the etcd that the agent would run: of the configuration, else of PATH, else of eco's cache.

    Exit code 1: there is none, and standard error says what to do about it.
    """
    named = configuration(config).etcd.binary if config.exists() else None
    try:
        binaries = find(str(named) if named else None)
    except EcoError as fault:
        fail(str(fault))
    say(str(binaries.etcd))


def ensure_etcd() -> Binaries:
    """The etcd to run; installed first where there is none. Raises `EcoError`."""
    try:
        return find(None)
    except EcoError:
        warn("there is no etcd on this machine yet; installing it")
        return install(DEFAULT_VERSION, progress=warn)

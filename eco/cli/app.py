"""The commands in one parser: names, order and the help that stands above them."""

from typing import Annotated

import typer

from eco import __version__
from eco.cli.argv import LOG_LEVELS, Run
from eco.cli.asking import leave, pause, resume
from eco.cli.checking import check_config
from eco.cli.console import say
from eco.cli.dev.commands import dev
from eco.cli.explaining import explain
from eco.cli.importing import import_
from eco.cli.installing import etcd
from eco.cli.options import DEFAULT, ConfigOption
from eco.cli.running import run
from eco.cli.watching import status

NODE = "This node"
CLUSTER = "The cluster"
SETUP = "Setting up"

app = typer.Typer(
    name="eco",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


@app.callback()
def eco(
    *,
    version: Annotated[  # its callback does the work
        bool,
        typer.Option("--version", is_eager=True, callback=lambda wanted: _version(wanted=wanted), help="Print it."),
    ] = False,
) -> None:
    """A self-managing etcd: one agent in each node, in place of the etcd binary.

    On a node: eco run · on a laptop: eco dev · at night: eco status, eco explain
    """


@app.command("run", rich_help_panel=NODE)
def run_command(
    *,
    config: ConfigOption = DEFAULT,
    log_level: Annotated[
        str, typer.Option("--log-level", metavar="|".join(LOG_LEVELS), help="In place of the configuration's.")
    ] = "",
) -> None:
    """Run this node's agent, and etcd as its child, until SIGTERM.

    A second SIGTERM stops etcd at once.
    As with the original operator, [bold]eco -config FILE[/bold] does the same.

    [bold]Exit codes[/bold]
     0  stopped on request, or this node has left the cluster
    75  something on this machine is in the way: try again later
    78  the configuration is wrong: every problem is on standard error
    """
    if log_level and log_level not in LOG_LEVELS:
        raise typer.BadParameter(f"{log_level} is none of {', '.join(LOG_LEVELS)}", param_hint="--log-level")
    raise typer.Exit(run(Run(str(config), log_level)))


def _version(*, wanted: bool) -> None:
    if wanted:
        say(f"eco {__version__}")
        raise typer.Exit


app.command("explain", rich_help_panel=NODE)(explain)
app.command("leave", rich_help_panel=NODE)(leave)
app.command("pause", rich_help_panel=NODE)(pause)
app.command("resume", rich_help_panel=NODE)(resume)
app.command("status", rich_help_panel=CLUSTER)(status)
app.add_typer(dev, name="dev", rich_help_panel=CLUSTER)
app.command("check-config", rich_help_panel=SETUP)(check_config)
app.add_typer(etcd, name="etcd", rich_help_panel=SETUP)
app.command("import", rich_help_panel=SETUP)(import_)

"""The commands of `eco dev`: the first starts the cluster, the others talk to it."""

import asyncio
import ipaddress
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from eco.cli.console import Output, console, fail, say, say_json
from eco.cli.dev import starting
from eco.cli.dev.control import Order, Verb, ask
from eco.cli.dev.home import Home
from eco.cli.dev.places import DEFAULT_BASE, can_bind
from eco.cli.exits import Exit
from eco.cli.installing import ensure_etcd
from eco.cli.options import OutputOption
from eco.cli.survey import ask_all, of, verdict
from eco.cli.table import picture
from eco.cli.text import printable
from eco.cli.watching import document
from eco.errors import EcoError

DIRECTORY = Path(".eco-dev")

dev = typer.Typer(invoke_without_command=True, rich_markup_mode="rich")

DirOption = Annotated[
    Path | None,
    typer.Option("--dir", metavar="DIR", envvar="ECO_DEV_DIR", help="The cluster's directory; .eco-dev by default."),
]
NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help="Which node, such as n1.")]


def _address(text: str) -> str:
    try:
        address = str(ipaddress.ip_address(text))
    except ValueError as fault:
        raise typer.BadParameter(str(fault)) from fault
    if not can_bind(address, 0):
        raise typer.BadParameter(f"{address} is no address of this machine")
    return address


@dev.callback()
def start(  # noqa: PLR0913  # each is an option
    context: typer.Context,
    *,
    size: Annotated[int, typer.Option(min=1, max=9, help="Nodes of a new cluster; one that exists keeps its own.")] = 3,
    directory: DirOption = None,
    base: Annotated[
        str,
        typer.Option(
            "--base-address",
            metavar="IP",
            callback=_address,
            help="The first node's address in a new cluster; the next ones follow it.",
        ),
    ] = DEFAULT_BASE,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return as soon as the cluster serves.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the cluster that is there and begin anew.")] = False,
) -> None:
    """Run a real cluster on this machine, and hurt it.

    Every node is an agent and an etcd of its own, with the usual ports on an
    address of its own: 127.0.0.1, 127.0.0.2 … Ctrl-C stops everything and keeps
    the data: the next [bold]eco dev[/bold] goes on with it.

    [bold]From a second terminal[/bold]
    eco dev status               eco dev etcdctl put a b
    eco dev kill n1              eco dev pause n2 --for 10
    eco dev wipe n3              eco dev terminate n1
    eco dev add                  eco dev stop
    """
    context.obj = directory
    if context.invoked_subcommand is not None:
        return
    home = _home(context, directory)
    try:
        with home.hold():
            ensure_etcd()
            starting.prepare(home, size, base, fresh=fresh)
            say(starting.preface(home))
            if not detach:
                asyncio.run(starting.supervise(home))
                say(f"stopped; the next `eco dev` goes on with what is in {home.root}")
                return
        say(starting.detach(home))
    except EcoError as fault:
        fail(str(fault))


@dev.command()
def status(context: typer.Context, directory: DirOption = None, output: OutputOption = Output.TEXT) -> None:
    """Show every node, and whether its agent runs. Exit codes as of [bold]eco status[/bold]."""
    home = _home(context, directory)
    nodes = _order(home, Order(Verb.STATUS))["nodes"]
    survey = asyncio.run(ask_all(of(home.listing().instances)))
    if output is Output.JSON:
        say_json({**document(survey), "processes": nodes})
    else:
        console().print(picture(survey))
        for node in nodes:
            say(f"{node['name']}: {_process(node)}")
    raise typer.Exit(Exit.OK if verdict(survey)[0] else Exit.FAILED)


@dev.command()
def kill(
    context: typer.Context,
    node: NodeArgument,
    *,
    directory: DirOption = None,
    etcd_only: Annotated[bool, typer.Option("--etcd-only", help="Leave the agent alone.")] = False,
    agent_only: Annotated[bool, typer.Option("--agent-only", help="Leave etcd alone.")] = False,
) -> None:
    """Kill a node's agent and etcd (kill -9); it comes back, as after a crash."""
    if etcd_only and agent_only:
        raise typer.BadParameter("give one of --etcd-only and --agent-only, or neither")
    _do(_home(context, directory), Order(Verb.KILL, node, agent=not etcd_only, etcd=not agent_only))


@dev.command()
def pause(
    context: typer.Context,
    node: NodeArgument,
    directory: DirOption = None,
    seconds: Annotated[
        float | None, typer.Option("--for", metavar="SECONDS", min=0, help="Let it go on after so long.")
    ] = None,
) -> None:
    """Freeze a node's agent and etcd (SIGSTOP), as a machine that hangs."""
    _do(_home(context, directory), Order(Verb.PAUSE, node, seconds=seconds))


@dev.command()
def unpause(context: typer.Context, node: NodeArgument, directory: DirOption = None) -> None:
    """Let a paused node go on."""
    _do(_home(context, directory), Order(Verb.UNPAUSE, node))


@dev.command()
def wipe(context: typer.Context, node: NodeArgument, directory: DirOption = None) -> None:
    """Kill a node and delete its data; it comes back empty, as with a new disk."""
    _do(_home(context, directory), Order(Verb.WIPE, node))


@dev.command()
def terminate(context: typer.Context, node: NodeArgument, directory: DirOption = None) -> None:
    """Take a node away for good, as a cloud does: killed, deleted, and off the group's list."""
    _do(_home(context, directory), Order(Verb.TERMINATE, node))


@dev.command()
def add(
    context: typer.Context,
    node: Annotated[str | None, typer.Argument(metavar="[NODE]", help="Its name; the next number by default.")] = None,
    directory: DirOption = None,
) -> None:
    """Add a node: in place of a terminated one, or one more."""
    _do(_home(context, directory), Order(Verb.ADD, node))


@dev.command()
def stop(context: typer.Context, directory: DirOption = None) -> None:
    """Stop everything in good order and keep the data; returns when nothing runs any more."""
    home = _home(context, directory)
    _do(home, Order(Verb.STOP))
    if not starting.await_end(home):
        fail("the dev cluster is still stopping; see what it says, or ask once more to stop at once")


@dev.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False},
)
def etcdctl(context: typer.Context) -> None:
    """Run etcdctl against all nodes: [bold]eco dev etcdctl put a b[/bold]."""
    home = _home(context, None)
    try:
        binary = ensure_etcd().etcdctl
        where = starting.client_urls(home)
    except EcoError as fault:
        fail(str(fault))
    if binary is None:
        fail("there is no etcdctl beside the etcd that runs; `eco etcd install` brings both")
    os.execv(binary, (str(binary), f"--endpoints={where}", *context.args))  # noqa: S606  # to become etcdctl is the point


def _home(context: typer.Context, directory: Path | None) -> Home:
    """The directory that was named after the command, else before it, else the usual one."""
    before = context.parent.obj if context.parent is not None else None
    return Home((directory or before or DIRECTORY).resolve())


def _do(home: Home, order: Order) -> None:
    say(printable(str(_order(home, order)["said"])))


def _order(home: Home, order: Order) -> dict[str, Any]:
    try:
        return ask(home, order)
    except EcoError as fault:
        fail(printable(str(fault)))


def _process(node: dict[str, Any]) -> str:
    """What the supervisor knows of a node's agent."""
    if node["exit_code"] is not None:
        return f"its agent ended with exit code {node['exit_code']}; `eco dev wipe {node['name']}` starts it anew"
    if node["agent_pid"] is None:
        return "its agent is about to be started again"
    return f"agent {node['agent_pid']} {'is paused' if node['paused'] else 'runs'}"

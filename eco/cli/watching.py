"""`eco status`: the whole cluster as its agents see it, once or live."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live

from eco.cli.console import Output, console, fail, say_json
from eco.cli.exits import Exit
from eco.cli.options import DEFAULT, ConfigOption, OutputOption, configuration
from eco.cli.survey import Endpoint, Survey, answers, ask_all, endpoints, verdict
from eco.cli.table import picture
from eco.cli.whereabouts import everybody
from eco.core.sight import Unknown
from eco.errors import Unavailable

PACE = 1.0
"""Seconds between two looks of `--watch`."""


def status(
    *,
    config: ConfigOption = DEFAULT,
    where: Annotated[
        str,
        typer.Option("--endpoints", metavar="HOST[:PORT],…", help="Ask these agents instead of all in the group."),
    ] = "",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look every second until Ctrl-C.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show every node: its situation and why, role, revision, lag, database and etcd.

    [bold]Exit codes[/bold]
    0  every wanted node serves
    1  some do not
    2  nobody answers

    [bold]Examples[/bold]
    eco status --watch
    eco status --output json | jq .healthy
    eco status --endpoints 10.0.0.1,10.0.0.2:2378
    """
    asked = _given(where) if where else _listed(config)
    if watch:
        with suppress(KeyboardInterrupt):
            asyncio.run(_watch(asked, output))
        return
    survey = asyncio.run(ask_all(asked))
    if output is Output.JSON:
        say_json(document(survey))
    else:
        console().print(picture(survey))
    raise typer.Exit(_code(survey))


def document(survey: Survey) -> dict[str, Any]:
    """The survey for programs: the verdict, and every status page as it came."""
    healthy, summary = verdict(survey)
    nodes = [
        {
            "name": seen.name,
            "address": seen.endpoint.address,
            "because": seen.answer.because if isinstance(seen.answer, Unknown) else "",
            "status": None if isinstance(seen.answer, Unknown) else seen.document,
        }
        for seen in survey
    ]
    return {"healthy": healthy, "summary": summary, "nodes": nodes}


async def _watch(asked: tuple[Endpoint, ...], output: Output) -> None:
    if output is Output.JSON or not console().is_terminal:
        while True:
            survey = await ask_all(asked)
            say_json(document(survey)) if output is Output.JSON else console().print(picture(survey))
            await asyncio.sleep(PACE)
    with Live(console=console(), auto_refresh=False, screen=True) as live:
        while True:
            live.update(picture(await ask_all(asked)), refresh=True)
            await asyncio.sleep(PACE)


def _given(where: str) -> tuple[Endpoint, ...]:
    try:
        return endpoints(where)
    except ValueError as fault:
        raise typer.BadParameter(str(fault), param_hint="--endpoints") from fault


def _listed(path: Path) -> tuple[Endpoint, ...]:
    """Every instance that the configuration's provider lists."""
    try:
        return asyncio.run(everybody(configuration(path)))
    except Unavailable as fault:
        fail(f"the group cannot be looked up: {fault}; name the nodes with --endpoints", Exit.NOBODY)


def _code(survey: Survey) -> Exit:
    if not answers(survey):
        return Exit.NOBODY
    return Exit.OK if verdict(survey)[0] else Exit.FAILED

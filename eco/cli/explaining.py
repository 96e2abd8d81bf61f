"""`eco explain`: the last decisions of this node and why, from its journal."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from eco.cli import journal
from eco.cli.console import Output, console, fail, put, say_json, warn
from eco.cli.options import DEFAULT, ConfigOption, OutputOption, configuration
from eco.cli.text import printable

INDENT = 4


def explain(
    *,
    last: Annotated[int, typer.Option("--last", "-n", min=1, max=10_000, help="How many decisions.")] = 10,
    config: ConfigOption = DEFAULT,
    file: Annotated[
        Path | None, typer.Option("--journal", metavar="FILE", help="Read this journal instead of the node's.")
    ] = None,
    facts: Annotated[bool, typer.Option("--facts", help="Show the facts each decision rests on.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show this node's last decisions, oldest first, and why each was taken.

    The agent need not run: the journal lies in the data directory, `eco/journal.jsonl`.

    [bold]Examples[/bold]
    eco explain --last 50
    eco explain --last 1 --facts
    eco explain --output json | jq '.[] | select(.step != "Hold")'
    """
    path = file or configuration(config).etcd.data_dir / "eco" / "journal.jsonl"
    try:
        page = journal.last(path, last)
    except OSError as fault:
        fail(f"the journal {path} cannot be read: {fault.strerror}; has an agent ever run here, and may you read it?")
    if output is Output.JSON:
        say_json([asdict(entry) for entry in page.entries])
    else:
        _show(page, console(), facts=facts)
    if page.skipped:
        warn(f"eco: {page.skipped} of the lines of {path} are no decisions and were left out")


def _show(page: journal.Page, out: Console, *, facts: bool) -> None:
    for entry in page.entries:
        put(out, _headline(entry))
        for line in _lines(entry, facts=facts):
            put(out, line, INDENT)


def _headline(entry: journal.Entry) -> Text:
    words = (entry.at, entry.me, entry.situation, entry.step, f"→ {entry.outcome}" if entry.outcome else "")
    return Text("  ".join(printable(word) for word in words if word), style="bold")


def _lines(entry: journal.Entry, *, facts: bool) -> Iterator[Text]:
    yield Text(printable(entry.because))
    for refusal in entry.refused:
        yield Text(f"refused: {printable(refusal)}", style="yellow")
    for alarm in entry.alarms:
        yield Text(f"alarm: {printable(alarm)}", style="red")
    if facts:
        for name, value in sorted(entry.facts.items()):
            yield Text(f"{printable(name)}: {printable(journal.text(value))}", style="dim")

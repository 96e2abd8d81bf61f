"""The picture of a cluster for people: a table that fits 80 columns, and each node's sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from rich.console import Group
from rich.table import Table
from rich.text import Text

from eco.cli.survey import answers, verdict
from eco.cli.text import printable, size
from eco.core.sight import Known, Unknown

if TYPE_CHECKING:
    from rich.console import RenderableType

    from eco.cli.survey import Answer, Seen, Survey

SILENT = "no answer"
_COLOURS = {"SERVING": "green", "CATCHING_UP": "cyan", "DORMANT": "cyan", "CHARTERED": "cyan", SILENT: "red"}


def picture(survey: Survey) -> RenderableType:
    """Headline, table and sentences."""
    healthy, sentence = verdict(survey)
    names = sorted({f"cluster {each.cluster or '?'} · generation {each.generation}" for each in answers(survey)})
    headline = Text(printable(" · ".join([*names, sentence])), style="bold green" if healthy else "bold yellow")
    return Group(headline, Text(), _numbers(survey), Text(), _sentences(survey))


def _numbers(survey: Survey) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("NODE", "SITUATION", "ROLE"):
        table.add_column(heading, overflow="fold")
    for heading in ("REVISION", "LAG", "DB"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("ETCD", no_wrap=True)
    for seen in survey:
        table.add_row(*(Text(cell, style=style) for cell, style in _cells(seen)))
    return table


def _cells(seen: Seen) -> list[tuple[str, str]]:
    match seen.answer:
        case Unknown():
            return [(printable(seen.name), ""), (SILENT, _COLOURS[SILENT]), *[("–", "dim")] * 5]
        case Known(answer):
            situation = printable(answer.situation, 24)
            return [
                (printable(seen.name, 40), ""),
                (situation, _COLOURS.get(situation, "yellow")),
                (answer.role or "–", "bold" if answer.leads else ""),
                *((text, "") for text in _figures(answer)),
            ]
        case _:
            assert_never(seen.answer)


def _figures(answer: Answer) -> tuple[str, str, str, str]:
    own = answer.own
    return (
        str(answer.revision) if answer.revision else "–",
        "–" if answer.lag is None else str(answer.lag),
        "–" if own is None or own.db_size is None else size(own.db_size),
        printable(answer.etcd, 12) or "–",
    )


def _sentences(survey: Survey) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(overflow="fold")
    for seen in survey:
        name = printable(seen.name, 40)
        match seen.answer:
            case Unknown(because):
                grid.add_row(Text(name), Text(printable(because)))
            case Known(answer):
                grid.add_row(Text(name), Text(printable(answer.because)))
                for alarm in answer.alarms:
                    grid.add_row("", Text(f"alarm: {printable(alarm)}", style="red"))
                for refusal in answer.refused:
                    grid.add_row("", Text(f"refused: {printable(refusal)}", style="yellow"))
            case _:
                assert_never(seen.answer)
    return grid

"""The page as a sheet of HTML for a browser: no script, nothing loaded, every value escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eco.status.page import InstanceRow, MemberRow, Page

STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}"
    "caption{text-align:left;font-weight:bold;padding:1.5rem 0 .5rem}"
    "th,td{text-align:left;vertical-align:top;padding:.25rem 1rem .25rem 0;border-bottom:1px solid #8886}"
    ".alarm{border-left:.3rem solid #c33;padding-left:.7rem}"
)

REFRESH = 5
"""Seconds after which a browser loads the sheet again."""


def sheet(page: Page) -> bytes:
    """The page as an HTML document."""
    report = page.report
    title = f"{report.name} · {report.situation}"
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="refresh" content="{REFRESH}"><title>{escape(title)}</title><style>{STYLE}</style></head>',
        f"<body><main><h1>{escape(title)}</h1><p>{escape(report.because)}</p>",
        *(f'<p class="alarm"><strong>Alarm:</strong> {escape(alarm)}</p>' for alarm in page.alarms),
        *(f'<p class="alarm"><strong>Refused:</strong> {escape(refusal)}</p>' for refusal in page.refused),
        _table("This node", ("Fact", "Value"), _facts(page)),
        _table("Members", ("Name", "Role", "Health", "Raft index", "Size", "Peer URL"), map(_member, page.members)),
        _table("Instances", ("Name", "Address", "Presence", "Situation"), map(_instance, page.instances)),
        _table("Unknown at this look", ("Fact", "Why"), page.unknown.items()),
        '<p><a href="/status">JSON</a> · <a href="/metrics">metrics</a></p></main></body></html>\n',
    ]
    return "".join(parts).encode()


def _facts(page: Page) -> tuple[tuple[str, str], ...]:
    report = page.report
    process = f"{page.etcd or 'of unknown version'}, pid {page.pid}" if page.pid is not None else "does not run"
    return (
        ("Cluster", report.cluster),
        ("Generation", str(report.generation)),
        ("Serving", "yes" if report.serving else "no"),
        ("In this situation for", f"{page.seconds:.0f} s"),
        ("Step", page.step),
        ("Member", report.member_id or "none"),
        ("etcd", process),
        ("eco", f"{page.eco}, up for {page.uptime:.0f} s"),
    )


def _member(row: MemberRow) -> Sequence[str]:
    role = f"{row.role}, leader" if row.leader else row.role
    index = "" if row.raft_index is None else str(row.raft_index)
    size = "" if row.db_size is None else f"{row.db_size / 2**20:.1f} MiB"
    return (row.name or row.id, role, row.health, index, size, row.peer_url)


def _instance(row: InstanceRow) -> Sequence[str]:
    name = f"{row.name} (this node)" if row.me else row.name
    says = f"{row.situation}: {row.because}" if row.situation else row.because
    return (name, row.address, row.presence, says)


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    if not body:
        return ""
    heads = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"

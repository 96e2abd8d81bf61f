"""What answers on the status port: the page, the probes, the metrics, and a few requests.

Reading needs no credentials and changes nothing. Asking the agent to do something needs the
token that lies in its data directory. A probe's answer is a sentence as well as a status, for
the person who calls it by hand:

`/livez`     the agent's loop turns; a node that waits for recovery is alive
`/readyz`    a linearizable read was served through this node lately
`/startupz`  the first look is done and decided upon
"""

from __future__ import annotations

import hmac
import json
import logging
from typing import TYPE_CHECKING

from eco.errors import Refused, Unavailable
from eco.status.http import Response, text
from eco.status.page import render
from eco.status.sheet import sheet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from eco.status.http import Request
    from eco.status.page import Page

log = logging.getLogger(__name__)

STUCK_AFTER = 60.0
"""Seconds after which a page is too old: longer than any step may take to act."""

METRICS_PACE = 0.5
"""Seconds for which rendered metrics are given out again."""

NAME_LENGTH = 253
"""Of a peer's name in `?from=`, at most: a host name's."""

NOT_YET = "the agent's first look is not done yet"

JSON = ("Content-Type", "application/json")
HTML = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
)
METRICS = ("Content-Type", "text/plain; version=0.0.4; charset=utf-8")


class StatusApi:
    """The handler for `eco.status.http.serve`.

    `page` gives the newest page, None before the first; `actions` what may be asked for, by path
    (`leave` for `POST /leave`), each returning the sentence that says what will happen and raising
    `Refused` or `Unavailable`. Without a `token` nobody may ask. `clock` is the one of
    `Page.looked_at`. `on_peer` hears the name of an agent that asks for the status.
    """

    def __init__(  # noqa: PLR0913 -- each is one thing the port shows or does
        self,
        page: Callable[[], Page | None],
        actions: Mapping[str, Callable[[], Awaitable[str]]],
        token: str,
        metrics: Callable[[], bytes],
        *,
        clock: Callable[[], float],
        stuck_after: float = STUCK_AFTER,
        on_peer: Callable[[str], None] | None = None,
    ) -> None:
        self._page = page
        self._actions = actions
        self._token = token
        self._metrics = metrics
        self._clock = clock
        self._stuck_after = stuck_after
        self._on_peer = on_peer
        self._since = clock()
        self._rendered: tuple[Page | None, bytes] = (None, b"")
        self._measured: tuple[float, bytes] | None = None
        self._reads: Mapping[str, Callable[[Request], Response]] = {
            "/": self._sheet,
            "/status": self._status,
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/startupz": self._startupz,
            "/metrics": self._expose,
        }

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        if read := self._reads.get(request.path):
            return read(request) if request.method in {"GET", "HEAD"} else _wrong_method("GET, HEAD")
        if action := self._actions.get(request.path.removeprefix("/")):
            return await self._ask(action, request) if request.method == "POST" else _wrong_method("POST")
        return text(404, "there is nothing under this path")

    # -------------------------------------------------- asking

    async def _ask(self, action: Callable[[], Awaitable[str]], request: Request) -> Response:
        if not self._may_ask(request):
            challenge = (JSON, ("WWW-Authenticate", 'Bearer realm="eco"'))
            return Response(401, _json(error="this needs the agent's token"), challenge)
        log.info("%s asked for %s.", request.address, request.path, extra={"event": "http.asked"})
        try:
            return Response(200, _json(done=await action()), (JSON,))
        except Refused as refusal:
            return Response(409, _json(error=str(refusal)), (JSON,))
        except Unavailable as fault:
            return Response(503, _json(error=str(fault)), (JSON,))

    def _may_ask(self, request: Request) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode(), self._token.encode())
        return same and scheme.lower() == "bearer" and self._token != ""

    # -------------------------------------------------- reading

    def _status(self, request: Request) -> Response:
        peer = request.query.get("from", "")
        if self._on_peer is not None and 0 < len(peer) <= NAME_LENGTH and peer.isprintable():
            self._on_peer(peer)
        page = self._page()
        if page is None:
            return Response(503, _json(error=NOT_YET), (JSON,))
        if page is not self._rendered[0]:
            self._rendered = (page, render(page))
        age = ("Age", str(int(max(0.0, self._clock() - page.looked_at))))
        return Response(200, self._rendered[1], (JSON, age))

    def _sheet(self, _: Request) -> Response:
        page = self._page()
        return text(503, NOT_YET) if page is None else Response(200, sheet(page), HTML)

    def _livez(self, _: Request) -> Response:
        stuck = self._stuck(self._page())
        return text(503, stuck) if stuck else text(200, "ok")

    def _startupz(self, _: Request) -> Response:
        return text(503, NOT_YET) if self._page() is None else text(200, "ok")

    def _readyz(self, _: Request) -> Response:
        page = self._page()
        if page is None:
            return text(503, NOT_YET)
        if stuck := self._stuck(page):
            return text(503, stuck)
        if page.report.is_learner:
            return text(503, "this member is a learner; it serves once it is a voter")
        if not page.report.serving:
            return text(503, f"no linearizable read succeeded lately; {page.report.situation}: {page.report.because}")
        return text(200, "ok")

    def _stuck(self, page: Page | None) -> str:
        """For how long the agent's loop has not turned, as a sentence; "" when it turns."""
        age = self._clock() - (page.looked_at if page is not None else self._since)
        return f"the agent's loop has not turned for {age:.0f} s" if age > self._stuck_after else ""

    def _expose(self, _: Request) -> Response:
        now = self._clock()
        if self._measured is None or now - self._measured[0] > METRICS_PACE:
            self._measured = (now, self._metrics())
        return Response(200, self._measured[1], (METRICS,))


def _json(**document: str) -> bytes:
    return json.dumps(document).encode() + b"\n"


def _wrong_method(allowed: str) -> Response:
    return Response(405, f"this path answers {allowed}\n".encode(), (("Allow", allowed),))

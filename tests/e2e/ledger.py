"""The ledger: what was acknowledged, when, by whom, and whether it is still there.

The load (`tests.e2e.load`) writes a line per request; this module starts it, reads the lines and
judges them. A verdict is only given on evidence: with less than `ENOUGH` acknowledged writes a
second the run is *void*, which is an error of its own kind and never a pass.

What is judged:
- every acknowledged write is found by a linearizable audit with its value and its revision;
- revisions follow real time: a request that began after another was acknowledged sees a higher one
  (writes) or no lower one (linearizable reads);
- one lineage: one cluster id acknowledges writes, no revision is given twice, and no two members lead
  side by side. All endpoints ever used are asked to the end, so a second lineage has nowhere to hide.

Times are seconds of CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from tests.e2e.gateway import CLIENT_PORT, Etcd, NoAnswerError, Pair
from tests.e2e.patience import TooLateError, eventually

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from io import BufferedReader
    from pathlib import Path

ENOUGH = 200
"""Acknowledged writes a second below which a run proves nothing."""
RATE = 250.0
"""Writes a second that the load asks for."""
OUTAGE = 0.25
"""Seconds without an acknowledgement from which on the service counts as interrupted."""
RIVALRY = 4
"""Seconds for which two members may both believe that they lead: check-quorum ends that within two election times."""


class VoidError(Exception):
    """The run proves nothing: there was too little traffic."""


class VerdictError(AssertionError):
    """The cluster broke a promise to its clients."""


class LostWritesError(VerdictError):
    """Acknowledged writes are missing; each is named."""

    def __init__(self, missing: Sequence[Put], wrong: Sequence[Put]) -> None:
        names = "\n".join(f"  {put.key} at revision {put.revision} through {put.endpoint}" for put in missing[:50])
        altered = "\n".join(f"  {put.key}" for put in wrong[:50])
        super().__init__(
            f"{len(missing)} acknowledged writes are missing:\n{names}\n{len(wrong)} are altered:\n{altered}"
        )
        self.missing = tuple(missing)
        self.wrong = tuple(wrong)


class SplitBrainError(VerdictError):
    """Two lineages accepted writes, or two members went on leading one cluster."""


@dataclass(frozen=True)
class Answered:
    """What every answered request tells: by whom, when, and of which lineage."""

    endpoint: str
    begun: float
    ended: float
    cluster_id: str
    member_id: str
    term: int


@dataclass(frozen=True)
class Put(Answered):
    """An acknowledged write."""

    revision: int
    key: str
    value: str


@dataclass(frozen=True)
class Read(Answered):
    """An answered linearizable read of a key that had been acknowledged before."""

    revision: int
    key: str
    found: bool


@dataclass(frozen=True)
class Look(Answered):
    """A member's word on who leads it; `leader` is "0" when it knows none."""

    leader: str


@dataclass(frozen=True)
class Failed:
    """A write whose outcome the client was not told."""

    endpoint: str
    begun: float
    ended: float
    key: str
    error: str


Record: TypeAlias = Put | Read | Look | Failed
_KINDS: dict[str, type[Put | Read | Look | Failed]] = {"put": Put, "read": Read, "look": Look, "failed": Failed}


@dataclass
class Book:
    """The records, by kind, in the order in which they ended."""

    puts: list[Put] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)

    def enter(self, line: bytes) -> None:
        kind, *rest = json.loads(line)
        record = _KINDS[kind](*rest)
        match record:
            case Put():
                self.puts.append(record)
            case Read():
                self.reads.append(record)
            case Look():
                self.looks.append(record)
            case Failed():
                self.failed.append(record)

    def longest_gap(self, since: float, until: float) -> float:
        """The longest time within the window without an acknowledgement."""
        marks = [since, *(put.ended for put in self.puts if since < put.ended < until), until]
        return max(late - early for early, late in pairwise(marks))

    def rate(self) -> float:
        """Acknowledged writes a second of service: a fault's gap does not count as time."""
        ended = sorted(put.ended for put in self.puts)
        served = sum(late - early for early, late in pairwise(ended) if late - early < OUTAGE)
        return len(ended) / served if served else 0.0

    def check_traffic(self) -> None:
        """Raise `VoidError` unless there was enough traffic to prove anything."""
        if (rate := self.rate()) < ENOUGH:
            raise VoidError(f"void: {rate:g} acknowledged writes a second, {ENOUGH} are needed")

    def check_order(self) -> None:
        """Revisions follow real time, for writes and for linearizable reads."""
        answered: list[Put | Read] = [*self.puts, *self.reads]
        acknowledged = sorted(self.puts, key=lambda put: put.ended)
        highest, done = 0, 0
        for request in sorted(answered, key=lambda one: one.begun):
            while done < len(acknowledged) and acknowledged[done].ended < request.begun:
                highest = max(highest, acknowledged[done].revision)
                done += 1
            behind = request.revision <= highest if isinstance(request, Put) else request.revision < highest
            if behind:
                raise VerdictError(f"{request} began when revision {highest} was acknowledged: history went back")
            if isinstance(request, Read) and not request.found:
                raise VerdictError(f"{request}: a linearizable read did not find an acknowledged key")

    def check_lineage(self) -> None:
        """One lineage took writes. Raises `SplitBrainError`."""
        clusters = {put.cluster_id for put in self.puts}
        if len(clusters) > 1:
            raise SplitBrainError(f"clusters {sorted(clusters)} have all acknowledged writes")
        given: dict[int, Put] = {}
        for put in self.puts:
            if (other := given.setdefault(put.revision, put)).key != put.key:
                raise SplitBrainError(f"revision {put.revision} was given to {other} and to {put}")
        if len(rivals := self.rivals()) > 1:
            raise SplitBrainError(f"members {sorted(rivals)} led the same cluster for {RIVALRY} s together")

    def rivals(self) -> set[str]:
        """Members that all claimed to lead one cluster for `RIVALRY` whole seconds together."""
        claims: dict[tuple[str, int], dict[str, bool]] = {}
        for look in self.looks:
            claim = claims.setdefault((look.cluster_id, int(look.ended)), {})
            claim[look.member_id] = claim.get(look.member_id, True) and look.leader == look.member_id
        leading = {at: {member for member, always in claim.items() if always} for at, claim in claims.items()}
        for cluster, second in leading:
            spans = [leading.get((cluster, second + later), set()) for later in range(RIVALRY)]
            if len(together := set.intersection(*spans)) > 1:
                return together
        return set()

    def compare(self, stored: dict[str, Pair]) -> None:
        """Every acknowledged write is stored as it was acknowledged. Raises `LostWritesError`."""
        missing = [put for put in self.puts if put.key not in stored]
        here = (put for put in self.puts if put.key in stored)
        wrong = [put for put in here if (stored[put.key].value, stored[put.key].revision) != (put.value, put.revision)]
        if missing or wrong:
            raise LostWritesError(missing, wrong)


class Ledger:
    """A running load and its book."""

    def __init__(self, directory: Path, addresses: Iterable[str], rate: float = RATE) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.prefix = "ledger/"
        self.rate = rate
        self.book = Book()
        self.addresses: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: BufferedReader | None = None
        self._rest = b""
        self.know(*addresses)

    def know(self, *addresses: str) -> None:
        """Add endpoints, as a client learns of new members; none is ever forgotten."""
        self.addresses += [address for address in addresses if address not in self.addresses]
        file = self.directory / "endpoints.json"
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps([f"{address}:{CLIENT_PORT}" for address in self.addresses]))
        fresh.replace(file)

    def start(self) -> None:
        log, errors = self.directory / "load.jsonl", self.directory / "load.log"
        log.touch()
        argv = [sys.executable, "-m", "tests.e2e.load", str(self.directory / "endpoints.json"), str(log)]
        with errors.open("ab") as stderr:
            self._process = subprocess.Popen([*argv, self.prefix, str(self.rate)], stderr=stderr)
        self._lines = log.open("rb")

    def refresh(self) -> Book:
        """Read what has been written since the last time."""
        if self._lines is not None:
            *lines, self._rest = (self._rest + self._lines.read()).split(b"\n")
            for line in lines:
                self.book.enter(line)
        return self.book

    def flowing(self, within: float = 20) -> float:
        """Wait for a second, begun after this call, with enough traffic for a fault to mean something.

        Gives the time then. Raises `VoidError`.
        """
        called = time.monotonic()

        def last_second() -> int:
            since = max(called, time.monotonic() - 1)
            return sum(1 for put in self.refresh().puts[-2 * int(self.rate) :] if put.begun > since)

        try:
            eventually(lambda: last_second() >= ENOUGH, within, "the load flows")
        except TooLateError as fault:
            raise VoidError(f"void: {last_second()} writes were acknowledged in the last second: {fault}") from fault
        return time.monotonic()

    def resumed(self, since: float, within: float) -> float:
        """Wait for a write that began after `since` to be acknowledged; when that was."""

        def first() -> float | None:
            puts = self.refresh().puts[-20 * int(self.rate) :]
            return next((put.ended for put in puts if put.begun > since), None)

        return eventually(first, within, "a write is acknowledged again")

    def longest_gap(self, since: float, until: float | None = None) -> float:
        """The longest time without an acknowledgement since then, in seconds."""
        return self.refresh().longest_gap(since, until or time.monotonic() - 0.05)

    def failures(self, since: float, *, except_through: Iterable[str] = ()) -> list[Failed]:
        """Writes begun since then that failed, leaving out those through these addresses."""
        spared = {f"{address}:{CLIENT_PORT}" for address in except_through}
        return [failed for failed in self.refresh().failed if failed.begun >= since and failed.endpoint not in spared]

    def stop(self) -> None:
        """Let the requests in flight end, and read all that was written; idempotent."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None
        self.refresh()

    def close(self) -> None:
        """End the load at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None
        if self._lines is not None:
            self._lines.close()
            self._lines = None

    def audit(self) -> None:
        """Read everything back by linearizable reads, and compare it with what was acknowledged."""
        self.refresh()
        book = Book(puts=list(self.book.puts))
        book.compare(self._everything())

    def _everything(self) -> dict[str, Pair]:
        reasons = []
        for address in self.addresses:
            try:
                return Etcd(address, timeout=10).everything(self.prefix)
            except NoAnswerError as fault:
                reasons.append(str(fault))
        raise VerdictError(f"nobody answers the audit: {'; '.join(reasons)}")

    def judge(self) -> None:
        """Judge everything that a ledger can tell, while the load may go on; the amount of traffic is not looked at."""
        self.refresh()
        self.book.check_lineage()
        self.book.check_order()
        self.audit()

    def settle(self) -> None:
        """Judge, and void the run if there was too little traffic to prove anything."""
        self.refresh()
        self.book.check_traffic()
        self.judge()

"""The door: one YAML file in, one `Config` out, or every problem at once.

Nothing is touched: no directory made, no socket opened, nothing written. Values are taken as they
stand, `$NAME` included: nothing is substituted from the environment.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from eco import plugins
from eco.config import tree
from eco.config.contradictions import contradictions, warnings
from eco.config.model import Config, Eco, Whole
from eco.config.reading import Reader
from eco.core.policy import Policy
from eco.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eco.ports import Provider, Store

LARGEST = 1 << 20
"""Bytes that a configuration may have."""

RETIRED = {
    "eco.auto-disaster-recovery": "is a key of old versions of the original; remove it: eco decides by proof",
    "eco.unseen-instance-ttl": "is a key of old versions of the original; write unhealthy-member-ttl instead",
}


def load(path: str | os.PathLike[str]) -> Config:
    """Read, check and build. Raises `ConfigError` with every problem, in the order of the file."""
    where = Path(os.path.abspath(path))  # noqa: PTH100 — resolve() would follow the link that a mounted ConfigMap is
    document = tree.parse(text(where), str(where))
    reader = Reader(Whole, RETIRED)
    eco = reader.read(Whole, _outermost(document.root, where), "").eco
    problems = [*document.problems, *reader.problems]
    broken = {problem.path for problem in problems}
    problems += [found.problem for found in contradictions(eco) if not broken.intersection(found.paths)]
    provider, store = _plugins(eco, where.parent, problems)
    if problems or provider is None or store is None:
        raise ConfigError(tuple(sorted(problems, key=lambda problem: document.line(problem.path))))
    return Config(
        path=where,
        cluster=eco.cluster,
        check_interval=eco.check_interval,
        listen_address=eco.listen_address,
        etcd=eco.etcd,
        snapshot=eco.snapshot,
        log=eco.log,
        policy=_policy(eco),
        provider=provider,
        store=store,
        warnings=tuple(warnings(eco)),
    )


def text(path: Path, largest: int = LARGEST) -> str:
    """A file's text. Raises `ConfigError` unless it is a readable, regular, small file of UTF-8."""
    try:
        # Without O_NONBLOCK, opening a pipe that nobody writes to would hang.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _bad(path, "is a directory or a device; name a file")
            raw = _read(descriptor, largest + 1)
        finally:
            os.close(descriptor)
    except OSError as fault:
        raise _bad(path, f"cannot be read: {fault.strerror or fault}") from fault
    except ValueError as fault:
        raise _bad(Path(ascii(str(path))), "is no path that can exist") from fault
    if len(raw) > largest:
        raise _bad(path, f"has more than {largest} bytes: this is no configuration")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = raw.count(b"\n", 0, fault.start) + 1
        raise _bad(path, f"is not UTF-8 in line {line}; save it as UTF-8") from fault


def _read(descriptor: int, most: int) -> bytes:
    with os.fdopen(descriptor, "rb", closefd=False) as opened:
        return opened.read(most)


def _bad(path: Path, hint: str) -> ConfigError:
    return ConfigError((Problem(str(path), "", hint),))


def _outermost(root: tree.Plain, path: Path) -> tree.Plain:
    if root is None:
        raise _bad(path, "is empty; begin with eco: and see config.example.yaml")
    if not isinstance(root, dict):
        raise _bad(path, "is not a mapping; begin with eco: and indent every key below it")
    if "eco" not in root:
        raise _bad(path, "has no eco: at its beginning; put it there and indent every key below it")
    return root


def _plugins(eco: Eco, base: Path, problems: list[Problem]) -> tuple[Provider | None, Store | None]:
    provider: Provider | None = None
    store: Store | None = None
    if eco.asg.provider:
        provider, faults = plugins.provider(eco.asg.provider, eco.asg.settings, base)
        problems += _below_eco(faults)
    if eco.snapshot.provider:
        store, faults = plugins.store(eco.snapshot.provider, eco.snapshot.settings, base)
        problems += _below_eco(faults)
    return provider, store


def _below_eco(faults: Iterable[Problem]) -> list[Problem]:
    """A plug-in's problems, under their paths in the file and fit for a terminal whoever wrote them."""
    return [Problem(f"eco.{_line(each.path)}", _line(each.value), _line(each.hint)) for each in faults]


def _line(said: str) -> str:
    return said if said.isprintable() else ascii(said)


def _policy(eco: Eco) -> Policy:
    return Policy(unhealthy_member_ttl=eco.unhealthy_member_ttl, leaderless=10 * eco.etcd.election_timeout)

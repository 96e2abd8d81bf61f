"""From the configuration of an etcd that exists to an `eco.yaml` that adopts it.

Everything the old one said is accounted for: it becomes a key, or a comment that says why it did
not. What would make the adopted member another one than it was (another data directory, TLS that
appears or vanishes, a log that lies elsewhere) is an error and not a comment. The text that comes
out passes `load` where the files it names exist.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import yaml

from eco.config import etcd_flags, sources, tree
from eco.config.amounts import GI, KI, MI
from eco.config.kinds import is_ip
from eco.config.model import Whole
from eco.config.reading import Reader
from eco.config.told import Found, bad
from eco.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

SHARED = "/mnt/eco"
"""Stands for the directory that only the operator can choose."""

_TRUE = {"1", "t", "T", "true", "True", "TRUE", "yes", "on"}
_FALSE = {"0", "f", "F", "false", "False", "FALSE", "no", "off"}
_DROPPED = {
    "initial-cluster-state": "only counts at a member's first start, which eco knows from the data directory",
    "initial-cluster-token": "only counts at birth; the adopted data keeps its cluster id",
    "force-new-cluster": "it throws the other members away at every start",
    "unsafe-no-fsync": "it loses acknowledged writes",
    "strict-reconfig-check": "eco relies on it",
    **dict.fromkeys(
        (
            "logger",
            "log-outputs",
            "log-format",
            "enable-log-rotation",
            "log-rotation-config-json",
            "log-package-levels",
        ),
        "eco reads what etcd logs, and hands it on",
    ),
}
_CLIENT, _PEER = "client-transport-security", "peer-transport-security"
_FILES = ("cert-file", "key-file", "trusted-ca-file")


def importing(source: str | Path | Sequence[str]) -> str:
    """The text of an `eco.yaml` that adopts what `source` configures.

    `source` is the words of a command line, or a text or file with a command line, environment
    lines, etcd's own YAML, a systemd unit or a pod. Raises `ConfigError` when it is none of these,
    or configures what this version of eco cannot carry on.
    """
    found = sources.read(source)
    text = _Translation(found).text()
    reader = Reader(Whole, {})
    reader.read(Whole, tree.parse(text, found.what).root, "")
    if reader.problems:
        raise ConfigError(tuple(reader.problems))
    return text


@dataclass(frozen=True)
class _Url:
    """An etcd URL: scheme, bare host, port."""

    scheme: str
    host: str
    port: int


@dataclass
class _Translation:
    """One import: what was found, what is still to say about it."""

    found: Found
    decide: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The whole file."""
        eco: dict[str, object] = {
            "cluster": "etcd",
            "listen-address": self._listen_address(),
            "etcd": _given(self._etcd()),
            "asg": self._group(),
            "snapshot": {"provider": "file", "dir": SHARED},
        }
        return self._header() + "\n".join(_block({"eco": _given(eco)}, "")) + "\n"

    def _header(self) -> str:
        decide = [
            f"eco.snapshot.dir: {SHARED} stands for a directory that every node mounts; eco's records lie in it.",
            "eco.cluster: another name, if another cluster shares that directory.",
            *self.decide,
            *self.found.changed,
            "Change over one node at a time: stop and disable its etcd, start eco, wait until eco status says SERVING.",
        ]
        left = self._left_out()
        return _comments(
            [f"Made by eco import from {self.found.what}.", "", "Still to decide:", *(f"- {each}" for each in decide)]
            + (["", "Left out, and why:", *(f"- {each}" for each in left)] if left else [])
        )

    # ------------------------------------------------------------ flags

    def _get(self, flag: str) -> str:
        return self.found.flags.get(flag, "")

    def _bad(self, flag: str, hint: str) -> ConfigError:
        return bad(self.found.given[flag], hint)

    def _is(self, flag: str) -> bool:
        value = self._get(flag)
        if value and value not in _TRUE | _FALSE:
            raise self._bad(flag, "is not a truth value")
        return value in _TRUE

    def _number(self, flag: str) -> int:
        """A whole number, or 0 when it is not given."""
        value = self._get(flag) or "0"
        if not re.fullmatch("-?[0-9]{1,18}", value):
            raise self._bad(flag, "is not a whole number")
        return int(value)

    def _left_out(self) -> list[str]:
        """What of the source did not become a key, and why."""
        left = [*self.found.left]
        for flag, given in self.found.given.items():
            if flag.startswith("discovery"):
                left.append(f"{flag}: only counts at birth")
            elif flag in _DROPPED:
                left.append(f"{given}: {_DROPPED[flag]}")
            elif flag != "debug" and not etcd_flags.instead(flag) and flag not in etcd_flags.PASSED:
                left.append(f"{given}: no flag of etcd 3.4 to 3.7 that a member needs")
        return left

    # ------------------------------------------------------------ etcd

    def _etcd(self) -> dict[str, object]:
        if self._get("proxy") not in {"", "off"}:
            raise self._bad("proxy", "is a proxy, which holds no data to adopt")
        if self._get("wal-dir"):
            hint = "eco needs the log inside the data directory: stop etcd, move it to member/wal there, drop this flag"
            raise self._bad("wal-dir", hint)
        return {
            "advertise-address": self._advertise_address(),
            "data-dir": self._data_dir(),
            _CLIENT: self._security("", [*self._urls("listen-client-urls"), *self._urls("advertise-client-urls")]),
            _PEER: self._security("peer-", [*self._urls("listen-peer-urls"), *self._peers()[self._name()]]),
            "backend-quota": self._quota(),
            "auto-compaction-mode": self._get("auto-compaction-mode"),
            "auto-compaction-retention": self._retention(),
            "max-request-bytes": _size(self._number("max-request-bytes")),
            "heartbeat-interval": self._milliseconds("heartbeat-interval"),
            "election-timeout": self._milliseconds("election-timeout"),
            "metrics-port": self._metrics_port(),
            "log-level": "debug" if self._is("debug") else self._get("log-level"),
            "extra-flags": {
                flag: _scalar(value)
                for flag, value in self.found.flags.items()
                if flag in etcd_flags.PASSED and flag not in _DROPPED
            },
            "env": {name: _scalar(value) for name, value in self.found.env.items()},
        }

    def _data_dir(self) -> str:
        directory = self._get("data-dir")
        if not directory:
            raise bad("data-dir", "is not given, so that it depends on where etcd was started; add it")
        if not directory.startswith("/"):
            raise self._bad("data-dir", "is relative to where etcd was started; write it from / on")
        return directory

    def _quota(self) -> str:
        if (quota := self._number("quota-backend-bytes")) >= 0:
            return _size(quota)
        self.decide.append("eco.etcd.backend-quota: there was none, and eco always sets one; 8Gi is what etcd advises.")
        return "1024Gi"

    def _retention(self) -> str:
        retention = self._get("auto-compaction-retention")
        is_hours = retention.isdecimal() and self._get("auto-compaction-mode") != "revision"
        return "" if retention in {"", "0"} else f"{retention}h" if is_hours else retention

    def _milliseconds(self, flag: str) -> str:
        return f"{value}ms" if (value := self._number(flag)) else ""

    def _security(self, prefix: str, urls: Iterable[_Url]) -> dict[str, object]:
        """TLS of one side, if its URLs speak it; etcd ignores the files when they do not."""
        is_given = bool(self._get(f"{prefix}cert-file"))
        if not any(url.scheme == "https" for url in urls):
            if is_given:
                self.found.left.append(
                    f"{self.found.given[f'{prefix}cert-file']}: no URL is https, so that etcd ignores it"
                )
            return {}
        if not is_given:
            made = f"{prefix}auto-tls"
            hint = "speaks TLS without a certificate file, which this version of eco cannot carry on; give it one first"
            raise self._bad(made, hint) if self._is(made) else bad(f"{prefix}cert-file", hint)
        files: dict[str, object] = {name: self._get(prefix + name) for name in _FILES if self._get(prefix + name)}
        return {**files, **({f"{prefix}client-cert-auth": True} if self._is(f"{prefix}client-cert-auth") else {})}

    # ------------------------------------------------------------ addresses

    def _name(self) -> str:
        return self._get("name") or "default"

    def _urls(self, flag: str) -> list[_Url]:
        urls = [_url(text) for text in self._get(flag).split(",") if text and not text.startswith("unix")]
        if None in urls:
            raise self._bad(flag, "holds something that is no URL of etcd, such as http://10.0.0.1:2380")
        return [url for url in urls if url]

    def _peers(self) -> dict[str, list[_Url]]:
        """Members by name; mine as it is advertised."""
        members: dict[str, list[_Url]] = {}
        for pair in filter(None, self._get("initial-cluster").split(",")):
            name, _, text = pair.partition("=")
            url = _url(text)
            if not name or url is None:
                raise self._bad("initial-cluster", "is not a list of name=URL")
            members.setdefault(name, []).append(url)
        mine = self._urls("initial-advertise-peer-urls") or members.get(self._name())
        return {**members, self._name(): mine or [_Url("http", "localhost", 2380)]}

    def _client_url(self) -> _Url:
        """Where this member's clients reach it."""
        urls = self._urls("advertise-client-urls") or self._urls("listen-client-urls")
        return urls[0] if urls else _Url("http", "localhost", 2379)

    def _advertise_address(self) -> str:
        advertised = self._urls("advertise-client-urls")
        mine = self._peers()[self._name()][0].host
        usable = [url.host for url in advertised if not _is_any(url.host)]
        return "" if not usable or mine in usable else usable[0]

    def _group(self) -> dict[str, object]:
        members = self._peers()
        self.decide += [f"eco.asg.instances: {doubt}." for doubt in self._doubts(members)]
        instances = [self._instance(name, urls[0]) for name, urls in sorted(members.items())]
        return {"provider": "static", "name": self._name(), "instances": instances}

    def _doubts(self, members: Mapping[str, list[_Url]]) -> Iterator[str]:
        """What the source cannot tell of the members, or eco does otherwise."""
        mine, client = members[self._name()][0], self._client_url()
        yield "compare them with etcdctl member list; the source knows them as they were when it was written"
        if any(_is_loopback(url.host) for urls in members.values() for url in urls):
            yield "give this machine an address that others reach before there are others"
        if client.port != 2379 and len(members) > 1:  # noqa: PLR2004 — etcd's default
            yield f"client-port {client.port} is this member's; the others' is assumed to be the same"
        for flag, port in (("listen-peer-urls", mine.port), ("listen-client-urls", client.port)):
            if any(url.port != port for url in self._urls(flag)):
                yield f"{self.found.given[flag]}: eco listens on the port that it tells others, {port}"
        for name, urls in sorted(members.items()):
            if len(urls) > 1:
                yield f"{name} had {len(urls)} peer URLs; eco gives a member one"

    def _instance(self, name: str, peer: _Url) -> dict[str, object]:
        port = self._client_url().port
        ports = {"client-port": port} if port != 2379 else {}  # noqa: PLR2004 — etcd's default
        ports |= {"peer-port": peer.port} if peer.port != 2380 else {}  # noqa: PLR2004 — etcd's default
        return {"name": name, "address": peer.host, **ports}

    def _listen_address(self) -> str:
        """Where to listen, if that is not simply the instance's address."""
        mine = self._peers()[self._name()][0].host
        hosts = {url.host for flag in ("listen-peer-urls", "listen-client-urls") for url in self._urls(flag)} or {mine}
        if hosts <= {mine, "localhost"} and len(hosts) == 1 and (is_ip(mine) or mine == "localhost"):
            return "" if hosts == {mine} else "127.0.0.1"
        if len(hosts) == 1 and is_ip(host := min(hosts)):
            return host
        where = "::" if any(":" in host for host in hosts) else "0.0.0.0"  # noqa: S104 — said aloud in the next line
        self.decide.append(
            f"eco.listen-address: etcd listened on {', '.join(sorted(hosts))}; eco listens on one IP address or on all."
        )
        return where

    def _metrics_port(self) -> int:
        urls = self._urls("listen-metrics-urls")
        if urls and urls[0].host != self._peers()[self._name()][0].host:
            self.decide.append(
                f"eco.etcd.metrics-port: {urls[0].port} was open on {urls[0].host} alone; eco opens it in clear text"
                " wherever it listens. 0 closes it."
            )
        return urls[0].port if urls else 0


def _url(text: str) -> _Url | None:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port is None or parts.path.strip("/"):
        return None
    return _Url(parts.scheme, parts.hostname, port)


def _is_loopback(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith("127.")


def _scalar(text: str) -> object:
    """A flag's value as a person would write it in YAML."""
    if text in {"true", "false"}:
        return text == "true"
    return int(text) if re.fullmatch(r"0|[1-9][0-9]{0,17}", text) else text


def _is_any(host: str) -> bool:
    return host in {"0.0.0.0", "::"}  # noqa: S104 — compared, not bound


def _size(amount: int) -> str:
    """Bytes in the largest unit that divides them; 0 as nothing."""
    unit, size = next(
        ((unit, size) for unit, size in (("Gi", GI), ("Mi", MI), ("Ki", KI)) if amount % size == 0), ("", 1)
    )
    return f"{amount // size}{unit}" if amount else ""


def _given(mapping: Mapping[str, object]) -> dict[str, object]:
    """Without the keys whose default stands for them."""
    return {key: value for key, value in mapping.items() if value}


def _block(mapping: Mapping[str, object], indent: str) -> Iterator[str]:
    """Lines of YAML: mappings indented, list items in one line each."""
    for key, value in mapping.items():
        match value:
            case dict():
                yield f"{indent}{key}:"
                yield from _block(value, indent + "  ")
            case list():
                yield f"{indent}{key}:"
                yield from (f"{indent}  - {_yaml(item, is_flow=True)}" for item in value)
            case _:
                yield indent + _yaml({key: value}, is_flow=False)


def _yaml(value: object, *, is_flow: bool) -> str:
    """PyYAML knows which texts need quotes."""
    text = yaml.safe_dump(value, sort_keys=False, default_flow_style=is_flow, allow_unicode=True, width=1 << 20)
    return str(text).rstrip("\n")


def _comments(lines: Iterable[str]) -> str:
    """A line that holds what could end a comment is escaped whole."""
    printable = (line if line.isprintable() else ascii(line) for line in lines)
    return "".join(f"# {line}".rstrip() + "\n" for line in printable)

"""etcd's command line for one node, from one table of what each version knows.

Pure: settings in, words out. Every flag that makes a member what it is (name, place, addresses,
certificates, cluster) is set here and by nobody else; a user's further flags are handed on when
they name no such flag and the binary knows them. Names and eras were tried on the binaries of
3.4.23, 3.5.33, 3.6.14 and 3.7.1; a newer minor version is taken for the newest known one.

etcd writes its log to stderr, which `eco.etcd.process` turns into a file, together with the stack
of a panic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from eco.config.etcd_flags import instead
from eco.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from eco.etcd.install import Binaries

OLDEST, NEWEST = 4, 7
"""Minor versions of etcd 3 that the table covers."""

_ERAS: Mapping[tuple[int, int], str] = {
    (4, 7): """
        advertise-client-urls auth-token auth-token-ttl auto-compaction-mode auto-compaction-retention auto-tls
        backend-batch-interval backend-batch-limit bcrypt-cost cert-file cipher-suites client-cert-allowed-hostname
        client-cert-auth client-crl-file config-file cors data-dir discovery-fallback discovery-srv discovery-srv-name
        election-timeout enable-grpc-gateway enable-pprof force-new-cluster grpc-keepalive-interval
        grpc-keepalive-min-time grpc-keepalive-timeout heartbeat-interval host-whitelist initial-advertise-peer-urls
        initial-cluster initial-cluster-state initial-cluster-token initial-election-tick-advance key-file
        listen-client-urls listen-metrics-urls listen-peer-urls log-level log-outputs logger max-concurrent-streams
        max-request-bytes max-snapshots max-txn-ops max-wals metrics name peer-auto-tls peer-cert-allowed-cn
        peer-cert-allowed-hostname peer-cert-file peer-client-cert-auth peer-crl-file peer-key-file peer-trusted-ca-file
        pre-vote quota-backend-bytes snapshot-count strict-reconfig-check trusted-ca-file unsafe-no-fsync version
        wal-dir""",
    (4, 6): """
        discovery discovery-proxy experimental-compaction-batch-limit experimental-corrupt-check-time
        experimental-enable-lease-checkpoint experimental-enable-lease-checkpoint-persist
        experimental-initial-corrupt-check experimental-peer-skip-client-san-verification
        experimental-warning-apply-duration experimental-watch-progress-notify-interval""",
    (4, 5): """
        enable-v2 experimental-enable-v2v3 proxy proxy-dial-timeout proxy-failure-wait proxy-read-timeout
        proxy-refresh-interval proxy-write-timeout""",
    (4, 4): "debug experimental-backend-bbolt-freelist-type log-package-levels",
    (5, 7): """
        backend-bbolt-freelist-type client-cert-file client-key-file enable-log-rotation listen-client-http-urls
        log-rotation-config-json peer-client-cert-file peer-client-key-file raft-read-timeout raft-write-timeout
        self-signed-cert-validity socket-reuse-address socket-reuse-port tls-max-version tls-min-version
        v2-deprecation""",
    (5, 6): """
        experimental-bootstrap-defrag-threshold-megabytes experimental-compact-hash-check-enabled
        experimental-compact-hash-check-time experimental-compaction-sleep-interval
        experimental-distributed-tracing-address experimental-distributed-tracing-instance-id
        experimental-distributed-tracing-sampling-rate experimental-distributed-tracing-service-name
        experimental-downgrade-check-time experimental-enable-distributed-tracing experimental-memory-mlock
        experimental-snapshot-catchup-entries experimental-stop-grpc-service-on-defrag
        experimental-txn-mode-write-with-shared-buffer""",
    (6, 6): "experimental-warning-unary-request-duration",
    (6, 7): """
        bootstrap-defrag-threshold-megabytes compact-hash-check-time compaction-batch-limit compaction-sleep-interval
        corrupt-check-time discovery-cacert discovery-cert discovery-dial-timeout discovery-endpoints
        discovery-insecure-skip-tls-verify discovery-insecure-transport discovery-keepalive-time
        discovery-keepalive-timeout discovery-key discovery-password discovery-request-timeout discovery-token
        discovery-user distributed-tracing-address distributed-tracing-instance-id distributed-tracing-sampling-rate
        distributed-tracing-service-name downgrade-check-time enable-distributed-tracing feature-gates log-format
        max-learners memory-mlock peer-skip-client-san-verification snapshot-catchup-entries warning-apply-duration
        warning-unary-request-duration watch-progress-notify-interval""",
}
"""Flags by the first and the last minor version that knows them."""

TABLE: Mapping[str, tuple[int, int]] = {name: era for era, names in _ERAS.items() for name in names.split()}

_FIXED: Mapping[str, str] = {
    "strict-reconfig-check": "true",
    "logger": "zap",
    "log-outputs": "stderr",
}
"""What eco relies on. A user's flag that says the same is fine."""

SIGNATURE = tuple(f"--{name}={value}" for name, value in _FIXED.items())
"""Words in the command line of every etcd that eco has started."""

_UNTOUCHED: Mapping[str, str] = {
    "log-format": "json",
    "enable-log-rotation": "false",
}
"""What eco relies on, too, and etcd does by itself: set by nobody."""


@dataclass(frozen=True)
class Transport:
    """The TLS files of one side, client or peer. "" leaves a flag out; `auto` is etcd's self-signed TLS."""

    cert: str = ""
    key: str = ""
    trusted_ca: str = ""
    client_cert_auth: bool = False
    auto: bool = False


@dataclass(frozen=True)
class EtcdSettings:
    """One node's etcd. URLs are whole, such as `http://10.0.0.1:2379`; None and "" mean etcd's default.

    `extra` holds a user's further flags as (name without dashes, value).
    """

    name: str
    data_dir: Path
    listen_client_urls: tuple[str, ...]
    advertise_client_urls: tuple[str, ...]
    listen_peer_urls: tuple[str, ...]
    advertise_peer_urls: tuple[str, ...]
    metrics_urls: tuple[str, ...] = ()
    heartbeat_ms: int | None = None
    election_ms: int | None = None
    quota_bytes: int | None = None
    compaction_mode: Literal["", "periodic", "revision"] = ""
    compaction_retention: str = ""
    max_request_bytes: int | None = None
    log_level: str = ""
    client: Transport = Transport()
    peer: Transport = Transport()
    extra: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class FirstStart:
    """How a data set begins; etcd ignores it once there is one. `initial_cluster` are (name, peer URL)."""

    initial_cluster: tuple[tuple[str, str], ...]
    token: str
    state: Literal["new", "existing"]


def argv(binaries: Binaries, settings: EtcdSettings, first: FirstStart | None = None) -> tuple[str, ...]:
    """The command line, the program first. Raises `ConfigError` as `check` tells."""
    if problems := check(settings.extra, binaries.version):
        raise ConfigError(problems)
    flags = {
        **dict(_member(settings)),
        **dict(_transport("", settings.client)),
        **dict(_transport("peer-", settings.peer)),
        **dict(_first(first)),
        "pre-vote": "true",
        **dict(settings.extra),
        **_FIXED,
    }
    return (str(binaries.etcd), *(f"--{name}={value}" for name, value in flags.items()))


def check(extra: tuple[tuple[str, str], ...], version: tuple[int, int, int]) -> tuple[Problem, ...]:
    """What is wrong with a user's further flags for this version of etcd, in their order.

    A problem's path is the flag's name: where it was written is the caller's to know.
    """
    return tuple(Problem(name, value, hint) for name, value in extra if (hint := _objection(name, value, version)))


def knows(version: tuple[int, int, int], flag: str) -> bool:
    """Whether this version of etcd accepts the flag."""
    since, until = TABLE.get(flag, (NEWEST + 1, NEWEST + 1))
    return since <= min(version[1], NEWEST) <= until


def environment(parent: Mapping[str, str]) -> dict[str, str]:
    """etcd's environment: the agent's, without what would configure etcd behind our back.

    Every `ETCD_X` is etcd's flag `--x`, and Kubernetes sets such variables by itself in a namespace
    with a service called `etcd`. `NOTIFY_SOCKET` goes too: to tell systemd that the unit is ready is
    the agent's affair. `ETCD_UNSUPPORTED_ARCH` is no flag, but what lets etcd run on 32-bit ARM.
    """
    kept = {"ETCD_UNSUPPORTED_ARCH"}
    return {
        name: value
        for name, value in parent.items()
        if name in kept or not (name.startswith("ETCD_") or name == "NOTIFY_SOCKET")
    }


def _objection(name: str, value: str, version: tuple[int, int, int]) -> str:
    if hint := instead(name):
        return hint
    wanted = _FIXED.get(name) or _UNTOUCHED.get(name, value)
    if value != wanted:
        return f"leave it out: eco needs it to be {wanted}"
    if knows(version, name):
        return ""
    plain = name.removeprefix("experimental-")
    known = next((other for other in (plain, f"experimental-{plain}") if knows(version, other)), "")
    return f"etcd {version[0]}.{version[1]} has no such flag" + (f"; it is called {known} there" if known else "")


def _member(s: EtcdSettings) -> Iterator[tuple[str, str]]:
    yield "name", s.name
    yield "data-dir", str(s.data_dir)
    optional: Mapping[str, object] = {
        "listen-client-urls": ",".join(s.listen_client_urls),
        "advertise-client-urls": ",".join(s.advertise_client_urls),
        "listen-peer-urls": ",".join(s.listen_peer_urls),
        "initial-advertise-peer-urls": ",".join(s.advertise_peer_urls),
        "listen-metrics-urls": ",".join(s.metrics_urls),
        "heartbeat-interval": s.heartbeat_ms,
        "election-timeout": s.election_ms,
        "quota-backend-bytes": s.quota_bytes,
        "auto-compaction-mode": s.compaction_mode,
        "auto-compaction-retention": s.compaction_retention,
        "max-request-bytes": s.max_request_bytes,
        "log-level": s.log_level,
    }
    for name, value in optional.items():
        if value not in {None, ""}:
            yield name, str(value)


def _transport(side: Literal["", "peer-"], t: Transport) -> Iterator[tuple[str, str]]:
    files = {f"{side}cert-file": t.cert, f"{side}key-file": t.key, f"{side}trusted-ca-file": t.trusted_ca}
    yield from ((name, value) for name, value in files.items() if value)
    choices = {f"{side}client-cert-auth": t.client_cert_auth, f"{side}auto-tls": t.auto}
    yield from ((name, "true") for name, wanted in choices.items() if wanted)


def _first(first: FirstStart | None) -> Iterator[tuple[str, str]]:
    if first is None:
        return
    yield "initial-cluster", ",".join(f"{name}={url}" for name, url in first.initial_cluster)
    yield "initial-cluster-token", first.token
    yield "initial-cluster-state", first.state

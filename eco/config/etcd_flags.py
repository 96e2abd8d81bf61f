"""etcd's command line, as far as configuring and adopting one has to know it.

Names are those of etcd 3.4 to 3.7 (`server/embed/config.go`, `server/etcdmain/config.go`); which
of them a given version accepts is a matter of its start, not of the configuration.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMED = "leave it out: eco forms the cluster from what the provider lists"
_CLIENT = "eco.etcd.client-transport-security"
_PEER = "eco.etcd.peer-transport-security"

_OWNED: Mapping[str, str] = {
    "name": "leave it out: it is the instance's name",
    "data-dir": "write eco.etcd.data-dir",
    "listen-client-urls": "write eco.listen-address, and the port into the instance",
    "listen-peer-urls": "write eco.listen-address, and the port into the instance",
    "listen-metrics-urls": "write eco.etcd.metrics-port",
    "advertise-client-urls": "write eco.etcd.advertise-address",
    "initial-advertise-peer-urls": "leave it out: it is the instance's address",
    "initial-cluster": _FORMED,
    "initial-cluster-state": _FORMED,
    "initial-cluster-token": _FORMED,
    "cert-file": f"write {_CLIENT}.cert-file",
    "key-file": f"write {_CLIENT}.key-file",
    "trusted-ca-file": f"write {_CLIENT}.trusted-ca-file",
    "client-cert-auth": f"write {_CLIENT}.client-cert-auth",
    "auto-tls": f"write {_CLIENT}.auto-tls",
    "peer-cert-file": f"write {_PEER}.cert-file",
    "peer-key-file": f"write {_PEER}.key-file",
    "peer-trusted-ca-file": f"write {_PEER}.trusted-ca-file",
    "peer-client-cert-auth": f"write {_PEER}.peer-client-cert-auth",
    "peer-auto-tls": f"write {_PEER}.auto-tls",
    "quota-backend-bytes": "write eco.etcd.backend-quota",
    "auto-compaction-mode": "write eco.etcd.auto-compaction-mode",
    "auto-compaction-retention": "write eco.etcd.auto-compaction-retention",
    "max-request-bytes": "write eco.etcd.max-request-bytes",
    "heartbeat-interval": "write eco.etcd.heartbeat-interval",
    "election-timeout": "write eco.etcd.election-timeout",
    "log-level": "write eco.etcd.log-level",
    "wal-dir": "leave it out: eco reads and sets aside the log and the data together, below eco.etcd.data-dir",
    "config-file": "leave it out: with a file of its own etcd ignores every flag that eco gives it",
    "force-new-cluster": "leave it out: it throws the other members away at every start",
    "unsafe-no-fsync": "leave it out: it loses acknowledged writes",
}


def instead(flag: str) -> str:
    """What to do instead of setting this flag, because eco sets it itself or it must not be set; else ""."""
    return _FORMED if flag == "discovery" or flag.startswith("discovery-") else _OWNED.get(flag, "")


BOOLEANS = frozenset(
    """
    auto-tls client-cert-auth discovery-insecure-skip-tls-verify discovery-insecure-transport enable-distributed-tracing
    enable-grpc-gateway enable-log-rotation enable-pprof enable-v2 experimental-compact-hash-check-enabled
    experimental-enable-distributed-tracing experimental-enable-lease-checkpoint
    experimental-enable-lease-checkpoint-persist experimental-initial-corrupt-check experimental-memory-mlock
    experimental-peer-skip-client-san-verification experimental-stop-grpc-service-on-defrag
    experimental-txn-mode-write-with-shared-buffer force-new-cluster initial-election-tick-advance memory-mlock
    peer-auto-tls peer-client-cert-auth peer-skip-client-san-verification pre-vote socket-reuse-address
    socket-reuse-port strict-reconfig-check unsafe-no-fsync version debug
    """.split()  # noqa: SIM905 — a page of words reads better without quotes
)
"""Flags that take no following word: `--pre-vote=false`, never `--pre-vote false`."""

_NUMBERS = frozenset(
    """
    auth-token-ttl backend-batch-limit bcrypt-cost bootstrap-defrag-threshold-megabytes compaction-batch-limit
    max-concurrent-streams max-learners max-snapshots max-txn-ops max-wals snapshot-catchup-entries snapshot-count
    """.split()  # noqa: SIM905 — a page of words reads better without quotes
)

_DURATIONS = frozenset(
    """
    backend-batch-interval compact-hash-check-time compaction-sleep-interval corrupt-check-time downgrade-check-time
    grpc-keepalive-interval grpc-keepalive-min-time grpc-keepalive-timeout raft-read-timeout raft-write-timeout
    warning-apply-duration warning-unary-request-duration watch-progress-notify-interval
    """.split()  # noqa: SIM905 — a page of words reads better without quotes
)


def misread(flag: str, value: str) -> str:
    """Why etcd would not read this value of a well-known flag, as what to write instead; else ""."""
    plain = flag.removeprefix("experimental-")
    if flag in BOOLEANS and not re.fullmatch("true|True|TRUE|t|T|1|false|False|FALSE|f|F|0", value):
        return "is not a truth value; write true or false"
    if plain in _NUMBERS and not re.fullmatch("0|[1-9][0-9]{0,17}", value):
        return "is not a whole number; write one such as 256"
    if plain in _DURATIONS and not re.fullmatch(r"0|([0-9]{1,9}(\.[0-9]{1,9})?(ns|us|ms|s|m|h))+", value):
        return "is not a duration that etcd reads; write a number and a unit of ms, s, m or h, such as 90s"
    return ""


PASSED = frozenset(
    """
    auth-token auth-token-ttl backend-batch-interval backend-batch-limit backend-bbolt-freelist-type bcrypt-cost
    bootstrap-defrag-threshold-megabytes cipher-suites client-cert-allowed-hostname client-cert-file client-crl-file
    client-key-file compact-hash-check-time compaction-batch-limit compaction-sleep-interval corrupt-check-time cors
    distributed-tracing-address distributed-tracing-instance-id distributed-tracing-sampling-rate
    distributed-tracing-service-name downgrade-check-time enable-distributed-tracing enable-grpc-gateway
    enable-log-rotation enable-pprof enable-v2 experimental-backend-bbolt-freelist-type
    experimental-bootstrap-defrag-threshold-megabytes
    experimental-compact-hash-check-enabled experimental-compact-hash-check-time experimental-compaction-batch-limit
    experimental-compaction-sleep-interval experimental-corrupt-check-time experimental-distributed-tracing-address
    experimental-distributed-tracing-instance-id experimental-distributed-tracing-sampling-rate
    experimental-distributed-tracing-service-name experimental-downgrade-check-time
    experimental-enable-distributed-tracing experimental-enable-lease-checkpoint
    experimental-enable-lease-checkpoint-persist experimental-initial-corrupt-check experimental-memory-mlock
    experimental-peer-skip-client-san-verification experimental-snapshot-catchup-entries
    experimental-stop-grpc-service-on-defrag experimental-txn-mode-write-with-shared-buffer
    experimental-warning-apply-duration experimental-warning-unary-request-duration
    experimental-watch-progress-notify-interval feature-gates grpc-keepalive-interval grpc-keepalive-min-time
    grpc-keepalive-timeout host-whitelist initial-election-tick-advance listen-client-http-urls log-format
    log-outputs log-rotation-config-json logger max-concurrent-streams max-learners max-snapshots max-txn-ops max-wals
    memory-mlock metrics peer-cert-allowed-cn peer-cert-allowed-hostname peer-client-cert-file peer-client-key-file
    peer-crl-file peer-skip-client-san-verification pre-vote raft-read-timeout raft-write-timeout
    self-signed-cert-validity snapshot-catchup-entries snapshot-count socket-reuse-address socket-reuse-port
    strict-reconfig-check tls-max-version tls-min-version v2-deprecation warning-apply-duration
    warning-unary-request-duration watch-progress-notify-interval
    """.split()  # noqa: SIM905 — a page of words reads better without quotes
)
"""Flags that eco hands on as they are, from `eco.etcd.extra-flags`."""

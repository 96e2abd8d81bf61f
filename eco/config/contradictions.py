"""What is wrong with keys together, or with what they name on the disk.

Each finding names the paths it rests on: where one of them could not be read at all, the finding
would be about a default nobody wrote, and is dropped. The disk is only looked at, never touched.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eco.config import etcd_flags
from eco.config.amounts import GI, duration
from eco.config.kinds import is_host, is_ip
from eco.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eco.config.model import Eco, EtcdConfig, TransportSecurity

_ETCD = "eco.etcd"


@dataclass(frozen=True)
class Finding:
    """What is wrong, said of the first of `paths`."""

    paths: tuple[str, ...]
    value: str
    hint: str

    @property
    def problem(self) -> Problem:
        """It as a problem of the configuration."""
        return Problem(self.paths[0], self.value, self.hint)


def contradictions(eco: Eco) -> Iterator[Finding]:
    """Everything that cannot be meant."""
    yield from _missing(eco)
    yield from _times(eco)
    yield from _compaction(eco.etcd)
    yield from _security(eco.etcd.client_transport_security, f"{_ETCD}.client-transport-security")
    yield from _security(eco.etcd.peer_transport_security, f"{_ETCD}.peer-transport-security")
    yield from _places(eco)
    yield from _addresses(eco)


def warnings(eco: Eco) -> Iterator[str]:
    """Sentences about what is right and yet may surprise."""
    yield (
        "this version of eco takes no backups: eco.snapshot.interval"
        f" ({duration(eco.snapshot.interval)}) and eco.snapshot.ttl ({duration(eco.snapshot.ttl)})"
        " are kept for the backup schedule; until then, back up with etcdctl snapshot save"
    )
    if eco.etcd.backend_quota > 8 * GI:
        yield "eco.etcd.backend-quota is more than the 8Gi that etcd advises: starting and catching up will be slow"
    for flag in sorted(set(eco.etcd.extra_flags) - etcd_flags.PASSED):
        yield f"eco.etcd.extra-flags.{flag} is no flag of etcd 3.4 to 3.7, and etcd refuses flags it does not know"


def _missing(eco: Eco) -> Iterator[Finding]:
    if not eco.asg.provider:
        yield Finding(("eco.asg.provider",), "", "is missing; write where the nodes find each other, such as static")
    if not eco.snapshot.provider:
        yield Finding(("eco.snapshot.provider",), "", "is missing; write where eco keeps its records, such as file")


def _times(eco: Eco) -> Iterator[Finding]:
    heartbeat, election = eco.etcd.heartbeat_interval, eco.etcd.election_timeout
    if round(election * 1000) < 5 * round(heartbeat * 1000):
        paths = (f"{_ETCD}.election-timeout", f"{_ETCD}.heartbeat-interval")
        least = f"write at least {duration(5 * heartbeat)}, five times heartbeat-interval ({duration(heartbeat)})"
        yield Finding(paths, duration(election), f"is too short; {least}")
    if eco.unhealthy_member_ttl < eco.check_interval:
        paths = ("eco.unhealthy-member-ttl", "eco.check-interval")
        hint = f"is shorter than check-interval ({duration(eco.check_interval)}); write several times that, such as 3m"
        yield Finding(paths, duration(eco.unhealthy_member_ttl), hint)
    if 0 < eco.snapshot.ttl < eco.snapshot.interval:
        paths = ("eco.snapshot.ttl", "eco.snapshot.interval")
        hint = f"would delete each backup before the next; write at least interval ({duration(eco.snapshot.interval)})"
        yield Finding(paths, duration(eco.snapshot.ttl), hint)


def _compaction(etcd: EtcdConfig) -> Iterator[Finding]:
    mode, retention = etcd.auto_compaction_mode, etcd.auto_compaction_retention
    paths = (f"{_ETCD}.auto-compaction-retention", f"{_ETCD}.auto-compaction-mode")
    if mode == "periodic" and retention.isdecimal() and retention != "0":
        yield Finding(paths, retention, f'"{retention}" has no unit; write {retention}h, which is how etcd reads it')
    if mode == "revision" and not retention.isdecimal():
        yield Finding(paths, retention, "is a time, but auto-compaction-mode is revision; write a number of revisions")


def _security(tls: TransportSecurity, at: str) -> Iterator[Finding]:
    cert, key, authority, auth = (
        f"{at}.{name}" for name in ("cert-file", "key-file", "trusted-ca-file", "client-cert-auth")
    )
    if tls.cert_file and not tls.key_file:
        yield Finding((cert, key), str(tls.cert_file), "has no key; write key-file, too")
    if tls.key_file and not tls.cert_file:
        yield Finding((key, cert), str(tls.key_file), "has no certificate; write cert-file, too")
    if tls.client_cert_auth and not tls.trusted_ca_file:
        hint = "needs the authority that signs the others' certificates; write trusted-ca-file, too"
        yield Finding((auth, authority), "true", hint)
    if tls.trusted_ca_file and not (tls.cert_file or tls.key_file):
        hint = "has no effect without a certificate; write cert-file and key-file, too"
        yield Finding((authority, cert, key), str(tls.trusted_ca_file), hint)
    for path, file in ((cert, tls.cert_file), (key, tls.key_file), (authority, tls.trusted_ca_file)):
        if file and (fault := _unreadable(file)):
            yield Finding((path,), str(file), fault)


def _unreadable(file: Path) -> str:
    try:
        mode = file.stat().st_mode
    except OSError as fault:
        return f"cannot be read ({fault.strerror}); put the file there or correct the path"
    if not stat.S_ISREG(mode):
        return "is not a file; write the path of a PEM file"
    return "" if os.access(file, os.R_OK) else "cannot be read; let the user that eco runs as read it"


def _places(eco: Eco) -> Iterator[Finding]:
    data, at = eco.etcd.data_dir, f"{_ETCD}.data-dir"
    if data == data.parent:
        yield Finding((at,), str(data), "is the whole file system; write a directory of etcd's own")
    elif _mode(data) and not stat.S_ISDIR(_mode(data)):
        yield Finding((at,), str(data), "is not a directory; move the file away or correct the path")
    shared = eco.snapshot.settings.get("dir")
    if isinstance(shared, str) and Path(shared).is_relative_to(data):
        hint = "lies inside the data directory, which is this node's alone; write a directory that every node mounts"
        yield Finding(("eco.snapshot.dir", at), shared, hint)
    binary = eco.etcd.binary
    if binary and not (stat.S_ISREG(_mode(binary)) and os.access(binary, os.X_OK)):
        hint = "is not a program that can be run; correct the path, or leave it out to find etcd in PATH"
        yield Finding((f"{_ETCD}.binary",), str(binary), hint)


def _mode(path: Path) -> int:
    """Its mode, or 0 when there is nothing, or nothing that we may see."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _addresses(eco: Eco) -> Iterator[Finding]:
    """This node's address and ports, where the file itself lists its instance."""
    instances = eco.asg.settings.get("instances")
    for mine in instances if isinstance(instances, list) else ():
        if not isinstance(mine, dict) or mine.get("name") != eco.asg.settings.get("name"):
            continue
        for name, default in (("client-port", 2379), ("peer-port", 2380), ("status-port", 2378)):
            if mine.get(name, default) == eco.etcd.metrics_port:
                hint = f"is this instance's {name}, too; write another, or 0 for none"
                yield Finding((f"{_ETCD}.metrics-port",), str(eco.etcd.metrics_port), hint)
        host = mine.get("address")
        is_name = isinstance(host, str) and is_host(host) and not is_ip(host) and host != "localhost"
        if is_name and not eco.listen_address:
            hint = f"is empty, so that etcd would listen on {host}, but it listens on IP addresses alone; write 0.0.0.0"
            yield Finding(("eco.listen-address",), "", hint)

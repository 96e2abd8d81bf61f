"""The configuration, typed: every key with its unit, its default and what follows from it.

The shapes mirror the file (`config.example.yaml` is the manual for people); `Config` is what the
rest of the system gets. Times are seconds and sizes bytes, whatever unit the file gave them in.
"""

# ruff: noqa: RUF009 — key, section, table and rest are dataclasses.field, which is meant to be called here
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eco.config import kinds
from eco.config.amounts import DAY, GI, HOUR, KI, MINUTE, MS, YEAR, Duration, Number, Retention, Size
from eco.config.kinds import Address, Directory, File, Flag, Host, NotTrueYet, NotYet, Text, Word
from eco.config.reading import key, rest, section, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eco.config.tree import Plain
    from eco.core.policy import Policy
    from eco.ports import Provider, Store

_PLUGIN = Text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "is not a plug-in's name; write one such as static or file")
_CLUSTER = Text(kinds.CLUSTER, "write small letters, digits and dashes between them, 63 at most", optional=False)
_LEVELS = ("debug", "info", "warn", "error")


@dataclass(frozen=True)
class TransportSecurity:
    """TLS for clients of etcd. All files are PEM, absolute paths, and read by etcd anew for each connection."""

    auto_tls: bool = key(
        NotTrueYet("this version of eco makes no certificates yet; write false and give cert-file and key-file"), False
    )
    """Certificates of eco's own making. Only false so far."""
    cert_file: Path | None = key(File(), None)
    """The server's certificate. With it etcd speaks only TLS, and eco presents it as its own client certificate,
    so it must be good for both. Empty: no TLS."""
    key_file: Path | None = key(File(), None)
    """The private key of cert-file."""
    trusted_ca_file: Path | None = key(File(), None)
    """The authority that signs the other side's certificates. etcd demands one of every client as soon as this is
    given, even with client-cert-auth false."""
    client_cert_auth: bool = key(Flag(), False)
    """Whether clients must present a certificate of trusted-ca-file's authority; its CN is then etcd's user name."""

    @property
    def enabled(self) -> bool:
        """Whether TLS is spoken."""
        return self.cert_file is not None

    @property
    def scheme(self) -> str:
        """`https` or `http`."""
        return "https" if self.enabled else "http"


@dataclass(frozen=True)
class PeerTransportSecurity(TransportSecurity):
    """TLS among the members; cert-file serves both sides, so it must be good for server and client."""

    client_cert_auth: bool = key(Flag(), False, also="peer-client-cert-auth")
    """Whether members must present a certificate to each other. Without it anyone who reaches the peer port can join
    in. peer-client-cert-auth is another name for it."""


@dataclass(frozen=True)
class EtcdConfig:
    """etcd itself."""

    binary: Path | None = key(File(), None)
    """The etcd to run. Empty: the first in PATH, else the one that `eco etcd install` fetched. etcdctl and etcdutl are
    looked for beside it."""
    advertise_address: str = key(Host(), "")
    """Host that clients are told to connect to, a load balancer's say. Empty: each member's own address. Without
    scheme and port."""
    data_dir: Path = key(Directory(), Path("/var/lib/etcd"))
    """Where the data lies: etcd's in member/, eco's in eco/. On a disk with fast fsync, and on one file system."""
    client_transport_security: TransportSecurity = section(TransportSecurity)
    """TLS for clients."""
    peer_transport_security: PeerTransportSecurity = section(PeerTransportSecurity)
    """TLS among the members."""
    backend_quota: int = key(Size(0), 2 * GI)
    """Bytes the database may have; beyond them etcd refuses writes (NOSPACE alarm) until it is compacted and
    defragmented. 0 is etcd's own default of 2Gi; it advises 8Gi at most. The same on every node."""
    auto_compaction_mode: str = key(Word("periodic", "revision"), "periodic")
    """Whether auto-compaction-retention is a time or a number of revisions."""
    auto_compaction_retention: str = key(Retention(), "0")
    """History to keep: a duration such as 8h (periodic) or a number of revisions (revision). Older revisions can no
    longer be read or watched from. 0 keeps everything, so that somebody else must compact (Kubernetes does)."""
    max_request_bytes: int = key(Size(1, 1 << 30), 1536 * KI)
    """Bytes a request may have; larger ones are refused. Large requests delay every other one."""
    heartbeat_interval: float = key(Duration("ms", 10 * MS, 10.0), 0.1)
    """Seconds between the leader's heartbeats; about the round trip between the farthest members. The same on every
    node."""
    election_timeout: float = key(Duration("ms", 50 * MS, 50.0), 1.0)
    """Seconds without a heartbeat after which followers elect a new leader: the gap in writes when one dies. At least
    five times heartbeat-interval. The same on every node."""
    metrics_port: int = key(Number(0, 65535), 2381)
    """Port of etcd's own /metrics and /livez, in clear text even with TLS. 0: none."""
    log_level: str = key(Word(*_LEVELS, "panic", "fatal"), "info")
    """How much etcd logs."""
    extra_flags: Mapping[str, str] = table(kinds.extra_flags())
    """Flags handed to etcd as they are, names without dashes in front. Those that eco sets itself are refused."""
    env: Mapping[str, str] = table(kinds.environment())
    """Environment variables for etcd, beside those of the agent. ETCD_* are refused: they are flags."""
    init_acl: None = key(
        NotYet("this version of eco sets up no users and roles yet; leave it out, and use etcdctl"), None
    )
    """The original's users and roles at birth. Only empty so far."""
    jwt_auth_token_config: None = key(
        NotYet("this version of eco sets up no JWT yet; leave it out, and write auth-token under extra-flags"), None
    )
    """The original's JWT keys. Only empty so far."""


@dataclass(frozen=True)
class GroupConfig:
    """The provider: who is in the group. Every key but `provider` is the plug-in's own."""

    provider: str = key(_PLUGIN, "")
    """The plug-in: static, or an installed one."""
    settings: Mapping[str, Plain] = rest()
    """Its own keys."""


@dataclass(frozen=True)
class SnapshotConfig:
    """The store that all nodes share: eco's records lie in it. Every key but these three is the plug-in's own."""

    provider: str = key(_PLUGIN, "")
    """The plug-in: file, or an installed one."""
    interval: float = key(Duration("m", 0.0), 30 * MINUTE)
    """Seconds between two backups; what a total loss may cost. 0: none. Used by the backup schedule."""
    ttl: float = key(Duration("h", 0.0), DAY)
    """Seconds after which a backup may be deleted, never the last one. 0: never. Used by the backup schedule."""
    settings: Mapping[str, Plain] = rest()
    """Its own keys."""


@dataclass(frozen=True)
class LogConfig:
    """eco's own log, on standard error."""

    format: str = key(Word("auto", "json", "text"), "auto")
    """One JSON object per line, or lines for people; auto is text in a terminal and JSON elsewhere."""
    level: str = key(Word(*_LEVELS), "info")
    """The least important messages to write."""


@dataclass(frozen=True)
class Eco:
    """Everything below `eco:`, as written."""

    cluster: str = key(_CLUSTER, "etcd")
    """The cluster's name in the store: several clusters may share one. Never change it: under another name eco finds
    no records of it and refuses to go on."""
    check_interval: float = key(Duration("s", 0.1, HOUR), 15.0)
    """Seconds between two looks while all is quiet. eco looks at once when something happens, and every quarter of a
    second while something is wrong, so that this is a safety net and no reaction time."""
    unhealthy_member_ttl: float = key(Duration("m", 1.0, YEAR), 3 * MINUTE)
    """Seconds that a voter may answer nobody before it is replaced, if a replacement waits. Too short replaces members
    that only reboot; too long leaves the cluster without reserve."""
    listen_address: str = key(Address(), "")
    """IP address on which etcd and eco's status page listen. Empty: this instance's address. 0.0.0.0 or :: when that
    is a host name, no address of this machine (NAT), or more than one is needed."""
    etcd: EtcdConfig = section(EtcdConfig)
    """etcd itself."""
    asg: GroupConfig = section(GroupConfig)
    """Who is in the group."""
    snapshot: SnapshotConfig = section(SnapshotConfig)
    """The store that all nodes share."""
    log: LogConfig = section(LogConfig)
    """eco's own log."""


@dataclass(frozen=True)
class Whole:
    """The whole file."""

    eco: Eco = section(Eco)
    """Everything."""


@dataclass(frozen=True)
class Config:
    """A configuration that is right as far as it can be told without touching anything.

    `path` is the file's, absolute; `warnings` are sentences to print and log at the start.
    """

    path: Path
    cluster: str
    check_interval: float
    listen_address: str
    etcd: EtcdConfig
    snapshot: SnapshotConfig
    log: LogConfig
    policy: Policy
    provider: Provider
    store: Store
    warnings: tuple[str, ...] = ()

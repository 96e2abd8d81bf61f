"""Assembly: from a configuration to the world of one node. Nothing is started here.

Order matters: what can be wrong in the configuration comes first and touches nothing, then the data
directory and its lock (a second agent is refused before it can disturb anything), then an etcd that an
earlier agent left running is adopted.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from eco.agent.world import World
from eco.clock import now
from eco.errors import ConfigError, EcoError, Problem, Unavailable
from eco.etcd import flags, install
from eco.etcd.client import EtcdClient, Tls
from eco.etcd.datadir import EtcdDirectory
from eco.etcd.flags import EtcdSettings, Transport
from eco.etcd.process import EtcdProcess
from eco.registry import Registry
from eco.status.peers import HttpPeers

if TYPE_CHECKING:
    from collections.abc import Callable

    from eco.config import Config
    from eco.config.model import TransportSecurity
    from eco.core.model import Instance
    from eco.etcd.install import Binaries


def assemble(config: Config, wake: Callable[[], None]) -> tuple[World, EtcdDirectory]:
    """The world of this node; `wake` is called when etcd ends.

    Raises `Unavailable` (another agent runs here, no etcd, a directory or certificate that cannot be
    used) and `ConfigError` (flags this etcd does not know); then nothing was made, or is let go of.
    """
    binaries = install.find(str(config.etcd.binary) if config.etcd.binary else None)
    if problems := unknown_flags(config, binaries.version):
        raise ConfigError(problems)
    registry = Registry(config.store, config.cluster, config.provider.me)
    data = EtcdDirectory(Path(config.etcd.data_dir), config.provider.me)
    data.open()
    try:
        return _world(config, binaries, registry, data, wake), data
    except EcoError:
        data.close()
        raise


def unknown_flags(config: Config, version: install.Version) -> tuple[Problem, ...]:
    """What this version of etcd would not take of the configured flags, under their paths in the file."""
    extra = tuple(sorted(config.etcd.extra_flags.items()))
    return tuple(
        Problem(f"eco.etcd.extra-flags.{problem.path}", problem.value, problem.hint)
        for problem in flags.check(extra, version)
    )


def _world(
    config: Config, binaries: Binaries, registry: Registry, data: EtcdDirectory, wake: Callable[[], None]
) -> World:
    me = config.provider.me
    return World(
        me=me,
        cluster=config.cluster,
        provider=config.provider,
        registry=registry,
        peers=HttpPeers(me),
        api=EtcdClient(_credentials(config.etcd.client_transport_security)),
        child=EtcdProcess(data.path, on_exit=wake),
        data=data,
        binaries=binaries,
        settings=lambda instance: settings(config, instance),
        environment={**flags.environment(os.environ), **config.etcd.env},
        client_url=lambda i: _url(config.etcd.client_transport_security.scheme, i.address, i.client_port),
        peer_url=lambda i: _url(config.etcd.peer_transport_security.scheme, i.address, i.peer_port),
        now=now,
        wall=wall,
    )


def settings(config: Config, instance: Instance) -> EtcdSettings:
    """etcd's settings on this node, for the address under which it is listed."""
    etcd = config.etcd
    clients, peers = etcd.client_transport_security, etcd.peer_transport_security
    listen = config.listen_address or instance.address
    advertised = _url(clients.scheme, etcd.advertise_address or instance.address, instance.client_port)
    return EtcdSettings(
        name=instance.name,
        data_dir=Path(etcd.data_dir),
        listen_client_urls=(_url(clients.scheme, listen, instance.client_port),),
        advertise_client_urls=(advertised,),
        listen_peer_urls=(_url(peers.scheme, listen, instance.peer_port),),
        advertise_peer_urls=(_url(peers.scheme, instance.address, instance.peer_port),),
        metrics_urls=(_url("http", listen, etcd.metrics_port),) if etcd.metrics_port else (),
        heartbeat_ms=round(etcd.heartbeat_interval * 1000),
        election_ms=round(etcd.election_timeout * 1000),
        quota_bytes=etcd.backend_quota,
        compaction_mode="revision" if etcd.auto_compaction_mode == "revision" else "periodic",
        compaction_retention=etcd.auto_compaction_retention,
        max_request_bytes=etcd.max_request_bytes,
        log_level=etcd.log_level,
        client=_transport(clients),
        peer=_transport(peers),
        extra=tuple(sorted(etcd.extra_flags.items())),
    )


def wall() -> str:
    """The wall clock as text, for records that people read."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _url(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _transport(security: TransportSecurity) -> Transport:
    return Transport(
        cert=str(security.cert_file or ""),
        key=str(security.key_file or ""),
        trusted_ca=str(security.trusted_ca_file or ""),
        client_cert_auth=security.client_cert_auth,
    )


def _credentials(security: TransportSecurity) -> Tls | None:
    """What the agent shows and trusts as a client of etcd: the files that etcd itself uses."""
    if not security.enabled:
        return None
    ca, cert, key = (_pem(path) for path in (security.trusted_ca_file, security.cert_file, security.key_file))
    return Tls(ca=ca, cert=cert, key=key)


def _pem(path: Path | None) -> bytes:
    try:
        return path.read_bytes() if path else b""
    except OSError as fault:
        raise Unavailable(f"{path} cannot be read: {fault.strerror}") from fault

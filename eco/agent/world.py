"""The ports of one node in one place, as the loop, the look and the acts use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eco.core.model import Instance
    from eco.etcd.flags import EtcdSettings
    from eco.etcd.install import Binaries
    from eco.ports import Child, DataDirectory, EtcdApi, Peers, Provider, Registry


@dataclass(frozen=True)
class World:
    """Everything outside of the decision. `settings` gives etcd's settings for my instance as it
    is listed now; `client_url` and `peer_url` give an instance's advertised URLs."""

    me: str
    cluster: str
    provider: Provider
    registry: Registry
    peers: Peers
    api: EtcdApi
    child: Child
    data: DataDirectory
    binaries: Binaries
    settings: Callable[[Instance], EtcdSettings]
    environment: Mapping[str, str]
    client_url: Callable[[Instance], str]
    peer_url: Callable[[Instance], str]
    now: Callable[[], float]
    wall: Callable[[], str]

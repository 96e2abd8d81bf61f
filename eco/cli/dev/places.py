"""Where the nodes of a dev cluster live: addresses of their own, or ports of their own.

Linux answers on all of 127.0.0.0/8, so every node gets an address and etcd's default ports.
Where loopback has one address (macOS without aliases), nodes share it, ten ports apart.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import TYPE_CHECKING

from eco.core.model import Instance

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_BASE = "127.0.0.1"

STRIDE = 10
"""Ports between two nodes that share an address."""

METRICS_PORT = 2381
"""etcd's metrics port by default, two above its client port."""


def place(name: str, base: str, offset: int) -> Instance:
    """The instance `offset` places after `base`."""
    address = str(ipaddress.ip_address(base) + offset)
    if can_bind(address, 0):
        return Instance(name, address)
    shift = offset * STRIDE
    return Instance(name, base, client_port=2379 + shift, peer_port=2380 + shift, status_port=2378 + shift)


def vacant(name: str, base: str, first: int, taken: Iterable[Instance]) -> Instance:
    """The first place at or after offset `first` that no instance of `taken` has."""
    occupied = {(each.address, each.client_port) for each in taken}
    while True:
        candidate = place(name, base, first)
        if (candidate.address, candidate.client_port) not in occupied:
            return candidate
        first += 1


def lowest(addresses: Iterable[str]) -> str:
    """The first of the addresses in numeric order; 127.0.0.1 when there is none."""
    return min(addresses, key=lambda each: int(ipaddress.ip_address(each)), default=DEFAULT_BASE)


def metrics_port(instance: Instance) -> int:
    """The instance's port for etcd's metrics, at its usual distance."""
    return instance.client_port + METRICS_PORT - Instance.client_port


def busy(instance: Instance) -> tuple[str, ...]:
    """The `address:port` pairs of the instance on which something listens already."""
    ports = (
        instance.status_port,
        instance.client_port,
        instance.peer_port,
        metrics_port(instance),
    )
    return tuple(f"{instance.address}:{port}" for port in ports if not can_bind(instance.address, port))


def can_bind(address: str, port: int) -> bool:
    """Whether a server could listen there. Raises `OSError` for anything but taken or absent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as fault:
            if fault.errno in {errno.EADDRINUSE, errno.EADDRNOTAVAIL}:
                return False
            raise
    return True

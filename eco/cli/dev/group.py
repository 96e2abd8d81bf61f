"""The group file of a dev cluster: who is in it, as the static provider reads it.

It stands in for the cloud. Agents read it at any moment, so it is only ever replaced whole.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import yaml

from eco.core.model import Instance
from eco.errors import EcoError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Listing:
    """The group file's content; `instances` in the order they were added."""

    desired: int
    instances: tuple[Instance, ...]

    def without(self, name: str) -> Listing:
        """The group after the cloud took `name`: still wanting as many as before."""
        return replace(self, instances=tuple(each for each in self.instances if each.name != name))

    def having(self, instance: Instance) -> Listing:
        """The group with one more: it fills a vacancy, or the group grows."""
        instances = (*self.instances, instance)
        return Listing(max(self.desired, len(instances)), instances)


def read(path: Path) -> Listing:
    """The group file. Raises `EcoError` when it cannot be read or says something else."""
    try:
        document = yaml.safe_load(path.read_bytes())
        rows = cast("list[dict[str, object]]", document["instances"])
        return Listing(int(document["desired"]), tuple(_instance(row) for row in rows))
    except (OSError, yaml.YAMLError, TypeError, KeyError, ValueError) as fault:
        raise EcoError(f"{path} is not a usable group file: {fault}") from fault


def write(path: Path, listing: Listing) -> None:
    """Replace the group file atomically."""
    document = {"desired": listing.desired, "instances": [_row(each) for each in listing.instances]}
    replace_file(path, yaml.safe_dump(document, sort_keys=False))


def replace_file(path: Path, text: str) -> None:
    """Replace `path` whole: a reader sees the old text or the new one."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.replace(path)


def _instance(row: dict[str, object]) -> Instance:
    def port(key: str, default: int) -> int:
        return int(str(row.get(key, default)))

    return Instance(
        name=str(row["name"]),
        address=str(row["address"]),
        client_port=port("client-port", Instance.client_port),
        peer_port=port("peer-port", Instance.peer_port),
        status_port=port("status-port", Instance.status_port),
    )


def _row(instance: Instance) -> dict[str, object]:
    return {
        "name": instance.name,
        "address": instance.address,
        "client-port": instance.client_port,
        "peer-port": instance.peer_port,
        "status-port": instance.status_port,
    }

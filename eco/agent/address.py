"""Who and where I am, remembered: `eco/group.json` holds the provider's last good answer.

It gives this node its own address and its peers' when the provider is silent at the start, so
that an unreachable provider never keeps an etcd from starting. No other conclusion is drawn from it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eco.core.model import Instance  # noqa: TC001 - eco.formats resolves it
from eco.errors import Corrupt
from eco.formats import dump, parse

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listed:
    """The instances of the provider's last good answer."""

    instances: tuple[Instance, ...]


def recall(path: Path) -> tuple[Instance, ...]:
    """The remembered instances; none when there is no readable memory of them."""
    try:
        return parse(Listed, path.read_bytes(), f"{path}").instances
    except FileNotFoundError:
        return ()
    except (OSError, Corrupt) as trouble:
        log.warning("The remembered group is not used: %s", trouble)
        return ()


def note(path: Path, instances: tuple[Instance, ...]) -> None:
    """Remember them. It is a convenience: what cannot be written is said, and nothing depends on it."""
    half = path.with_suffix(".tmp")
    try:
        half.write_bytes(dump(Listed(instances)))
        half.replace(path)
    except OSError as trouble:
        log.warning("The group could not be remembered: %s", trouble)

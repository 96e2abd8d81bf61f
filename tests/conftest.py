"""Fixtures for every tier: the real etcd, and addresses to run it on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from eco.errors import Unavailable
from eco.etcd import install
from tests.support import Addresses

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def etcd_binaries() -> install.Binaries:
    """etcd and its tools as an agent would find them; installed first where there are none."""
    try:
        return install.find(None)
    except Unavailable:
        return install.install(install.DEFAULT, progress=lambda line: print(line, file=sys.stderr))  # noqa: T201


@pytest.fixture(scope="session")
def address_block() -> Iterator[Addresses]:
    block = Addresses()
    yield block
    block.close()


@pytest.fixture
def addresses(address_block: Addresses) -> Addresses:
    """`addresses.fresh()` and `addresses.several(n)` give loopback addresses nobody else uses."""
    return address_block

"""A site for each test, its directories let go of at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.agent.world import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    for node in site.nodes.values():
        node.data.close()

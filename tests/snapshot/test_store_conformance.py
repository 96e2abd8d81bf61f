"""The suite itself: the trivial store passes it, and stores that break a promise are caught."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from eco.errors import Unavailable
from eco.testing import MemoryStore, Place, SharedStoreConformance, StoreConformance
from snapshot.file import FileStore

if TYPE_CHECKING:
    from pathlib import Path

    from eco.ports import Store


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return Place(MemoryStore, {}, tmp_path)


class LooksFirst(FileStore):
    """It looks whether the key is free, and then writes."""

    async def create(self, key: str, data: bytes) -> bool:
        if await self.read(key) is not None:
            return False
        await asyncio.sleep(0.05)
        await self.replace(key, data)
        return True


class WritesInPlace(FileStore):
    """Its objects are visible while they are written."""

    async def create(self, key: str, data: bytes) -> bool:
        if not await super().create(key, data[: len(data) // 2]):
            return False
        await super().replace(key, data)
        return True


async def test_a_store_that_looks_first_loses_the_race(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="in round 0 these won"):
        await SharedStoreConformance().test_of_racing_processes_one_wins(Place(LooksFirst, {"dir": "x"}, tmp_path))


async def test_a_store_that_writes_in_place_is_met_half_way(tmp_path: Path) -> None:
    place = Place(WritesInPlace, {"dir": "x"}, tmp_path)
    with pytest.raises(AssertionError):
        await SharedStoreConformance().test_a_killed_writer_leaves_no_half_object(place.open(), place)


async def test_a_memory_store_fails_as_it_is_told() -> None:
    store: Store
    store = memory = MemoryStore()

    memory.lost_replies = 1
    with pytest.raises(Unavailable):
        await store.create("replied", b"")
    assert await store.read("replied") == b""

    memory.lost_requests = 1
    with pytest.raises(Unavailable):
        await store.create("requested", b"")
    assert await store.read("requested") is None

    memory.down = "the store is on fire"
    with pytest.raises(Unavailable, match="on fire"):
        await store.list("")

"""Fleets for the end-to-end tests: shared where claims can share one, always cleaned up, explained on failure."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.e2e.harness import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from pathlib import Path

    from eco.etcd.install import Binaries

FAILED = pytest.StashKey[bool]()
FLEET_BIRTH = 30
"""Seconds for a fleet that is only the scene of a test: the birth tests have the strict deadline."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker(pytest.mark.e2e)
            if sys.platform != "linux":
                item.add_marker(pytest.mark.skip(reason="needs /proc and all of 127.0.0.0/8"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


def has_failed(request: pytest.FixtureRequest) -> bool:
    return bool(request.node.stash.get(FAILED, False))


@pytest.fixture(scope="session", autouse=True)
def etcd_in_reach(etcd_binaries: Binaries) -> Iterator[None]:
    """The etcd that the other tiers use is the one that the fleets find."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ECO_ETCD_BIN_DIR", str(etcd_binaries.etcd.parent))
        yield


@pytest.fixture
def new_fleet(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Fleet]]:
    """Make fleets that belong to this test alone; nothing is started yet."""
    made: list[Fleet] = []

    def make(names: Iterable[str] = "abc", *, desired: int | None = None) -> Fleet:
        fleet = Fleet(tmp_path / f"fleet{len(made)}", names, desired=desired)
        made.append(fleet)
        return fleet

    yield make
    for fleet in made:
        conclude(fleet, failed=has_failed(request))


def conclude(fleet: Fleet, *, failed: bool) -> None:
    """Show the story of a failed test, else give back its disk; leave nothing running either way."""
    if failed:
        print(fleet.story())  # noqa: T201 - pytest shows it with the failure
    fleet.close()
    if not failed:
        fleet.check_logs()
        fleet.forget()


class Scene:
    """One fleet for the claims of one file: replaced by a fresh one after a claim failed."""

    def __init__(self, factory: pytest.TempPathFactory, names: str, *, loaded: bool) -> None:
        self.factory = factory
        self.names = names
        self.loaded = loaded
        self.fleet: Fleet | None = None

    def enter(self) -> Fleet:
        if self.fleet is None:
            self.fleet = Fleet(self.factory.mktemp("scene") / "fleet", self.names)
            self.fleet.start()
            self.fleet.healthy(FLEET_BIRTH)
            if self.loaded:
                self.fleet.load()
        self.fleet.healthy(FLEET_BIRTH)
        if self.loaded:
            self.fleet.ledger.flowing()
        return self.fleet

    def leave(self, *, failed: bool) -> None:
        fleet = self.fleet
        if fleet is None:
            return
        if failed:
            self.end(failed=True)
            return
        try:
            if self.loaded:
                fleet.ledger.settle()
            fleet.check_logs()
        except BaseException:
            self.end(failed=True)
            raise

    def end(self, *, failed: bool = False) -> None:
        fleet, self.fleet = self.fleet, None
        if fleet is not None:
            conclude(fleet, failed=failed)

    @contextmanager
    def played(self, request: pytest.FixtureRequest) -> Iterator[Fleet]:
        """The fleet for one test, judged afterwards."""
        try:
            fleet = self.enter()
        except BaseException:
            self.end(failed=True)
            raise
        yield fleet
        self.leave(failed=has_failed(request))


@pytest.fixture(scope="module")
def scene_of_three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    scene = Scene(tmp_path_factory, "abc", loaded=True)
    yield scene
    scene.end()


@pytest.fixture(scope="module")
def scene_of_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    scene = Scene(tmp_path_factory, "a", loaded=False)
    yield scene
    scene.end()


@pytest.fixture
def trio(scene_of_three: Scene, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """Three healthy nodes a, b, c under load, shared by the tests of a file; afterwards the ledger is settled."""
    with scene_of_three.played(request) as fleet:
        yield fleet


@pytest.fixture
def lone(scene_of_one: Scene, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """One healthy node a, without load, shared by the tests of a file."""
    with scene_of_one.played(request) as fleet:
        yield fleet

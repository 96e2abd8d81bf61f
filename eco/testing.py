# ruff: noqa: S101 — asserting is what a conformance suite does
"""Conformance suites for plug-ins, and the trivial implementation of each port beside them.

The author of a provider or a store runs the suite by subclassing it in a test module; every test
is a promise that eco relies on, its docstring says which. pytest and pytest-asyncio are needed.

    # conftest.py — so that failing assertions of the suite are explained
    pytest.register_assert_rewrite("eco.testing")

    class TestMyStore(SharedStoreConformance):
        @pytest.fixture
        def place(self, tmp_path: Path) -> Place:
            return Place(MyStore, {"bucket": a_fresh_bucket()}, tmp_path)

    class TestMyProvider(ProviderConformance):
        @pytest.fixture
        def provider(self) -> Provider: ...          # one whose source is well
        @pytest.fixture
        def broken(self) -> Sequence[Provider]: ...  # each with something wrong at its source

A store that several processes can open runs `SharedStoreConformance`; one in memory can only run
`StoreConformance`. `MemoryStore` and `Roll` (a provider) are for the tests of what lies above.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import multiprocessing
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import pytest
import pytest_asyncio

from eco.core.model import Group, Instance
from eco.errors import Bug, Corrupt, Problem, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerContext, ForkServerProcess

    from eco.ports import Provider, Store

T = TypeVar("T")

PATIENCE = 120.0
"""Seconds after which a runner that has not answered is taken for stuck."""

LIMIT = 1 << 20
"""Bytes of the largest object that `Store.read` returns."""

RACERS = 16
ROUNDS = 5
SLOWEST_PACE = 3600.0

_KEY = re.compile(r"[a-z0-9_=-][a-z0-9._=-]*(/[a-z0-9_=-][a-z0-9._=-]*)*")


# ---------------------------------------------------------------- trivial implementations


class MemoryStore:
    """Objects in a dictionary, with the ways in which a real store lets one down.

    Share one instance to stand for a shared store. The switches may be changed at any time:
    `down` makes every call `Unavailable` with that sentence; of the coming creates, so many
    `lost_requests` do not happen and so many `lost_replies` do, and both are `Unavailable`;
    `delay` is how many seconds a call takes.
    """

    summary: ClassVar[str] = "objects in memory, for tests"

    def __init__(self) -> None:
        """Begin empty and well."""
        self.objects: dict[str, bytes] = {}
        self.down = ""
        self.lost_replies = 0
        self.lost_requests = 0
        self.delay = 0.0

    @classmethod
    def parse(cls, settings: Mapping[str, object], base: Path) -> tuple[MemoryStore | None, tuple[Problem, ...]]:  # noqa: ARG003 — the port's signature
        """It has no settings."""
        problems = tuple(Problem(f"snapshot.{key}", str(settings[key]), "it has no settings") for key in settings)
        return (None, problems) if problems else (cls(), ())

    async def create(self, key: str, data: bytes) -> bool:
        """As `Store.create`."""
        await self._answer(key)
        if self.lost_requests:
            self.lost_requests -= 1
            raise Unavailable("the request was lost")
        is_new = key not in self.objects
        self.objects.setdefault(key, data)
        if self.lost_replies:
            self.lost_replies -= 1
            raise Unavailable("the reply was lost")
        return is_new

    async def read(self, key: str) -> bytes | None:
        """As `Store.read`."""
        await self._answer(key)
        data = self.objects.get(key)
        if data is not None and len(data) > LIMIT:
            raise Corrupt(f"{key} is larger than {LIMIT} bytes")
        return data

    async def list(self, prefix: str) -> tuple[str, ...]:
        """As `Store.list`."""
        await self._answer(f"{prefix}key")
        return tuple(sorted(key for key in self.objects if key.startswith(prefix)))

    async def replace(self, key: str, data: bytes) -> None:
        """As `Store.replace`."""
        await self._answer(key)
        self.objects[key] = data

    async def foreign(self) -> bool:
        """As `Store.foreign`."""
        await self._answer()
        return any("/" not in key and key.endswith("_etcd.backup") for key in self.objects)

    async def close(self) -> None:
        """Nothing is held."""

    async def _answer(self, key: str = "key") -> None:
        if not _KEY.fullmatch(key):
            raise Bug(f"not a key of the store: {key!r}")
        await asyncio.sleep(self.delay)
        if self.down:
            raise Unavailable(self.down)


class Roll:
    """A provider whose answer is a value: assign `group`, or a sentence to `down`, at any time."""

    summary: ClassVar[str] = "a group in memory, for tests"

    def __init__(self, me: str, group: Group) -> None:
        """Answer `group` to the instance `me`."""
        self._me = me
        self.group = group
        self.down = ""

    @classmethod
    def parse(cls, settings: Mapping[str, object], base: Path) -> tuple[Roll | None, tuple[Problem, ...]]:  # noqa: ARG003 — the port's signature
        """It has no settings; the group is one instance on this machine."""
        problems = tuple(Problem(f"asg.{key}", str(settings[key]), "it has no settings") for key in settings)
        return (None, problems) if problems else (cls("me", Group((Instance("me", "127.0.0.1"),), desired=1)), ())

    async def look(self) -> Group:
        """As `Provider.look`."""
        if self.down:
            raise Unavailable(self.down)
        if self._me not in {instance.name for instance in self.group.instances}:
            raise Unavailable(f"the group lacks this node, {self._me}")
        return self.group

    @property
    def me(self) -> str:
        """As `Provider.me`."""
        return self._me

    @property
    def pace(self) -> float:
        """It costs nothing to look."""
        return 0.1

    async def close(self) -> None:
        """Nothing is held."""


# ---------------------------------------------------------------- stores


@dataclass(frozen=True)
class Place:
    """Where a store lies, in words with which other processes can open it, too (all are pickled)."""

    kind: type[Store]
    settings: Mapping[str, object]
    base: Path

    def open(self) -> Store:
        """Open the store as the configuration would."""
        store, problems = self.kind.parse(self.settings, self.base)
        assert store is not None, f"the settings are refused: {problems}"
        return store


@pytest.mark.asyncio
class StoreConformance:
    """What eco relies on in every store. Give it a fixture `place`: an empty store, anew for each test."""

    crowd: ClassVar[int] = 1100
    """How many objects a listing has to cope with: more than one page of it."""

    @pytest_asyncio.fixture
    async def store(self, place: Place) -> AsyncIterator[Store]:
        """Open the store at `place`, and close it after the test."""
        store = place.open()
        yield store
        await store.close()

    @pytest.mark.parametrize("data", [b"", b"{}\n", bytes(range(256)), b"x" * LIMIT], ids=len)
    async def test_what_was_created_is_read_back(self, store: Store, data: bytes) -> None:
        """Every byte counts, and so do no bytes at all."""
        assert await store.create("some/key", data)
        assert await store.read("some/key") == data

    async def test_a_taken_key_stays_as_it_is(self, store: Store) -> None:
        """The one hard promise, on which every founding rests."""
        assert await store.create("key", b"first")
        assert not await store.create("key", b"second")
        assert await store.read("key") == b"first"

    async def test_a_lost_reply_is_found_out_by_reading_back(self, store: Store) -> None:
        """A create that is tried again says no to its own object, and the bytes say whose it is."""
        assert await store.create("key", b"my nonce")
        assert not await store.create("key", b"my nonce")
        assert await store.read("key") == b"my nonce"

    async def test_an_abandoned_create_leaves_a_whole_object_or_none(self, store: Store) -> None:
        """A caller gives up at its deadline; what it began ends well, or not at all."""
        for number in range(20):
            attempt = asyncio.create_task(store.create(f"abandoned/{number}", _body(str(number))))
            await asyncio.wait([attempt], timeout=number / 5000)
            attempt.cancel()
            await asyncio.wait([attempt])
            assert await store.read(f"abandoned/{number}") in {None, _body(str(number))}

    async def test_of_many_creates_at_once_one_wins(self, store: Store) -> None:
        """Also among tasks of one process."""
        won = await asyncio.gather(*(store.create("key", str(number).encode()) for number in range(RACERS)))
        assert sum(won) == 1, won
        assert await store.read("key") == str(won.index(True)).encode()

    async def test_nothing_is_read_where_nothing_was_created(self, store: Store) -> None:
        """Absence is an answer, not an error; a prefix is no object."""
        assert await store.read("nothing/here") is None
        assert await store.list("nothing/") == ()
        await store.create("some/key", b"data")
        assert await store.read("some") is None

    async def test_an_object_too_large_for_a_record_is_corrupt(self, store: Store) -> None:
        """A stranger's huge object must not fill the memory."""
        await store.create("large", b"x" * (LIMIT + 1))
        with pytest.raises(Corrupt):
            await store.read("large")

    async def test_a_listing_is_complete_and_sorted(self, store: Store) -> None:
        """All pages of it, at any depth, and nothing of a neighbour whose name begins alike."""
        names = [f"{number * 7919 % self.crowd:06}" for number in range(self.crowd)]
        crowd = [f"crowd/{name[:4]}/{name}.json" for name in names]
        await asyncio.gather(*(store.create(key, b"") for key in ["crowded/0", "a", *crowd]))

        assert await store.list("crowd/") == tuple(sorted(crowd))
        assert await store.list("") == ("a", *sorted([*crowd, "crowded/0"]))

    async def test_replace_creates_and_overwrites(self, store: Store) -> None:
        """The leader's beat is the same object again and again."""
        for counter in range(3):
            await store.replace("alive", str(counter).encode())
            assert await store.read("alive") == str(counter).encode()
        assert await store.list("") == ("alive",)

    @pytest.mark.parametrize(
        "key", ["", "/a", "a/", "a//b", "..", "../a", "a/../b", "a/./b", ".a", "A", "a b", "a\n", "a\0", "ä", "a\\b"]
    )
    async def test_what_is_no_key_is_a_bug(self, store: Store, key: str) -> None:
        """Nothing outside the store's own place is ever touched, whatever a caller says."""
        with pytest.raises(Bug):
            await store.create(key, b"")
        with pytest.raises(Bug):
            await store.replace(key, b"")
        with pytest.raises(Bug):
            await store.read(key)
        with pytest.raises(Bug):
            await store.list(f"{key}/")
        assert await store.list("") == ()

    async def test_an_empty_store_holds_no_backups_of_others(self, store: Store) -> None:
        """Neither before nor after our own objects are there."""
        assert not await store.foreign()
        await store.create("cluster/snapshots/x_etcd.backup", b"")
        assert not await store.foreign()

    async def test_closing_twice_is_closing(self, store: Store) -> None:
        """Shutting down may come from two sides."""
        await store.close()
        await store.close()

    async def test_an_unknown_setting_is_a_problem_with_a_path(self, place: Place) -> None:
        """A misspelt setting is told, not ignored."""
        store, problems = place.kind.parse({**place.settings, "no-such-setting": 1}, place.base)
        assert store is None
        assert [problem.path for problem in problems] == ["snapshot.no-such-setting"]


class SharedStoreConformance(StoreConformance):
    """What a store owes to several processes: every store that is not a test's own."""

    async def test_of_racing_processes_one_wins(self, place: Place) -> None:
        """Sixteen nodes found the same generation; whoever loses obeys the winner."""
        outcomes = race(RACERS, _race_to_create, place)

        store = place.open()
        for number, won in enumerate(zip(*outcomes, strict=True)):
            assert sum(won) == 1, f"in round {number} these won: {won}"
            assert await store.read(f"race/{number}") == str(won.index(True)).encode()
        await store.close()

    async def test_a_killed_writer_leaves_no_half_object(self, store: Store, place: Place) -> None:
        """An agent may die at any moment, and a reader may look at any moment."""
        for number in range(4):
            with _process(_create_for_ever, place, number) as (process, announced):
                for _ in range(3):
                    key = _received(announced)
                    while (data := await store.read(key)) is None:
                        pass  # at full speed, to meet it half made
                    assert data == _body(key)
                process.join(number / 300)  # some way into the next one
        for key in await store.list("killed/"):
            assert await store.read(key) == _body(key)

    async def test_a_reader_of_a_replaced_object_sees_one_version_whole(self, store: Store, place: Place) -> None:
        """The beat is read while it is written."""
        with _process(_replace_for_ever, place) as (_, announced):
            _received(announced)
            seen = {await store.read("alive") for _ in range(100)}
        assert seen <= {_body("0"), _body("1")}


def _body(key: str) -> bytes:
    """Half a mebibyte that tells its key at every place."""
    return hashlib.sha256(key.encode()).digest() * (LIMIT // 64)


def _race_to_create(number: int, line: StartingLine, place: Place) -> list[bool]:
    async def run() -> list[bool]:
        store = place.open()
        won = []
        for goal in range(ROUNDS):
            line.wait(PATIENCE)
            won.append(await store.create(f"race/{goal}", str(number).encode()))
        await store.close()
        return won

    return asyncio.run(run())


def _create_for_ever(announce: Connection[object, object], place: Place, run: int) -> None:
    async def create() -> None:
        store = place.open()
        for number in itertools.count():
            key = f"killed/{run}/{number}"
            announce.send(key)
            await store.create(key, _body(key))

    asyncio.run(create())


def _replace_for_ever(announce: Connection[object, object], place: Place) -> None:
    async def replace() -> None:
        store = place.open()
        for number in itertools.count():
            await store.replace("alive", _body(str(number % 2)))
            if not number:
                announce.send(number)

    asyncio.run(replace())


# ---------------------------------------------------------------- providers


@pytest.mark.asyncio
class ProviderConformance:
    """What eco relies on in every provider. Give it the fixtures `provider` and `broken`."""

    @pytest.fixture
    def broken(self) -> Sequence[Provider]:
        """Providers whose source is empty, malformed, out of reach, or lacks this node: one each."""
        raise NotImplementedError

    async def test_a_look_gives_a_group_with_me_in_it(self, provider: Provider) -> None:
        """Sorted, so that two equal worlds print alike; names unique, for they are how instances are told apart."""
        group = await provider.look()

        names = [instance.name for instance in group.instances]
        assert names == sorted(set(names))
        assert provider.me in names
        assert group.desired >= 1
        assert not set(group.gone) & set(names), "an instance is listed and gone"
        for instance in group.instances:
            assert instance.address
            assert {instance.client_port, instance.peer_port, instance.status_port} <= set(range(1, 65536))

    async def test_two_looks_at_the_same_world_agree(self, provider: Provider) -> None:
        """Looking changes nothing."""
        assert await provider.look() == await provider.look()

    async def test_what_cannot_be_known_is_unavailable_every_time(self, broken: Sequence[Provider]) -> None:
        """Never an empty group: that would read as "everyone is gone"."""
        for provider in broken:
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await provider.look()

    async def test_a_pace_is_a_number_of_seconds(self, provider: Provider) -> None:
        """The caller jitters it and caches in between."""
        assert 0 < provider.pace <= SLOWEST_PACE

    async def test_closing_twice_is_closing(self, provider: Provider) -> None:
        """Shutting down may come from two sides."""
        await provider.close()
        await provider.close()

    async def test_an_unknown_setting_is_a_problem_with_a_path(self, provider: Provider) -> None:
        """A misspelt setting is told, not ignored."""
        parsed, problems = type(provider).parse({"no-such-setting": 1}, Path())
        assert parsed is None
        assert "asg.no-such-setting" in [problem.path for problem in problems]
        assert all(problem.path.startswith("asg.") for problem in problems)


# ---------------------------------------------------------------- several processes


class StartingLine(Protocol):
    """What `race` hands to its runners: all of them leave `wait` together."""

    def wait(self, timeout: float | None = None) -> int:
        """Block until every runner waits."""


def race(runners: int, run: Callable[[int, StartingLine, Any], T], argument: object) -> list[T]:
    """What `run(number, line, argument)` gave in each of so many processes, in order of number.

    `run` is a module's function, `argument` and the results can be pickled. A runner that raises
    or dies fails the race.
    """
    forge = _forge()
    line = forge.Barrier(runners)
    with contextlib.ExitStack() as stack:
        inlets = [stack.enter_context(_process(_run, run, number, line, argument))[1] for number in range(runners)]
        return [_received(inlet) for inlet in inlets]


def _run(
    outlet: Connection[object, object],
    run: Callable[[int, StartingLine, Any], object],
    number: int,
    line: StartingLine,
    argument: object,
) -> None:
    outlet.send(run(number, line, argument))


def _forge() -> ForkServerContext:
    """Processes are forked off a small server: quickly, and without this process's threads."""
    forge = multiprocessing.get_context("forkserver")
    forge.set_forkserver_preload([__name__])
    return forge


@contextlib.contextmanager
def _process(
    target: Callable[..., None], *arguments: object
) -> Iterator[tuple[ForkServerProcess, Connection[Any, Any]]]:
    """Run `target(outlet, *arguments)` in a process of its own, killed at the end; and what it sends."""
    forge = _forge()
    inlet, outlet = forge.Pipe(duplex=False)
    process = forge.Process(target=target, args=(outlet, *arguments), daemon=True)
    process.start()
    outlet.close()  # so that the end of the process is the end of what it sends
    try:
        yield process, inlet
    finally:
        process.kill()
        process.join()
        inlet.close()


def _received(inlet: Connection[Any, Any]) -> Any:
    assert inlet.poll(PATIENCE), "a process gives no answer"
    return inlet.recv()

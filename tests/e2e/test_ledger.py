"""The ledger itself, shown what it has to find: a judge that never convicts proves nothing."""

from __future__ import annotations

import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from tests.e2e.ledger import Ledger, LostWritesError, SplitBrainError, VerdictError, VoidError
from tests.e2e.patience import eventually
from tests.e2e.plain import PlainEtcd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support import Addresses


@pytest.fixture
def plain(tmp_path: Path, addresses: Addresses) -> Iterator[Callable[[str], PlainEtcd]]:
    """Single plain etcds, each with an address of its own."""
    made: list[PlainEtcd] = []

    def make(name: str) -> PlainEtcd:
        node = PlainEtcd(name, addresses.fresh().host, tmp_path / name)
        made.append(node)
        return node

    yield make
    for node in made:
        node.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Callable[..., Ledger]]:
    """Ledgers that are closed at the end."""
    made: list[Ledger] = []

    def make(*nodes: PlainEtcd, rate: float = 250.0) -> Ledger:
        fresh = Ledger(tmp_path / f"ledger{len(made)}", [node.address for node in nodes], rate)
        made.append(fresh)
        fresh.start()
        return fresh

    yield make
    for one in made:
        one.close()


def serving(node: PlainEtcd) -> PlainEtcd:
    node.start()
    node.wait()
    return node


def test_an_undisturbed_etcd_is_acquitted(plain: Callable[[str], PlainEtcd], ledger: Callable[..., Ledger]) -> None:
    book = ledger(serving(plain("a")))
    since = book.flowing()
    eventually(lambda: len(book.refresh().puts) > 600, 10, "600 writes")

    book.stop()

    book.settle()
    assert not book.failures(since)
    assert book.longest_gap(since, book.book.puts[-1].ended) < 2


def test_a_write_deleted_behind_its_back_is_named(
    plain: Callable[[str], PlainEtcd], ledger: Callable[..., Ledger]
) -> None:
    node = serving(plain("a"))
    book = ledger(node)
    book.flowing()
    book.stop()
    victim = book.book.puts[100]

    node.etcd.delete(victim.key)

    with pytest.raises(LostWritesError, match=victim.key) as found:
        book.settle()
    assert found.value.missing == (victim,)


def test_an_altered_write_is_named(plain: Callable[[str], PlainEtcd], ledger: Callable[..., Ledger]) -> None:
    node = serving(plain("a"))
    book = ledger(node)
    book.flowing()
    book.stop()
    victim = book.book.puts[100]

    node.etcd.put(victim.key, "something else")

    with pytest.raises(LostWritesError, match=victim.key) as found:
        book.settle()
    assert found.value.wrong == (victim,)


def test_a_member_restored_from_an_older_copy_is_convicted(
    plain: Callable[[str], PlainEtcd], ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    node = serving(plain("a"))
    book = ledger(node)
    book.flowing()
    node.end()
    shutil.copytree(node.data, tmp_path / "older")
    node.start()
    book.flowing()

    node.end(signal.SIGKILL)
    shutil.rmtree(node.data)
    shutil.copytree(tmp_path / "older", node.data)
    node.start()
    book.flowing()
    book.stop()

    with pytest.raises(LostWritesError):
        book.audit()
    with pytest.raises(VerdictError, match="history went back"):
        book.book.check_order()
    with pytest.raises(SplitBrainError, match="revision"):
        book.book.check_lineage()


def test_two_clusters_that_take_writes_are_a_split_brain(
    plain: Callable[[str], PlainEtcd], ledger: Callable[..., Ledger]
) -> None:
    book = ledger(serving(plain("a")), serving(plain("b")))
    book.flowing()
    book.stop()

    with pytest.raises(SplitBrainError, match="have all acknowledged writes"):
        book.book.check_lineage()


def test_two_copies_of_one_cluster_that_take_writes_are_a_split_brain(
    plain: Callable[[str], PlainEtcd], ledger: Callable[..., Ledger]
) -> None:
    original, copy = serving(plain("a")), plain("b")
    original.end()
    shutil.copytree(original.home, copy.home)
    original.start()
    copy.start()
    book = ledger(original, copy)
    book.flowing()
    book.stop()

    with pytest.raises(SplitBrainError, match="was given to"):
        book.book.check_lineage()


def test_too_little_traffic_voids_the_run(plain: Callable[[str], PlainEtcd], ledger: Callable[..., Ledger]) -> None:
    book = ledger(serving(plain("a")), rate=50.0)
    eventually(lambda: len(book.refresh().puts) > 100, 10, "100 writes")
    book.stop()

    with pytest.raises(VoidError):
        book.flowing(within=0)
    with pytest.raises(VoidError):
        book.settle()

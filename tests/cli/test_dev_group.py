from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from eco.cli.dev import group, places
from eco.cli.dev.home import Home
from eco.config import load
from eco.core.model import Instance
from eco.errors import EcoError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def names(listing: group.Listing) -> list[str]:
    return [instance.name for instance in listing.instances]


def test_a_group_file_reads_back_as_it_was_written(tmp_path: Path) -> None:
    listing = group.Listing(3, (Instance("a", "127.70.0.1"), Instance("b", "127.70.0.2", client_port=9)))
    group.write(tmp_path / "group.yaml", listing)

    assert group.read(tmp_path / "group.yaml") == listing
    assert [path.name for path in tmp_path.iterdir()] == ["group.yaml"]


@pytest.mark.parametrize(
    "text", ["", "[]", "desired: 1", "{desired: x, instances: []}", "{desired: 1, instances: [1]}", "{"]
)
def test_a_broken_group_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "group.yaml").write_text(text)

    with pytest.raises(EcoError, match="not a usable group file"):
        group.read(tmp_path / "group.yaml")


def test_a_terminated_node_leaves_a_vacancy_that_the_next_one_fills() -> None:
    listing = group.Listing(2, (Instance("a", "127.70.0.1"), Instance("b", "127.70.0.2")))

    smaller = listing.without("a")
    refilled = smaller.having(Instance("c", "127.70.0.3"))
    grown = refilled.having(Instance("d", "127.70.0.4"))

    assert (smaller.desired, refilled.desired, grown.desired) == (2, 2, 3)
    assert names(grown) == ["b", "c", "d"]


def test_a_new_cluster_has_an_address_per_node_and_a_configuration_each(home: Home) -> None:
    listing = home.found(3, "127.70.0.1")

    assert names(listing) == ["n1", "n2", "n3"]
    assert len({(each.address, each.client_port) for each in listing.instances}) == 3
    assert [node.name for node in home.nodes()] == ["n1", "n2", "n3"]
    assert home.listing() == listing


@pytest.mark.skipif(not socket.has_ipv6 or not places.can_bind("::1", 0), reason="needs IPv6")
def test_where_loopback_is_one_address_nodes_have_ports_of_their_own(home: Home) -> None:
    listing = home.found(2, "::1")

    assert [(each.address, each.client_port, each.status_port) for each in listing.instances] == [
        ("::1", 2379, 2378),
        ("::1", 2389, 2388),
    ]
    assert places.metrics_port(listing.instances[1]) == 2391
    assert "metrics-port: 2391" in home.node("n2").config.read_text()


def test_the_configurations_are_ones_that_an_agent_accepts(home: Home) -> None:
    home.found(2, "127.70.0.1")

    assert [load(node.config).provider.me for node in home.nodes()] == ["n1", "n2"]


def test_an_edited_configuration_is_kept(home: Home) -> None:
    listing = home.found(1, "127.70.0.1")
    home.node("n1").config.write_text("mine")

    home.furnish(listing.instances[0])

    assert home.node("n1").config.read_text() == "mine"


def test_a_newcomer_never_takes_the_name_of_one_that_was(home: Home) -> None:
    listing = home.found(3, "127.70.0.1")
    group.write(home.group_file, listing.without("n3"))

    assert home.newcomer(None).name == "n4"


@pytest.mark.parametrize("name", ["../zzz", "a/b", "Bad_Name!", "", ".", "-a", "n\n", "store", "x" * 64])
def test_what_is_no_name_makes_no_directory_and_no_entry(home: Home, name: str) -> None:
    home.found(3, "127.70.0.1")
    before = home.listing()

    with pytest.raises(EcoError, match="no node's name"):
        home.newcomer(name)

    assert home.listing() == before


def test_a_named_newcomer_gets_a_vacant_place(home: Home) -> None:
    listing = home.found(2, "127.70.0.1")

    newcomer = home.newcomer("extra")

    assert newcomer.name == "extra"
    assert (newcomer.address, newcomer.client_port) not in {(e.address, e.client_port) for e in listing.instances}


def test_a_taken_name_is_refused(home: Home) -> None:
    home.found(1, "127.70.0.1")

    with pytest.raises(EcoError, match="n1 is there already"):
        home.newcomer("n1")


def test_an_empty_directory_says_how_to_begin(home: Home) -> None:
    with pytest.raises(EcoError, match="start one with `eco dev`"):
        home.listing()


def test_only_one_supervisor_holds_a_directory(home: Home) -> None:
    with home.hold(), pytest.raises(EcoError, match="already runs"), Home(home.root).hold():
        pass
    with home.hold():
        pass


def test_clearing_deletes_the_cluster_and_nothing_else(home: Home) -> None:
    home.found(2, "127.70.0.1")
    (home.root / "mine.txt").write_text("keep")
    (home.root / "notes").mkdir()

    home.clear()

    assert sorted(path.name for path in home.root.iterdir()) == ["mine.txt", "notes"]


def test_addresses_are_compared_as_numbers() -> None:
    assert places.lowest(["127.0.0.10", "127.0.0.9"]) == "127.0.0.9"
    assert places.lowest([]) == places.DEFAULT_BASE


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = places.busy(Instance("a", "127.0.0.1", client_port=port, peer_port=port, status_port=port))

    assert f"127.0.0.1:{port}" in found

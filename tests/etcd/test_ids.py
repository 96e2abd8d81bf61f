from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from eco.etcd.client import EtcdClient
from eco.etcd.ids import cluster_id, founder_id, hexed
from tests.etcd.servers import TOKEN, Server, founders, output, serving

if TYPE_CHECKING:
    from pathlib import Path

    from eco.etcd.install import Binaries
    from tests.support import Addresses


@pytest.mark.parametrize("size", [1, 3])
async def test_founders_and_their_cluster_have_the_ids_we_derive(
    etcd_binaries: Binaries, addresses: Addresses, tmp_path: Path, size: int
) -> None:
    servers = founders(etcd_binaries.etcd, addresses.several(size), tmp_path)
    client = EtcdClient()
    derived = {server.name: founder_id((server.at.peer_url,), TOKEN) for server in servers}

    async with serving(servers, client):
        members = await client.members(servers[0].urls, linearizable=True)
        status = await client.status(servers[0].urls)

    assert {member.name: member.id for member in members} == derived
    assert status.cluster_id == cluster_id(derived.values())


async def test_several_peer_urls_make_one_id_in_whatever_order_they_are_given(
    etcd_binaries: Binaries, addresses: Addresses, tmp_path: Path
) -> None:
    at, other = addresses.several(2)
    urls = (other.peer_url, at.peer_url)
    listen = ",".join(urls)
    pairs = ",".join(f"a={url}" for url in urls)
    flags = (f"--listen-peer-urls={listen}", f"--initial-advertise-peer-urls={listen}", f"--initial-cluster={pairs}")
    server = Server(etcd_binaries.etcd, "a", at, tmp_path / "a", flags=flags)
    client = EtcdClient()

    async with serving([server], client):
        status = await client.status(server.urls)

    assert status.member_id == founder_id(urls, TOKEN) == founder_id(urls[::-1], TOKEN)


async def test_ids_are_written_as_etcdctl_prints_them(
    etcd_binaries: Binaries, addresses: Addresses, tmp_path: Path
) -> None:
    (server,) = founders(etcd_binaries.etcd, addresses.several(1), tmp_path)

    async with serving([server], EtcdClient()):
        printed = await output(etcd_binaries.etcdctl, f"--endpoints={server.at.client_url}", "member", "list")

    assert printed.split(",")[0] == founder_id((server.at.peer_url,), TOKEN)


def test_short_ids_carry_no_padding() -> None:
    assert hexed(0xAB) == "ab"
    assert hexed(0) == ""
    assert cluster_id(["ab", "0000000000000001"]) == cluster_id(["1", "00000000000000ab"])


def test_an_id_that_is_not_hex_is_an_error() -> None:
    with pytest.raises(ValueError, match="hex"):
        cluster_id(["no number"])

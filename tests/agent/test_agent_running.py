from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from eco.agent import address, run
from eco.agent.assembly import assemble, settings
from eco.agent.running import OK, TRY_AGAIN, WRONG_CONFIG
from eco.config.model import Config, EtcdConfig, LogConfig, PeerTransportSecurity, SnapshotConfig, TransportSecurity
from eco.core.model import Group, Instance
from eco.core.policy import Policy
from eco.errors import ConfigError, Corrupt, Refused, Unavailable
from eco.etcd.datadir import EtcdDirectory
from eco.testing import MemoryStore, Roll

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eco.etcd.install import Binaries
    from tests.support import Addresses


class Told(Roll):
    """A provider whose look makes a supervisor send SIGTERM, and which then says `word`, if anything."""

    def __init__(self, group: Group, word: Exception | None = None) -> None:
        super().__init__("a", group)
        self._word = word

    async def look(self) -> Group:
        os.kill(os.getpid(), signal.SIGTERM)
        if self._word is not None:
            raise self._word
        return self.group


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Logging belongs to the process: the test runner wants its own back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    root.handlers, root.level = handlers, level


@pytest.fixture
def instance(addresses: Addresses) -> Instance:
    place = addresses.fresh()
    return Instance("a", place.host, place.client_port, place.peer_port, place.status_port)


@pytest.fixture
def config(tmp_path: Path, etcd_binaries: Binaries, instance: Instance) -> Config:
    return Config(
        path=tmp_path / "eco.yaml",
        cluster="k",
        check_interval=0.1,
        listen_address="",
        etcd=EtcdConfig(binary=etcd_binaries.etcd, data_dir=tmp_path / "data"),
        snapshot=SnapshotConfig(),
        log=LogConfig(format="json"),
        policy=Policy(),
        provider=Told(Group((instance,), desired=1)),
        store=MemoryStore(),
    )


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The messages on standard error."""
    return [json.loads(line)["msg"] for line in capsys.readouterr().err.splitlines()]


# ------------------------------------------------------------------ exit codes


def test_an_agent_that_was_told_to_stop_ends_well(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config) == OK

    assert any("runs as a of cluster k" in line for line in lines(capsys))
    assert not (config.etcd.data_dir / "member").exists()


@pytest.mark.parametrize("word", [Unavailable("no route"), Refused("access denied"), Corrupt("not a list")])
def test_an_agent_that_never_heard_its_address_can_be_stopped(
    config: Config, word: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(replace(config, provider=Told(Group((), desired=1), word))) == OK

    assert f"The provider cannot be asked: {word}. Trying again." in lines(capsys)


@pytest.mark.parametrize("word", [Unavailable("no route"), Refused("access denied"), Corrupt("not a list")])
def test_a_remembered_address_does_for_a_provider_that_fails(
    config: Config, instance: Instance, word: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    (config.etcd.data_dir / "eco").mkdir(parents=True)
    address.note(config.etcd.data_dir / "eco" / "group.json", (instance,))

    assert run(replace(config, provider=Told(Group((), desired=1), word))) == OK

    told = lines(capsys)
    assert any(f"the address it gave last time, {instance.address}" in line for line in told)
    assert any("runs as a of cluster k" in line for line in told)


def test_a_hostile_memory_is_said_and_not_used(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    (config.etcd.data_dir / "eco").mkdir(parents=True)
    (config.etcd.data_dir / "eco" / "group.json").write_bytes(b'{"instances": [{"name": "a", "address": 7}]}')

    assert run(replace(config, provider=Told(Group((), desired=1), Unavailable("no route")))) == OK

    told = lines(capsys)
    assert any("group.json" in line for line in told)
    assert "The provider cannot be asked: no route. Trying again." in told


def test_the_group_is_remembered_for_the_next_start(config: Config, instance: Instance) -> None:
    run(config)

    assert address.recall(config.etcd.data_dir / "eco" / "group.json") == (instance,)


def test_a_second_agent_on_the_same_directory_tries_later(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    holder = EtcdDirectory(config.etcd.data_dir, "a")
    holder.open()

    assert run(config) == TRY_AGAIN

    (sentence,) = lines(capsys)
    assert f"another agent (process {os.getpid()})" in sentence
    holder.close()


def test_a_busy_port_is_tried_later(config: Config, instance: Instance, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.closing(socket.create_server((instance.address, instance.status_port))):
        assert run(config) == TRY_AGAIN

    assert str(instance.status_port) in lines(capsys)[-1]


def test_no_etcd_is_tried_later(config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(replace(config, etcd=replace(config.etcd, binary=tmp_path / "nothing"))) == TRY_AGAIN

    assert "nothing" in lines(capsys)[-1]


def test_flags_that_this_etcd_does_not_know_are_a_wrong_configuration(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = replace(config.etcd, extra_flags={"no-such-flag": "1", "nor-this": "2"})

    assert run(replace(config, etcd=wrong)) == WRONG_CONFIG

    told = lines(capsys)
    assert [line.split(":")[0] for line in told] == [
        "eco.etcd.extra-flags.no-such-flag",
        "eco.etcd.extra-flags.nor-this",
    ]


def test_what_the_configuration_warns_of_is_logged_first(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    run(replace(config, warnings=("this is odd",)))

    assert lines(capsys)[0] == "this is odd"


# ------------------------------------------------------------------ assembly


async def test_nothing_is_started_by_assembling(config: Config) -> None:
    world, data = assemble(config, lambda: None)

    assert (world.me, world.cluster, data.path) == ("a", "k", config.etcd.data_dir)
    assert not (data.path / "member").exists()
    assert not (data.path / "eco" / "stamp.json").exists()
    await world.api.close()
    data.close()


async def test_a_second_agent_is_refused_before_it_looks_at_what_runs(config: Config, tmp_path: Path) -> None:
    holder = EtcdDirectory(config.etcd.data_dir, "a")
    holder.open()
    security = TransportSecurity(cert_file=tmp_path / "nothing")

    with pytest.raises(Unavailable, match="another agent"):
        assemble(replace(config, etcd=replace(config.etcd, client_transport_security=security)), lambda: None)
    holder.close()


async def test_what_cannot_be_assembled_lets_the_directory_go(config: Config, tmp_path: Path) -> None:
    security = TransportSecurity(cert_file=tmp_path / "nothing")
    with pytest.raises(Unavailable, match="nothing cannot be read"):
        assemble(replace(config, etcd=replace(config.etcd, client_transport_security=security)), lambda: None)

    world, data = assemble(config, lambda: None)
    await world.api.close()
    data.close()


def test_etcd_listens_and_is_found_where_the_provider_lists_me(config: Config) -> None:
    told = settings(config, Instance("a", "10.0.0.1", 1, 2, 3))

    assert told.listen_client_urls == told.advertise_client_urls == ("http://10.0.0.1:1",)
    assert told.listen_peer_urls == told.advertise_peer_urls == ("http://10.0.0.1:2",)
    assert told.metrics_urls == ("http://10.0.0.1:2381",)
    assert (told.heartbeat_ms, told.election_ms) == (100, 1000)


def test_etcd_may_listen_elsewhere_than_it_is_found(config: Config) -> None:
    etcd = replace(config.etcd, advertise_address="etcd.example.org", metrics_port=0)

    told = settings(replace(config, listen_address="::", etcd=etcd), Instance("a", "fd00::1", 1, 2, 3))

    assert (told.listen_client_urls, told.listen_peer_urls) == (("http://[::]:1",), ("http://[::]:2",))
    assert told.advertise_client_urls == ("http://etcd.example.org:1",)
    assert told.advertise_peer_urls == ("http://[fd00::1]:2",)
    assert told.metrics_urls == ()


def test_tls_is_spoken_where_certificates_are_given_and_nowhere_else(config: Config, tmp_path: Path) -> None:
    files = {"cert_file": tmp_path / "c", "key_file": tmp_path / "k", "trusted_ca_file": tmp_path / "ca"}
    etcd = replace(
        config.etcd,
        client_transport_security=TransportSecurity(**files),  # type: ignore[arg-type]
        peer_transport_security=PeerTransportSecurity(**files, client_cert_auth=True),  # type: ignore[arg-type]
    )

    told = settings(replace(config, etcd=etcd), Instance("a", "10.0.0.1"))

    assert {url.split(":")[0] for url in (*told.listen_client_urls, *told.advertise_peer_urls)} == {"https"}
    assert told.metrics_urls[0].startswith("http:")
    assert (told.client.cert, told.client.client_cert_auth) == (str(tmp_path / "c"), False)
    assert (told.peer.trusted_ca, told.peer.client_cert_auth) == (str(tmp_path / "ca"), True)


def test_a_certificate_that_cannot_be_read_is_tried_later(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    security = TransportSecurity(cert_file=tmp_path / "c", key_file=tmp_path / "k")

    assert run(replace(config, etcd=replace(config.etcd, client_transport_security=security))) == TRY_AGAIN

    assert lines(capsys)[-1] == f"{tmp_path / 'c'} cannot be read: No such file or directory"


@pytest.mark.parametrize(("cluster", "flag"), [("my.cluster", "max-txn-ops"), ("k", "no-such-flag")])
async def test_a_configuration_that_is_wrong_touches_nothing(config: Config, cluster: str, flag: str) -> None:
    etcd = replace(config.etcd, extra_flags={flag: "1"})

    with pytest.raises(ConfigError):
        assemble(replace(config, cluster=cluster, etcd=etcd), lambda: None)

    assert not config.etcd.data_dir.exists()

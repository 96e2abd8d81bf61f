"""A right file gives a typed, built configuration; whatever else it is gives every problem at once."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eco.config import load
from eco.core.policy import Policy
from eco.errors import ConfigError
from tests.config.conftest import RIGHT

if TYPE_CHECKING:
    from tests.config.conftest import Desk


# ---------------------------------------------------------------- right


async def test_a_right_file_gives_typed_values_and_built_plugins(desk: Desk) -> None:
    config = desk.load(RIGHT)

    group = await config.provider.look()
    assert config.provider.me == "a"
    assert [instance.address for instance in group.instances] == ["127.0.77.1"]
    assert await config.store.list("") == ()
    assert config.path == desk.file
    assert config.cluster == "etcd"
    assert config.policy == Policy()
    assert config.etcd.data_dir == Path("/var/lib/etcd-of-a-test")
    assert (config.etcd.heartbeat_interval, config.etcd.election_timeout) == (0.1, 1.0)
    assert (config.check_interval, config.snapshot.interval, config.snapshot.ttl) == (15.0, 1800.0, 86400.0)
    assert config.etcd.client_transport_security.scheme == "http"


def test_loading_touches_nothing(desk: Desk) -> None:
    desk.load(RIGHT)

    assert [path.name for path in desk.directory.iterdir()] == ["eco.yaml"]
    assert not Path("/var/lib/etcd-of-a-test").exists()


def test_a_configuration_is_frozen(desk: Desk) -> None:
    config = desk.load(RIGHT)

    for value in (config, config.etcd, config.snapshot, config.log, config.etcd.peer_transport_security):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, next(iter(vars(value))), None)


def test_plugins_get_the_directory_of_the_file_whatever_the_working_directory(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    desk.file.write_text(RIGHT)

    assert load(os.path.relpath(desk.file)).path == desk.file


def test_a_file_that_is_a_link_keeps_the_directory_of_the_link(desk: Desk) -> None:
    (desk.directory / "..data").mkdir()
    (desk.directory / "..data" / "eco.yaml").write_text(RIGHT)
    desk.file.symlink_to("..data/eco.yaml")

    assert load(desk.file).path == desk.file


@pytest.mark.parametrize("key", ["check-interval", "listen-address", "cluster", "log"])
def test_a_key_without_value_means_the_default(desk: Desk, key: str) -> None:
    assert desk.load(desk.with_line(f"{key}:")).check_interval == 15.0


def test_the_policy_follows_the_file(desk: Desk) -> None:
    text = desk.with_line("unhealthy-member-ttl: 90s").replace("  etcd:\n", "  etcd:\n    election-timeout: 2s\n")

    policy = desk.load(text).policy

    assert policy.unhealthy_member_ttl == 90.0
    assert policy.leaderless == 20.0, "ten election timeouts"


def test_the_peer_side_takes_both_names_of_client_cert_auth(desk: Desk) -> None:
    ca, cert, key = (desk.file_of(name) for name in ("ca", "cert", "key"))
    files = f"trusted-ca-file: {ca}, cert-file: {cert}, key-file: {key}"

    for name in ("client-cert-auth", "peer-client-cert-auth"):
        line = f"peer-transport-security: {{{files}, {name}: true}}"
        peer = desk.load(desk.with_line(line, "etcd")).etcd.peer_transport_security
        assert peer.client_cert_auth
        assert peer.scheme == "https"


def test_extra_flags_and_variables_are_texts_for_etcd(desk: Desk) -> None:
    text = desk.with_line("extra-flags: {pre-vote: false, max-txn-ops: 256, auth-token: 'jwt,pub-key=/x'}", "etcd")

    etcd = desk.load(text.replace("extra-flags:", "env: {GOMAXPROCS: 2}\n    extra-flags:")).etcd

    assert etcd.extra_flags == {"pre-vote": "false", "max-txn-ops": "256", "auth-token": "jwt,pub-key=/x"}
    assert etcd.env == {"GOMAXPROCS": "2"}


# ---------------------------------------------------------------- warnings


def test_that_there_are_no_backups_yet_is_said(desk: Desk) -> None:
    (warning,) = desk.load(desk.with_line("interval: 5m", "snapshot")).warnings

    assert warning == (
        "this version of eco takes no backups: eco.snapshot.interval (5m) and eco.snapshot.ttl (24h)"
        " are kept for the backup schedule; until then, back up with etcdctl snapshot save"
    )


def test_what_is_allowed_and_may_surprise_is_a_warning(desk: Desk) -> None:
    text = desk.with_line("backend-quota: 16Gi", "etcd").replace(
        "data-dir", "extra-flags: {pre-vot: true}\n    data-dir"
    )

    assert [warning.split(" is ")[0] for warning in desk.load(text).warnings[1:]] == [
        "eco.etcd.backend-quota",
        "eco.etcd.extra-flags.pre-vot",
    ]


# ---------------------------------------------------------------- all at once


def test_every_problem_is_told_at_once_in_the_order_of_the_file(desk: Desk) -> None:
    nowhere = "cannot be read (No such file or directory); put the file there or correct the path"
    said = desk.problems(
        """\
eco:
  check-intervall: 15s
  unhealthy-member-ttl: 30
  etcd:
    data-dir: etcd
    client-transport-security: {client-cert-auth: yes, cert-file: /nowhere/server.crt}
    backend-quota: 2GB
    heartbeat-interval: 300ms
    backend-quota: 2Gi
  asg: {provider: static, name: b, instances: [{name: a, address: "http://x"}]}
  snapshot:
    interval: 30
    ttl: 1h
    provider: file
  log: {format: xml}
"""
    )

    assert said == [
        "eco.check-intervall: is not known; did you mean check-interval?",
        'eco.unhealthy-member-ttl: 30 — "30" has no unit; write 30m',
        "eco.etcd.election-timeout: 1s — is too short; write at least 1500ms, five times heartbeat-interval (300ms)",
        "eco.etcd.data-dir: etcd — is a relative path, and would depend on where eco is started; write it from / on",
        "eco.etcd.client-transport-security.client-cert-auth: yes — is not a truth value; write true, without quotes",
        "eco.etcd.client-transport-security.cert-file: /nowhere/server.crt — has no key; write key-file, too",
        f"eco.etcd.client-transport-security.cert-file: /nowhere/server.crt — {nowhere}",
        "eco.etcd.backend-quota: is given twice, in lines 7 and 9; keep one",
        "eco.etcd.backend-quota: 2GB — is not a size; write 2Gi",
        *[each for each in said if each.startswith("eco.asg.")],
        "eco.snapshot.dir: write a directory that every node mounts, such as /mnt/eco",
        'eco.snapshot.interval: 30 — "30" has no unit; write 30m',
        "eco.log.format: xml — write one of auto, json, text",
    ]


def test_the_plugins_own_problems_stand_under_their_paths(desk: Desk) -> None:
    text = RIGHT.replace("127.0.77.1", "http://x").replace("dir: store", "directory: store")

    assert [said.split(":")[0] for said in desk.problems(text)] == [
        "eco.asg.instances[0].address",
        "eco.snapshot.dir",
        "eco.snapshot.directory",
    ]


def test_a_contradiction_with_a_value_that_is_wrong_itself_is_not_told(desk: Desk) -> None:
    text = desk.with_line("heartbeat-interval: 400ms", "etcd").replace(
        "heartbeat", "election-timeout: 4\n    heartbeat"
    )

    assert desk.problems(text) == ['eco.etcd.election-timeout: 4 — "4" has no unit; write 4ms']


# ---------------------------------------------------------------- keys


def test_an_unknown_key_is_told_with_what_may_be_meant(desk: Desk) -> None:
    assert desk.problem("eco.etcd.datadir", "datadir: /x", "etcd") == "is not known; did you mean data-dir?"
    assert (
        desk.problem("eco.backend-quota", "backend-quota: 1")
        == "is not known here; it stands at eco.etcd.backend-quota"
    )
    assert desk.problem("eco.zzz", "zzz: {a: b}") == "is not known; remove it"
    assert desk.problem("eco.unhealthy_member_ttl", "unhealthy_member_ttl: 3m") == (
        "is not known; did you mean unhealthy-member-ttl?"
    )


def test_keys_that_the_original_dropped_are_explained(desk: Desk) -> None:
    assert desk.problem("eco.auto-disaster-recovery", "auto-disaster-recovery: true") == (
        "is a key of old versions of the original; remove it: eco decides by proof"
    )
    assert desk.problem("eco.unseen-instance-ttl", "unseen-instance-ttl: 1m") == (
        "is a key of old versions of the original; write unhealthy-member-ttl instead"
    )


def test_both_names_of_one_key_are_one_too_many(desk: Desk) -> None:
    line = "peer-transport-security: {client-cert-auth: false, peer-client-cert-auth: true}"

    assert desk.problem("eco.etcd.peer-transport-security.peer-client-cert-auth", line, "etcd") == (
        "true — is another name of client-cert-auth, which is given, too; keep one"
    )


def test_a_value_where_a_mapping_belongs_is_told(desk: Desk) -> None:
    assert desk.problems("eco: 3") == ["eco: 3 — is not a mapping; write its keys below it, indented", *MISSING]
    assert desk.problem("eco.log", "log: [a]") == "a list — is not a mapping; write its keys below it, indented"


MISSING = [
    "eco.asg.provider: is missing; write where the nodes find each other, such as static",
    "eco.snapshot.provider: is missing; write where eco keeps its records, such as file",
]


def test_what_must_be_given_is_asked_for(desk: Desk) -> None:
    assert desk.problems("eco:") == MISSING
    assert desk.problems("eco: {asg: , snapshot: {provider: ''}}") == MISSING


def test_an_unknown_plugin_is_told_with_those_there_are(desk: Desk) -> None:
    (said,) = desk.problems(RIGHT.replace("provider: static", "provider: statik"))

    assert said.startswith("eco.asg.provider: statik — ")
    assert "static" in said


# ---------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("line", "section", "key", "sentence"),
    [
        ("check-interval: 15", "", "eco.check-interval", '15 — "15" has no unit; write 15s'),
        ("check-interval: 1.5", "", "eco.check-interval", '1.5 — "1.5" has no unit; write 1.5s'),
        ("check-interval: 10ms", "", "eco.check-interval", "10ms — is too short; write at least 100ms"),
        ("check-interval: 2h", "", "eco.check-interval", "2h — is too long; write at most 1h"),
        ("check-interval: 0", "", "eco.check-interval", "0 — is too short; write at least 100ms"),
        (
            "check-interval: 15 sec",
            "",
            "eco.check-interval",
            "15 sec — is not a duration; write a number and a unit of ms, s, m, h or d, such as 90s",
        ),
        (
            "check-interval: -15s",
            "",
            "eco.check-interval",
            "-15s — is not a duration; write a number and a unit of ms, s, m, h or d, such as 90s",
        ),
        (
            "cluster: Prod",
            "",
            "eco.cluster",
            "Prod — write small letters, digits and dashes between them, 63 at most",
        ),
        (
            "cluster: my.cluster",
            "",
            "eco.cluster",
            "my.cluster — write small letters, digits and dashes between them, 63 at most",
        ),
        ("cluster: a-", "", "eco.cluster", "a- — write small letters, digits and dashes between them, 63 at most"),
        ('cluster: ""', "", "eco.cluster", '"" — write small letters, digits and dashes between them, 63 at most'),
        ("cluster: true", "", "eco.cluster", 'true — is not a text; write "true"'),
        ("cluster: [a]", "", "eco.cluster", "a list — is not a text; write one text"),
        (
            "listen-address: http://1.2.3.4",
            "",
            "eco.listen-address",
            "http://1.2.3.4 — write an IP address alone, such as 10.0.0.1, or 0.0.0.0 for all of them",
        ),
        (
            "listen-address: node.example",
            "",
            "eco.listen-address",
            "node.example — write an IP address alone, such as 10.0.0.1, or 0.0.0.0 for all of them",
        ),
        (
            "advertise-address: https://etcd:2379",
            "etcd",
            "eco.etcd.advertise-address",
            "https://etcd:2379 — write a host name or an IP address alone, without scheme, brackets or port",
        ),
        (
            "metrics-port: 02381",
            "etcd",
            "eco.etcd.metrics-port",
            "02381 — is not a whole number in decimal; write 2381",
        ),
        ("metrics-port: 70000", "etcd", "eco.etcd.metrics-port", "70000 — is out of range; write from 0 to 65535"),
        (
            "metrics-port: on",
            "etcd",
            "eco.etcd.metrics-port",
            "on — is not a whole number in decimal; write one from 0 to 65535",
        ),
        (
            "metrics-port: 2379",
            "etcd",
            "eco.etcd.metrics-port",
            "2379 — is this instance's client-port, too; write another, or 0 for none",
        ),
        ("backend-quota: 2 GB", "etcd", "eco.etcd.backend-quota", "2 GB — is not a size; write 2Gi"),
        (
            "backend-quota: much",
            "etcd",
            "eco.etcd.backend-quota",
            "much — is not a size; write plain bytes or a unit: 512Mi, 2Gi",
        ),
        (
            "backend-quota: 1.5",
            "etcd",
            "eco.etcd.backend-quota",
            "1.5 — is not a size; write plain bytes or a unit: 512Mi, 2Gi",
        ),
        (
            "max-request-bytes: 2Gi",
            "etcd",
            "eco.etcd.max-request-bytes",
            "2Gi — is out of range; write from 1 to 1073741824 bytes",
        ),
        (
            "log-level: warning",
            "etcd",
            "eco.etcd.log-level",
            "warning — write one of debug, info, warn, error, panic, fatal",
        ),
        (
            "auto-compaction-retention: 8",
            "etcd",
            "eco.etcd.auto-compaction-retention",
            '8 — "8" has no unit; write 8h, which is how etcd reads it',
        ),
        ("data-dir: /", "etcd", "eco.etcd.data-dir", "/ — is the whole file system; write a directory of etcd's own"),
        ("data-dir: ''", "etcd", "eco.etcd.data-dir", '"" — is empty; write an absolute path'),
        (
            "data-dir: /dev/null",
            "etcd",
            "eco.etcd.data-dir",
            "/dev/null — is not a directory; move the file away or correct the path",
        ),
        (
            "binary: /etc",
            "etcd",
            "eco.etcd.binary",
            "/etc — is not a program that can be run; correct the path, or leave it out to find etcd in PATH",
        ),
        (
            "extra-flags: [a]",
            "etcd",
            "eco.etcd.extra-flags",
            "a list — is not a mapping; write it like {max-txn-ops: 256}",
        ),
        (
            "extra-flags: {--pre-vote: 1}",
            "etcd",
            "eco.etcd.extra-flags.--pre-vote",
            "is not a name that can stand here; write it like {max-txn-ops: 256}",
        ),
        (
            "extra-flags: {pre-vote: [1]}",
            "etcd",
            "eco.etcd.extra-flags.pre-vote",
            "a list — is not a text; write one text",
        ),
        ("extra-flags: {data-dir: /x}", "etcd", "eco.etcd.extra-flags.data-dir", "write eco.etcd.data-dir"),
        (
            "extra-flags: {unsafe-no-fsync: true}",
            "etcd",
            "eco.etcd.extra-flags.unsafe-no-fsync",
            "leave it out: it loses acknowledged writes",
        ),
        (
            "extra-flags: {discovery-token: x}",
            "etcd",
            "eco.etcd.extra-flags.discovery-token",
            "leave it out: eco forms the cluster from what the provider lists",
        ),
        (
            "env: {ETCD_MAX_TXN_OPS: 1}",
            "etcd",
            "eco.etcd.env.ETCD_MAX_TXN_OPS",
            "is etcd's flag --max-txn-ops in disguise; write max-txn-ops under eco.etcd.extra-flags",
        ),
        (
            "extra-flags: {snapshot-count: abc}",
            "etcd",
            "eco.etcd.extra-flags.snapshot-count",
            "abc — is not a whole number; write one such as 256",
        ),
        (
            "extra-flags: {pre-vote: maybe}",
            "etcd",
            "eco.etcd.extra-flags.pre-vote",
            "maybe — is not a truth value; write true or false",
        ),
        (
            "extra-flags: {grpc-keepalive-timeout: 20}",
            "etcd",
            "eco.etcd.extra-flags.grpc-keepalive-timeout",
            "20 — is not a duration that etcd reads; write a number and a unit of ms, s, m or h, such as 90s",
        ),
        (
            "env: {ETCD_NAME: a}",
            "etcd",
            "eco.etcd.env.ETCD_NAME",
            "is etcd's flag --name in disguise; leave it out: it is the instance's name",
        ),
        ("interval: 30", "snapshot", "eco.snapshot.interval", '30 — "30" has no unit; write 30m'),
        ("ttl: 24", "snapshot", "eco.snapshot.ttl", '24 — "24" has no unit; write 24h'),
    ],
)
def test_a_wrong_value_is_told_with_what_to_write(desk: Desk, line: str, section: str, key: str, sentence: str) -> None:
    text = desk.with_line(line, section)
    if line.startswith("data-dir"):
        text = text.replace("    data-dir: /var/lib/etcd-of-a-test\n", "")
    (said,) = desk.problems(text)

    assert said == f"{key}: {sentence}"


@pytest.mark.parametrize(
    ("line", "seconds"),
    [("1500ms", 1.5), ("1.5s", 1.5), ("1h", 3600.0), ("1m30s", 90.0), ("0.5h", 1800.0), ("100ms", 0.1), ("0.1s", 0.1)],
)
def test_durations_are_read_into_seconds(desk: Desk, line: str, seconds: float) -> None:
    assert desk.load(desk.with_line(f"check-interval: {line}\n  unhealthy-member-ttl: 2h")).check_interval == seconds


def test_zero_needs_no_unit_where_it_means_never(desk: Desk) -> None:
    snapshot = desk.load(desk.with_line("interval: 0\n    ttl: 0", "snapshot")).snapshot

    assert (snapshot.interval, snapshot.ttl) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("line", "size"),
    [("2147483648", 1 << 31), ("2Gi", 1 << 31), ("1.5Gi", 3 << 29), ("512Mi", 1 << 29), ("'64Ki'", 1 << 16), ("0", 0)],
)
def test_sizes_are_read_into_bytes(desk: Desk, line: str, size: int) -> None:
    assert desk.load(desk.with_line(f"backend-quota: {line}", "etcd")).etcd.backend_quota == size


@pytest.mark.parametrize(
    ("mode", "written", "for_etcd"),
    [
        ("periodic", "8h", "8h"),
        ("periodic", "1d", "24h"),
        ("periodic", "90m", "90m"),
        ("revision", "1000", "1000"),
        ("revision", "0", "0"),
    ],
)
def test_compaction_is_handed_to_etcd_in_its_own_form(desk: Desk, mode: str, written: str, for_etcd: str) -> None:
    line = f"auto-compaction-mode: {mode}\n    auto-compaction-retention: {written}"

    assert desk.load(desk.with_line(line, "etcd")).etcd.auto_compaction_retention == for_etcd


# ---------------------------------------------------------------- contradictions


def test_times_that_contradict_each_other(desk: Desk) -> None:
    assert desk.problem("eco.etcd.election-timeout", "election-timeout: 400ms", "etcd") == (
        "400ms — is too short; write at least 500ms, five times heartbeat-interval (100ms)"
    )
    assert desk.problem("eco.unhealthy-member-ttl", "unhealthy-member-ttl: 10s") == (
        "10s — is shorter than check-interval (15s); write several times that, such as 3m"
    )
    assert desk.problem("eco.snapshot.ttl", "ttl: 10m", "snapshot") == (
        "10m — would delete each backup before the next; write at least interval (30m)"
    )


def test_an_election_timeout_of_exactly_five_heartbeats_is_fine(desk: Desk) -> None:
    etcd = desk.load(desk.with_line("heartbeat-interval: 70ms\n    election-timeout: 350ms", "etcd")).etcd

    assert etcd.election_timeout == 0.35


def test_a_retention_that_does_not_fit_its_mode(desk: Desk) -> None:
    line = "auto-compaction-mode: revision\n    auto-compaction-retention: 8h"

    assert desk.problem("eco.etcd.auto-compaction-retention", line, "etcd") == (
        "8h — is a time, but auto-compaction-mode is revision; write a number of revisions"
    )


@pytest.mark.parametrize("side", ["client-transport-security", "peer-transport-security"])
def test_tls_that_cannot_work(desk: Desk, side: str) -> None:
    ca, cert, key = (desk.file_of(name) for name in ("ca", "cert", "key"))
    at = f"eco.etcd.{side}"

    def said(keys: str) -> list[str]:
        return desk.problems(desk.with_line(f"{side}: {{{keys}}}", "etcd"))

    assert said(f"cert-file: {cert}") == [f"{at}.cert-file: {cert} — has no key; write key-file, too"]
    assert said(f"key-file: {key}") == [f"{at}.key-file: {key} — has no certificate; write cert-file, too"]
    needs = "needs the authority that signs the others' certificates; write trusted-ca-file, too"
    assert said(f"cert-file: {cert}, key-file: {key}, client-cert-auth: true") == [
        f"{at}.client-cert-auth: true — {needs}"
    ]
    assert said(f"trusted-ca-file: {ca}") == [
        f"{at}.trusted-ca-file: {ca} — has no effect without a certificate; write cert-file and key-file, too"
    ]
    assert said(f"cert-file: {cert}, key-file: {desk.directory}") == [
        f"{at}.key-file: {desk.directory} — is not a file; write the path of a PEM file"
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_key_that_eco_may_not_read_is_told(desk: Desk) -> None:
    cert, key = desk.file_of("cert"), desk.file_of("key")
    key.chmod(0)

    said = desk.problems(desk.with_line(f"client-transport-security: {{cert-file: {cert}, key-file: {key}}}", "etcd"))

    assert said == [
        f"eco.etcd.client-transport-security.key-file: {key} — cannot be read; let the user that eco runs as read it"
    ]


def test_records_inside_one_nodes_data_directory_are_refused(desk: Desk) -> None:
    text = RIGHT.replace("dir: store", "dir: /var/lib/etcd-of-a-test/store")

    (said,) = desk.problems(text)

    assert said == (
        "eco.snapshot.dir: /var/lib/etcd-of-a-test/store — lies inside the data directory, which is this node's alone;"
        " write a directory that every node mounts"
    )


def test_an_address_that_is_a_name_needs_an_address_to_listen_on(desk: Desk) -> None:
    text = RIGHT.replace("127.0.77.1", "a.example")

    (said,) = desk.problems(text)

    assert said == (
        "eco.listen-address: is empty, so that etcd would listen on a.example, but it listens on IP addresses alone;"
        " write 0.0.0.0"
    )
    assert desk.load(text.replace("  etcd:", "  listen-address: 0.0.0.0\n  etcd:")).listen_address == "0.0.0.0"  # noqa: S104


# ---------------------------------------------------------------- features to come


@pytest.mark.parametrize("line", ["auto-tls: false", "auto-tls:"])
@pytest.mark.parametrize("side", ["client-transport-security", "peer-transport-security"])
def test_what_is_not_built_yet_is_accepted_while_it_is_off(desk: Desk, side: str, line: str) -> None:
    assert not desk.load(desk.with_line(f"{side}:\n      {line}", "etcd")).etcd.client_transport_security.auto_tls


@pytest.mark.parametrize("value", ["", "{}", "{roles: [], users: [], rootPassword: }", "[]"])
@pytest.mark.parametrize("key", ["init-acl", "jwt-auth-token-config"])
def test_empty_sections_of_what_is_not_built_yet_are_accepted(desk: Desk, key: str, value: str) -> None:
    assert desk.load(desk.with_line(f"{key}: {value}", "etcd"))


@pytest.mark.parametrize(
    ("line", "key", "sentence"),
    [
        (
            "peer-transport-security: {auto-tls: true}",
            "eco.etcd.peer-transport-security.auto-tls",
            "true — this version of eco makes no certificates yet; write false and give cert-file and key-file",
        ),
        (
            "init-acl: {rootPassword: secret}",
            "eco.etcd.init-acl",
            "a mapping — this version of eco sets up no users and roles yet; leave it out, and use etcdctl",
        ),
        (
            "jwt-auth-token-config: {sign-method: RS512}",
            "eco.etcd.jwt-auth-token-config",
            "a mapping — this version of eco sets up no JWT yet; leave it out, and write auth-token under extra-flags",
        ),
    ],
)
def test_what_is_not_built_yet_is_refused_and_never_ignored(desk: Desk, line: str, key: str, sentence: str) -> None:
    assert desk.problem(key, line, "etcd") == sentence


# ---------------------------------------------------------------- the file itself


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"", "is empty; begin with eco: and see config.example.yaml"),
        (b"# nothing\n", "is empty; begin with eco: and see config.example.yaml"),
        (b"etcd\n", "is not a mapping; begin with eco: and indent every key below it"),
        (b"check-interval: 15s\n", "has no eco: at its beginning; put it there and indent every key below it"),
        (b"eco:\n  cluster: \xff\n", "is not UTF-8 in line 2; save it as UTF-8"),
        ("eco:\n".encode("utf-16"), "is not UTF-8 in line 1; save it as UTF-8"),
        (b"#" * ((1 << 20) + 1), "has more than 1048576 bytes: this is no configuration"),
    ],
)
def test_a_file_that_is_no_configuration_is_told(desk: Desk, content: bytes, hint: str) -> None:
    desk.file.write_bytes(content)

    with pytest.raises(ConfigError) as raised:
        load(desk.file)

    assert str(raised.value) == f"{desk.file}: {hint}"


def test_a_byte_order_mark_is_fine(desk: Desk) -> None:
    desk.file.write_bytes(b"\xef\xbb\xbf" + RIGHT.encode())

    assert load(desk.file).cluster == "etcd"


def test_what_is_not_a_file_is_told_and_never_waited_for(desk: Desk) -> None:
    os.mkfifo(desk.file)

    for path, hint in (
        (desk.directory / "none.yaml", "cannot be read: No such file or directory"),
        (desk.directory, "is a directory or a device; name a file"),
        (desk.file, "is a directory or a device; name a file"),
        (Path("/dev/zero"), "is a directory or a device; name a file"),
    ):
        with pytest.raises(ConfigError) as raised:
            load(path)
        assert str(raised.value) == f"{path}: {hint}"


def test_a_path_that_cannot_exist_is_told() -> None:
    with pytest.raises(ConfigError, match="is no path that can exist"):
        load("eco\0.yaml")


def test_syntax_is_told_with_the_place_in_the_file(desk: Desk) -> None:
    (said,) = desk.problems("eco:\n\tcluster: a\n")

    assert said.startswith(f"{desk.file}:2:1: is not YAML: ")


# ---------------------------------------------------------------- start-up


def test_what_the_way_to_etcd_need_not_import_is_not_imported() -> None:
    modules = "('pydantic', 'typer', 'rich', 'grpc', 'eco.config.importing', 'eco.config.schema')"
    script = f"import sys, eco.config; print(*[name for name in {modules} if name in sys.modules])"

    assert subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout == "\n"

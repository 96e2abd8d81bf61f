from __future__ import annotations

import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from eco.config.etcd_flags import PASSED, misread
from eco.errors import ConfigError, Unavailable
from eco.etcd.flags import NEWEST, OLDEST, TABLE, EtcdSettings, FirstStart, Transport, argv, check, environment, knows
from eco.etcd.install import Binaries, Version, cache, find

SETTINGS = EtcdSettings(
    name="a",
    data_dir=Path("/var/lib/etcd"),
    listen_client_urls=("http://127.0.0.1:2379",),
    advertise_client_urls=("http://127.0.0.1:2379",),
    listen_peer_urls=("http://127.0.0.1:2380",),
    advertise_peer_urls=("http://127.0.0.1:2380",),
    metrics_urls=("http://127.0.0.1:2381",),
)
EVERYTHING = replace(
    SETTINGS,
    heartbeat_ms=50,
    election_ms=500,
    quota_bytes=8 << 30,
    compaction_mode="periodic",
    compaction_retention="5m",
    max_request_bytes=1 << 20,
    log_level="warn",
    client=Transport("/c.crt", "/c.key", "/ca.crt", client_cert_auth=True, auto=True),
    peer=Transport("/p.crt", "/p.key", "/ca.crt", client_cert_auth=True, auto=True),
)
FOUNDING = FirstStart((("a", "http://127.0.0.1:2380"), ("b", "http://127.0.0.2:2380")), "token", "new")


def of(version: str) -> Binaries:
    return Binaries(Path("/bin/etcd"), None, None, Version.parse(version))


def installed() -> list[Path]:
    """Every etcd of this machine that eco would run: the default one and all in eco's cache."""
    found = set(cache().glob("3.*/etcd"))
    with suppress(Unavailable):
        found.add(find(None).etcd)
    return sorted(found)


def flags(words: tuple[str, ...]) -> dict[str, str]:
    return dict(word.removeprefix("--").split("=", 1) for word in words[1:])


def test_a_plain_start_says_who_and_where_and_keeps_etcd_strict() -> None:
    given = argv(of("3.6.14"), SETTINGS)

    assert given[0] == "/bin/etcd"
    assert flags(given) == {
        "name": "a",
        "data-dir": "/var/lib/etcd",
        "listen-client-urls": "http://127.0.0.1:2379",
        "advertise-client-urls": "http://127.0.0.1:2379",
        "listen-peer-urls": "http://127.0.0.1:2380",
        "initial-advertise-peer-urls": "http://127.0.0.1:2380",
        "listen-metrics-urls": "http://127.0.0.1:2381",
        "pre-vote": "true",
        "strict-reconfig-check": "true",
        "logger": "zap",
        "log-outputs": "stderr",
    }


def test_only_a_first_start_names_a_cluster() -> None:
    first, later = flags(argv(of("3.6.14"), SETTINGS, FOUNDING)), flags(argv(of("3.6.14"), SETTINGS))

    assert first["initial-cluster"] == "a=http://127.0.0.1:2380,b=http://127.0.0.2:2380"
    assert (first["initial-cluster-token"], first["initial-cluster-state"]) == ("token", "new")
    assert not {"initial-cluster", "initial-cluster-token", "initial-cluster-state"} & later.keys()


def test_further_flags_reach_etcd_and_may_change_a_default() -> None:
    extra = (("max-txn-ops", "256"), ("pre-vote", "false"))

    given = flags(argv(of("3.6.14"), replace(SETTINGS, extra=extra)))

    assert (given["max-txn-ops"], given["pre-vote"]) == ("256", "false")


@pytest.mark.parametrize(
    ("name", "value", "version", "hint"),
    [
        ("data-dir", "/x", "3.6.14", "write eco.etcd.data-dir"),
        ("force-new-cluster", "true", "3.6.14", "throws the other members away"),
        ("strict-reconfig-check", "false", "3.6.14", "eco needs it to be true"),
        ("log-outputs", "/var/log/etcd.log", "3.6.14", "eco needs it to be stderr"),
        ("enable-log-rotation", "true", "3.6.14", "eco needs it to be false"),
        ("corrupt-check-time", "1h", "3.5.33", "it is called experimental-corrupt-check-time there"),
        ("experimental-corrupt-check-time", "1h", "3.7.1", "it is called corrupt-check-time there"),
        ("max-learners", "2", "3.5.33", "etcd 3.5 has no such flag"),
        ("enable-v2", "true", "3.6.14", "etcd 3.6 has no such flag"),
        ("no-such-thing", "1", "3.6.14", "etcd 3.6 has no such flag"),
    ],
)
def test_a_flag_that_cannot_be_handed_on_is_named_with_a_cure(name: str, value: str, version: str, hint: str) -> None:
    settings = replace(SETTINGS, extra=((name, value),))

    with pytest.raises(ConfigError) as refused:
        argv(of(version), settings)

    (problem,) = refused.value.problems
    assert problem.path == name
    assert hint in problem.hint


def test_every_wrong_flag_is_named_at_once() -> None:
    extra = (("name", "b"), ("metrics", "extensive"), ("nonsense", "1"))

    assert [problem.path for problem in check(extra, Version(3, 6, 14))] == ["name", "nonsense"]


def test_a_flag_that_says_what_eco_says_anyway_is_fine() -> None:
    extra = (("logger", "zap"), ("log-outputs", "stderr"), ("strict-reconfig-check", "true"), ("log-format", "json"))

    assert check(extra, Version(3, 6, 14)) == ()


def test_etcds_environment_holds_nothing_that_configures_it() -> None:
    parent = {
        "PATH": "/bin",
        "GOMEMLIMIT": "1GiB",
        "ETCD_NAME": "stranger",
        "ETCD_PORT": "tcp://10.0.0.1:2379",
        "ETCD_UNSUPPORTED_ARCH": "arm",
        "NOTIFY_SOCKET": "/run/systemd/notify",
    }

    assert environment(parent) == {"PATH": "/bin", "GOMEMLIMIT": "1GiB", "ETCD_UNSUPPORTED_ARCH": "arm"}


@pytest.mark.parametrize("etcd", installed(), ids=lambda path: path.parent.name)
def test_the_binary_accepts_every_flag_we_give_it(etcd: Path) -> None:
    binaries = find(str(etcd))

    parsed = subprocess.run(
        [*argv(binaries, EVERYTHING, FOUNDING), "--version"], capture_output=True, text=True, check=False
    )

    assert (parsed.returncode, parsed.stderr) == (0, "")


@pytest.mark.parametrize("etcd", installed(), ids=lambda path: path.parent.name)
def test_the_table_says_of_each_flag_what_the_binary_says(etcd: Path) -> None:
    version = find(str(etcd)).version

    changing = [flag for flag, era in TABLE.items() if era != (OLDEST, NEWEST)]
    wrong = [flag for flag in changing if knows(version, flag) != accepts(etcd, flag)]

    assert wrong == []


def accepts(etcd: Path, flag: str) -> bool:
    """etcd parses its whole command line before `--version` answers; an empty value may be refused, but as a value."""
    told = subprocess.run([etcd, f"--{flag}=", "--version"], capture_output=True, text=True, check=False)
    return "flag provided but not defined" not in told.stderr + told.stdout


@pytest.mark.parametrize("etcd", installed(), ids=lambda path: path.parent.name)
def test_what_is_called_misread_etcd_does_not_read(etcd: Path) -> None:
    kinds = ("pre-vote", "max-txn-ops", "grpc-keepalive-timeout")
    values = ("", "abc", "true", "0", "7", "90s", "1.5")

    wrong = [(f, v) for f in kinds for v in values if bool(misread(f, v)) == reads(etcd, f"--{f}={v}")]

    assert wrong == []


@pytest.mark.parametrize("etcd", installed(), ids=lambda path: path.parent.name)
def test_each_flag_whose_value_is_checked_is_of_its_kind_for_etcd(etcd: Path) -> None:
    version = find(str(etcd)).version
    checked = [flag for flag in sorted(PASSED) if knows(version, flag) and misread(flag, "abc")]
    fitting = {flag: next(v for v in ("7", "true", "90s") if not misread(flag, v)) for flag in checked}

    assert len(checked) > 20
    assert reads(etcd, *(f"--{flag}={value}" for flag, value in fitting.items()))


def reads(etcd: Path, *words: str) -> bool:
    told = subprocess.run([etcd, *words, "--version"], capture_output=True, text=True, check=False)
    return "invalid" not in told.stderr + told.stdout

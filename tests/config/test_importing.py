"""`eco import` carries over what an etcd was told, says what it leaves out, and refuses what it cannot carry on."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from eco.config import etcd_flags, load
from eco.config.importing import importing
from eco.core.model import Instance
from eco.errors import ConfigError
from tests.support import wait_until_sync

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eco.config import Config
    from eco.etcd.install import Binaries
    from tests.config.conftest import Desk
    from tests.support import Addresses


def adopted(desk: Desk, source: str | Path | Sequence[str]) -> Config:
    """The configuration that comes out, loaded."""
    return desk.load(importing(source))


async def listed(config: Config) -> tuple[Instance, ...]:
    return (await config.provider.look()).instances


def comments(source: str | Path | Sequence[str]) -> list[str]:
    """What is said beside the configuration."""
    return [line.removeprefix("# - ") for line in importing(source).splitlines() if line.startswith("# - ")]


def refusal(source: str | Path | Sequence[str]) -> str:
    with pytest.raises(ConfigError) as raised:
        importing(source)
    return str(raised.value)


LINE = [
    "/usr/bin/etcd", "--name", "a", "-data-dir=/var/lib/etcd-of-a-test",
    "--initial-advertise-peer-urls", "http://10.9.0.1:2380", "--listen-peer-urls=http://10.9.0.1:2380",
    "--advertise-client-urls=http://10.9.0.1:2379", "--listen-client-urls=http://10.9.0.1:2379",
    "--initial-cluster=a=http://10.9.0.1:2380,b=http://10.9.0.2:2380,c=http://10.9.0.3:2390",
]  # fmt: skip


# ---------------------------------------------------------------- what becomes of it


async def test_a_command_line_becomes_a_member_with_its_peers(desk: Desk) -> None:
    config = adopted(desk, LINE)

    assert config.provider.me == "a"
    assert await listed(config) == (
        Instance("a", "10.9.0.1"),
        Instance("b", "10.9.0.2"),
        Instance("c", "10.9.0.3", peer_port=2390),
    )
    assert config.etcd.data_dir == Path("/var/lib/etcd-of-a-test")
    assert config.listen_address == ""


def test_a_list_a_shells_text_and_a_running_process_say_the_same(desk: Desk) -> None:
    cmdline = desk.directory / "cmdline"
    cmdline.write_bytes(b"\0".join(word.encode() for word in LINE) + b"\0")
    script = desk.directory / "start.sh"
    script.write_text("#!/bin/sh\nexec " + " \\\n  ".join(map(shlex.quote, LINE)) + "\n")

    texts = [importing(LINE), importing(shlex.join(LINE)), importing(cmdline), importing(script)]

    assert len({text.partition("\n")[2] for text in texts}) == 1


def test_values_with_a_key_of_ours_get_it(desk: Desk) -> None:
    flags = [
        "--quota-backend-bytes=8589934592", "--auto-compaction-mode=periodic", "--auto-compaction-retention=8",
        "--max-request-bytes=2000000", "--heartbeat-interval=200", "--election-timeout", "2000", "--log-level=warn",
        "--listen-metrics-urls=http://10.9.0.1:9999",
    ]  # fmt: skip
    etcd = adopted(desk, [*LINE, *flags]).etcd

    assert etcd.backend_quota == 8 << 30
    assert (etcd.auto_compaction_mode, etcd.auto_compaction_retention) == ("periodic", "8h")
    assert etcd.max_request_bytes == 2000000
    assert (etcd.heartbeat_interval, etcd.election_timeout) == (0.2, 2.0)
    assert etcd.log_level == "warn"
    assert etcd.metrics_port == 9999


def test_other_flags_are_handed_on(desk: Desk) -> None:
    flags = [
        "--pre-vote=false",
        "--max-txn-ops",
        "512",
        "--enable-pprof",
        "--auth-token=jwt,sign-method=RS256",
        "--cors=",
    ]

    assert adopted(desk, [*LINE, *flags]).etcd.extra_flags == {
        "pre-vote": "false",
        "max-txn-ops": "512",
        "enable-pprof": "true",
        "auth-token": "jwt,sign-method=RS256",
        "cors": "",
    }


def test_variables_of_the_runtime_are_kept_and_others_named(desk: Desk) -> None:
    source = "GOMAXPROCS=2 GOGC=$(nproc) HOME=/root etcd --data-dir=/d"

    assert adopted(desk, source).etcd.env == {"GOMAXPROCS": "2"}
    assert "HOME: no variable that etcd reads" in comments(source)
    assert "GOGC: no variable that etcd reads" in comments(source)


def test_everything_left_out_is_named_with_its_reason() -> None:
    flags = [
        "--initial-cluster-state=existing", "--initial-cluster-token", "tok", "--force-new-cluster",
        "--unsafe-no-fsync", "--log-outputs=/var/log/etcd.log", "--strict-reconfig-check=false",
        "--discovery=https://x/y", "--frobnicate=1",
    ]  # fmt: skip

    said = comments([*LINE, *flags])

    first = "only counts at a member's first start, which eco knows from the data directory"
    assert said[-8:] == [
        f"--initial-cluster-state=existing: {first}",
        "--initial-cluster-token tok: only counts at birth; the adopted data keeps its cluster id",
        "--force-new-cluster: it throws the other members away at every start",
        "--unsafe-no-fsync: it loses acknowledged writes",
        "--log-outputs=/var/log/etcd.log: eco reads what etcd logs, and hands it on",
        "--strict-reconfig-check=false: eco relies on it",
        "discovery: only counts at birth",
        "--frobnicate=1: no flag of etcd 3.4 to 3.7 that a member needs",
    ]


def test_what_the_operator_must_decide_is_asked() -> None:
    said = comments(LINE)

    assert said[0].startswith("eco.snapshot.dir: /mnt/eco stands for a directory that every node mounts")
    assert any(line.startswith("eco.asg.instances: compare them with etcdctl member list") for line in said)
    assert said[-1].startswith("Change over one node at a time")


def test_no_value_can_leave_its_comment() -> None:
    text = importing("ETCD_DATA_DIR=/d\nETCD_INITIAL_CLUSTER_TOKEN=x: {y} # z\n")

    assert "# - ETCD_INITIAL_CLUSTER_TOKEN=x: {y} # z: only counts" in text
    assert refusal(["etcd", "--data-dir=/d", "--initial-cluster-token=x\neco:"]).endswith(
        "holds a character that cannot be printed"
    )


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("peer", "client", "listen"),
    [
        ("http://0.0.0.0:2380", "http://0.0.0.0:2379", "0.0.0.0"),  # noqa: S104
        ("http://[::]:2380", "http://[::]:2379", "::"),
        ("http://192.168.0.1:2380", "http://192.168.0.1:2379", "192.168.0.1"),
        ("http://10.9.0.1:2380", "http://10.9.0.1:2379,http://127.0.0.1:2379", "0.0.0.0"),  # noqa: S104
        ("http://10.9.0.1:2380", "http://10.9.0.1:2379,unix:///run/etcd.sock", ""),
    ],
)
def test_where_it_listened_is_where_it_listens(desk: Desk, peer: str, client: str, listen: str) -> None:
    line = [*LINE, f"--listen-peer-urls={peer}", f"--listen-client-urls={client}"]

    assert adopted(desk, line).listen_address == listen


def test_listening_more_widely_than_before_is_said() -> None:
    said = comments([*LINE, "--listen-client-urls=http://10.9.0.1:2379,http://127.0.0.1:2379"])

    assert "eco.listen-address: etcd listened on 10.9.0.1, 127.0.0.1; eco listens on one IP address or on all." in said


@pytest.mark.parametrize("told", ["", "--listen-peer-urls=http://0.0.0.0:2380"])
def test_an_address_that_is_a_name_is_not_listened_on(desk: Desk, told: str) -> None:
    line = f"etcd --name a --data-dir /d --initial-advertise-peer-urls http://a.example:2380 {told}"

    assert adopted(desk, line).listen_address == "0.0.0.0"  # noqa: S104


def test_an_etcd_that_listens_on_localhost_goes_on_doing_so(desk: Desk) -> None:
    urls = "--listen-peer-urls=http://localhost:2380 --listen-client-urls=http://localhost:2379"

    assert adopted(desk, f"etcd --data-dir /d {urls}").listen_address == ""
    assert adopted(desk, [*LINE, *urls.split()]).listen_address == "127.0.0.1"


async def test_a_client_address_of_its_own_is_advertised_and_its_port_assumed_for_all(desk: Desk) -> None:
    line = [*LINE, "--advertise-client-urls=http://etcd.example:4001", "--listen-client-urls=http://10.9.0.1:2379"]
    config = adopted(desk, line)

    assert config.etcd.advertise_address == "etcd.example"
    assert {each.client_port for each in await listed(config)} == {4001}
    assert "eco.asg.instances: client-port 4001 is this member's; the others' is assumed to be the same." in comments(
        line
    )
    assert any("eco listens on the port that it tells others, 4001" in said for said in comments(line))


async def test_an_etcd_that_was_told_nothing_is_default_on_localhost(desk: Desk) -> None:
    config = adopted(desk, ["etcd", "--data-dir=/d"])

    (mine,) = await listed(config)
    assert (mine.name, mine.address) == ("default", "localhost")
    assert "eco.asg.instances: give this machine an address that others reach before there are others." in comments(
        ["etcd", "--data-dir=/d"]
    )


async def test_ipv6_addresses_lose_their_brackets(desk: Desk) -> None:
    url = "http://[fd00::1]:2380"
    source = f"etcd --name a --data-dir /d --initial-advertise-peer-urls {url} --initial-cluster a={url}"

    assert [each.address for each in await listed(adopted(desk, source))] == ["fd00::1"]


# ---------------------------------------------------------------- environment, precedence


ENVIRONMENT = """\
# Debian's /etc/default/etcd, filled in
ETCD_NAME="a"
ETCD_DATA_DIR='/var/lib/etcd/a'
export ETCD_HEARTBEAT_INTERVAL=200
ETCD_ELECTION_TIMEOUT=2000
ETCD_ADVERTISE_CLIENT_URLS=
DAEMON_ARGS="--name b --max-txn-ops=7"
"""


def test_a_flag_goes_before_its_variable(desk: Desk) -> None:
    config = adopted(desk, ENVIRONMENT)

    assert config.provider.me == "b"
    assert config.etcd.data_dir == Path("/var/lib/etcd/a")
    assert config.etcd.heartbeat_interval == 0.2
    assert config.etcd.extra_flags == {"max-txn-ops": "7"}
    assert "ETCD_NAME=a: --name b goes before it" in comments(ENVIRONMENT)


OWN_FILE = """\
name: a
data-dir: /var/lib/etcd/a
heartbeat-interval: 200
election-timeout: 2000
initial-cluster: a=http://10.9.0.1:2380
initial-advertise-peer-urls: http://10.9.0.1:2380
listen-peer-urls: http://10.9.0.1:2380
log-outputs: [stderr]
cipher-suites: [A, B]
client-transport-security:
  client-cert-auth: false
  auto-tls: false
peer-transport-security:
  allowed-cn: x
discovery-config: {a: b}
durl:
"""


def test_etcds_own_file_is_read(desk: Desk) -> None:
    config = adopted(desk, OWN_FILE)

    assert config.provider.me == "a"
    assert config.etcd.heartbeat_interval == 0.2
    assert config.etcd.extra_flags == {"cipher-suites": "A,B", "peer-cert-allowed-cn": "x"}
    assert "discovery-config: a mapping that has no flag" in comments(OWN_FILE)


@pytest.mark.parametrize("named", ["--config-file={}", "ETCD_CONFIG_FILE={}"])
def test_etcds_own_file_makes_it_ignore_everything_else(desk: Desk, named: str) -> None:
    file = desk.directory / "etcd.conf.yml"
    file.write_text(OWN_FILE)
    words = named.format(file)
    source = f"ETCD_NAME=e etcd --name b {words}" if words.startswith("-") else f"ETCD_NAME=e {words} etcd --name b"

    assert adopted(desk, source).provider.me == "a"
    assert [line for line in comments(source) if "ignores" in line] == [
        f"--name b: etcd ignores it beside {file}",
        f"ETCD_NAME=e: etcd ignores it beside {file}",
    ]


# ---------------------------------------------------------------- systemd


UNIT = """\
[Unit]
Description=etcd - highly-available key value store

[Service]
Environment=DAEMON_ARGS=
Environment=ETCD_NAME=%H "ETCD_DATA_DIR=/var/lib/etcd/default"
EnvironmentFile=-{directory}/%p
Type=notify
#ExecStart=/bin/sh -c "GOMAXPROCS=$(nproc) /usr/bin/etcd $DAEMON_ARGS"
ExecStart=/usr/bin/etcd \\
  $DAEMON_ARGS

[Install]
WantedBy=multi-user.target
"""


def unit(desk: Desk) -> Path:
    """Debian's unit."""
    path = desk.directory / "etcd.service"
    path.write_text(UNIT.format(directory=desk.directory))
    return path


def test_debians_unit_as_it_is_installed(desk: Desk) -> None:
    config = adopted(desk, unit(desk))

    assert config.provider.me == socket.gethostname()
    assert config.etcd.data_dir == Path("/var/lib/etcd/default")
    assert f"EnvironmentFile=-{desk.directory}/etcd: the file is not there" in comments(unit(desk))


def test_a_unit_reads_its_environment_file_after_its_own_lines(desk: Desk) -> None:
    (desk.directory / "etcd").write_text("ETCD_NAME=from-file\nDAEMON_ARGS=--max-txn-ops 5 --pre-vote=false\nOTHER=1\n")

    config = adopted(desk, unit(desk))

    assert config.provider.me == "from-file"
    assert config.etcd.extra_flags == {"max-txn-ops": "5", "pre-vote": "false"}


def test_a_unit_that_goes_through_a_shell(desk: Desk) -> None:
    start = r'ExecStart=-/bin/bash -c "GOMAXPROCS=3 /usr/bin/etcd --name=\"${N}\" --data-dir=/d/$N"'

    config = adopted(desk, f"[Service]\nEnvironment=N=a\n{start}\n")

    assert (config.provider.me, config.etcd.data_dir) == ("a", Path("/d/a"))
    assert config.etcd.env == {"GOMAXPROCS": "3"}


def test_later_parts_of_what_systemctl_cat_prints_replace_earlier_ones(desk: Desk) -> None:
    text = "# /lib/etcd.service\n[Service]\nExecStart=/usr/bin/etcd --data-dir=/a\n"
    override = "# /etc/override.conf\n[Service]\nExecStart=\nExecStart=/usr/bin/etcd --data-dir=/b\n"

    assert adopted(desk, text + override).etcd.data_dir == Path("/b")


# ---------------------------------------------------------------- Kubernetes


def test_a_pod_of_a_cluster_of_three_is_read_whole(tmp_path: Path) -> None:
    members = ",".join(f"cp{n}=https://192.168.56.1{n}:2380" for n in (1, 2, 3))
    manifest = tmp_path / "etcd.yaml"
    manifest.write_text(
        "kind: Pod\nspec:\n  containers:\n  - name: etcd\n    command:\n    - etcd\n    - --name=cp1\n"
        "    - --data-dir=/var/lib/etcd\n    - --initial-advertise-peer-urls=https://192.168.56.11:2380\n"
        "    - --peer-cert-file=/pki/peer.crt\n    - --peer-key-file=/pki/peer.key\n"
        f"    - --initial-cluster={members}\n"
    )

    instances = yaml.safe_load(importing(manifest))["eco"]["asg"]["instances"]

    assert [each["name"] for each in instances] == ["cp1", "cp2", "cp3"]


def kubeadm(certificates: str, data: str) -> str:
    """kubeadm's static pod, with the host's paths given."""
    words = """\
    --advertise-client-urls=https://192.168.56.10:2379 --cert-file=/etc/kubernetes/pki/etcd/server.crt
    --client-cert-auth=true --data-dir=/var/lib/etcd --experimental-initial-corrupt-check=true
    --experimental-watch-progress-notify-interval=5s --initial-advertise-peer-urls=https://192.168.56.10:2380
    --initial-cluster=cp1=https://192.168.56.10:2380 --key-file=/etc/kubernetes/pki/etcd/server.key
    --listen-client-urls=https://127.0.0.1:2379,https://192.168.56.10:2379
    --listen-metrics-urls=http://127.0.0.1:2381 --listen-peer-urls=https://192.168.56.10:2380 --name=cp1
    --peer-cert-file=/etc/kubernetes/pki/etcd/peer.crt --peer-client-cert-auth=true
    --peer-key-file=/etc/kubernetes/pki/etcd/peer.key --peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
    --snapshot-count=10000 --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt"""
    return (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: etcd, namespace: kube-system}\nspec:\n  containers:\n"
        "  - image: registry.k8s.io/etcd:3.5.15-0\n    name: etcd\n    command:\n    - etcd\n"
        + "".join(f"    - {flag}\n" for flag in words.split())
        + "    volumeMounts:\n    - {mountPath: /var/lib/etcd, name: data}\n"
        "    - {mountPath: /etc/kubernetes/pki/etcd, name: certs}\n  hostNetwork: true\n  volumes:\n"
        f"  - {{hostPath: {{path: {certificates}, type: DirectoryOrCreate}}, name: certs}}\n"
        f"  - {{hostPath: {{path: {data}, type: DirectoryOrCreate}}, name: data}}\nstatus: {{}}\n"
    )


async def test_kubeadms_static_pod(desk: Desk) -> None:
    for name in ("server.crt", "server.key", "peer.crt", "peer.key", "ca.crt"):
        desk.file_of(name)
    manifest = kubeadm(str(desk.directory), "/var/lib/etcd")

    config = adopted(desk, manifest)

    clients, peers = config.etcd.client_transport_security, config.etcd.peer_transport_security
    assert config.provider.me == "cp1"
    assert [each.address for each in await listed(config)] == ["192.168.56.10"]
    assert (clients.scheme, peers.scheme) == ("https", "https")
    assert clients.cert_file == desk.directory / "server.crt"
    assert peers.trusted_ca_file == desk.directory / "ca.crt"
    assert clients.client_cert_auth
    assert peers.client_cert_auth
    assert config.listen_address == "0.0.0.0", "the API server asks 127.0.0.1"  # noqa: S104
    assert config.etcd.metrics_port == 2381
    assert config.etcd.extra_flags == {
        "experimental-initial-corrupt-check": "true",
        "experimental-watch-progress-notify-interval": "5s",
        "snapshot-count": "10000",
    }
    assert any(
        line.startswith("eco.etcd.metrics-port: 2381 was open on 127.0.0.1 alone") for line in comments(manifest)
    )


def test_paths_inside_the_container_become_those_on_the_host() -> None:
    manifest = kubeadm("/srv/pki", "/data/etcd")

    text = importing(manifest)

    assert "data-dir: /data/etcd\n" in text
    assert "cert-file: /srv/pki/server.crt\n" in text
    assert "--data-dir=/var/lib/etcd: outside its container this is /data/etcd." in comments(manifest)


def test_a_pods_variables_are_filled_in_where_they_are_written_out(desk: Desk) -> None:
    pod = (
        "kind: Pod\nspec:\n  containers:\n  - command: [/usr/local/bin/etcd, --name, $(NODE)]\n"
        "    env: [{name: NODE, value: a}, {name: ETCD_DATA_DIR, value: /d}]\n"
    )

    config = adopted(desk, pod)

    assert (config.provider.me, config.etcd.data_dir) == ("a", Path("/d"))


# ---------------------------------------------------------------- refusals


LIVE = "import the running process instead: eco import /proc/PID/cmdline"
NOT_A_FLAG = "is not a flag, and etcd takes nothing else; a truth value needs =, as in --pre-vote=false"
ANY = "an etcd command line, environment, YAML file, systemd unit"
WAL = "eco needs the log inside the data directory: stop etcd, move it to member/wal there, drop this flag"
TLS = "speaks TLS without a certificate file, which this version of eco cannot carry on; give it one first"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("", f"the source: is empty; give {ANY} or pod"),
        ("hello world", f"etcd.service: is neither {ANY} nor pod"),
        ("eco: {}", "etcd.service: is a configuration of eco already"),
        (["nginx", "-g"], "the command line: nginx -g — does not run etcd"),
        ("etcd --name a", "data-dir: is not given, so that it depends on where etcd was started; add it"),
        ("etcd --data-dir d", "--data-dir d: is relative to where etcd was started; write it from / on"),
        ("etcd --version", "the command line: --version — only prints something and starts no member"),
        ("etcd --name", "the command line: --name — ends without the value of this flag"),
        ("etcd --pre-vote false", f"the command line: false — {NOT_A_FLAG}"),
        ("etcd grpc-proxy start", f"the command line: grpc-proxy — {NOT_A_FLAG}"),
        ("etcd --data-dir=/d --proxy=on", "--proxy=on: is a proxy, which holds no data to adopt"),
        ("etcd --data-dir=/d --wal-dir=/wal", f"--wal-dir=/wal: {WAL}"),
        ("etcd --data-dir=/d --name=$HOSTNAME", f"--name=$HOSTNAME: holds something to be filled in; {LIVE}"),
        ("etcd --data-dir=/d --name 'a", "the command line: cannot be read: No closing quotation"),
        (
            "etcd --data-dir=/d --client-cert-auth=maybe --cert-file=/c --listen-client-urls=https://10.0.0.1:2379",
            "--client-cert-auth=maybe: is not a truth value",
        ),
        ("etcd --data-dir=/d --heartbeat-interval=100ms", "--heartbeat-interval=100ms: is not a whole number"),
        (
            "etcd --data-dir=/d --listen-client-urls=10.0.0.1:2379",
            "--listen-client-urls=10.0.0.1:2379: holds something that is no URL of etcd, such as http://10.0.0.1:2380",
        ),
        ("etcd --data-dir=/d --initial-cluster=a", "--initial-cluster=a: is not a list of name=URL"),
        (
            "etcd --data-dir=/d --initial-advertise-peer-urls=https://10.0.0.1:2380 --peer-auto-tls",
            f"--peer-auto-tls: {TLS}",
        ),
        (
            "etcd --data-dir=/d --heartbeat-interval=1",
            "eco.etcd.heartbeat-interval: 1ms — is too short; write at least 10ms",
        ),
        ("[Service]\nType=simple\n", "etcd.service: has no ExecStart; give the whole unit, as systemctl cat prints it"),
        ("[Service]\nExecStart=/usr/bin/etcd --name %m\n", f"etcd.service: uses %m, which only systemd knows; {LIVE}"),
        (
            "kind: Pod\nspec: {containers: [{image: etcd}]}",
            "spec.containers: none of them runs etcd by a command; only such a pod can be imported",
        ),
        (
            "kind: Pod\nspec: {containers: [{command: [etcd], env: [{name: ETCD_NAME, valueFrom: {fieldRef: {}}}]}]}",
            f"env.ETCD_NAME: has a value that only Kubernetes knows; {LIVE}",
        ),
        (
            "kind: Pod\nspec: {containers: [{command: [etcd, --name=$(POD_NAME), --data-dir=/d]}]}",
            f"--name=$(POD_NAME): holds something to be filled in; {LIVE}",
        ),
    ],
)
def test_what_cannot_be_carried_on_is_refused(source: str | list[str], sentence: str) -> None:
    assert refusal(source) == sentence


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == f"{tmp_path}/none: cannot be read: No such file or directory"
    assert refusal(f"etcd --config-file={tmp_path}/none").startswith(f"{tmp_path}/none: cannot be read")


def test_tls_files_that_etcd_ignored_do_not_turn_tls_on(desk: Desk) -> None:
    line = [*LINE, "--cert-file=/nowhere/c", "--key-file=/nowhere/k"]

    assert adopted(desk, line).etcd.client_transport_security.scheme == "http"
    assert "--cert-file=/nowhere/c: no URL is https, so that etcd ignores it" in comments(line)


# ---------------------------------------------------------------- the real etcd


def test_every_flag_that_the_real_etcd_names_is_known(etcd_binaries: Binaries) -> None:
    said = subprocess.run([etcd_binaries.etcd, "--help"], check=True, capture_output=True, text=True)
    named = set(re.findall(r"^  --([a-z0-9-]+)", said.stdout + said.stderr, re.MULTILINE))

    assert len(named) > 100
    assert {flag for flag in named if not etcd_flags.instead(flag) and flag not in etcd_flags.PASSED} <= {"version"}


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="there is no /proc")
def test_what_a_running_etcd_was_told_is_read_from_the_process_itself(
    desk: Desk, etcd_binaries: Binaries, addresses: Addresses
) -> None:
    place = addresses.fresh()
    words = [
        str(etcd_binaries.etcd), "--name", "a", "--data-dir", str(desk.directory / "data"), "--pre-vote=false",
        f"--initial-advertise-peer-urls={place.peer_url}", f"--listen-peer-urls={place.peer_url}",
        f"--advertise-client-urls={place.client_url}", f"--listen-client-urls={place.client_url}",
        f"--initial-cluster=a={place.peer_url}",
    ]  # fmt: skip
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as etcd:
        try:
            cmdline = Path(f"/proc/{etcd.pid}/cmdline")
            wait_until_sync(cmdline.read_bytes, 5, "etcd has its command line")
            text = importing(cmdline)
        finally:
            etcd.kill()

    assert text.partition("\n")[2] == importing(words).partition("\n")[2]
    assert desk.load(text).etcd.extra_flags == {"pre-vote": "false"}


def test_the_text_can_be_loaded_again_from_any_place(tmp_path: Path) -> None:
    file = tmp_path / "adopted.yaml"
    file.write_text(importing(LINE))

    assert load(file).store is not None

"""Whatever the file or the source holds, the answer is a configuration or a `ConfigError`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eco.config import load, tree
from eco.config.importing import importing
from eco.config.model import Whole
from eco.config.reading import keys
from eco.errors import ConfigError, Problem
from tests.config.conftest import RIGHT

if TYPE_CHECKING:
    from pathlib import Path

KEYS = sorted(
    {path.rpartition(".")[2] for path, _ in keys(Whole, "")} | {"name", "instances", "dir", "file", "address"}
)
WORDS = [
    "", "0", "1", "-1", "15", "15s", "1h30m", "9999999999h", "2Gi", "1.5", "yes", "true", "null", "~", "static",
    "file", "/", "/x/y", "a", "0x10", "1e999", "[]", "{}", "[a]", "{a: b}", "'", '"', "*a", "&a b", "!!int 3", "${X}",
    "\t", ": ",     "10.0.0.1", "::1", "http://a:1", "localhost", "é", "\u2028", "9" * 40,
]  # fmt: skip
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

values = st.one_of(st.sampled_from(WORDS), st.text(max_size=12), st.integers().map(str))
lines = st.tuples(st.integers(0, 4), st.sampled_from(KEYS), values).map(
    lambda row: f"{'  ' * row[0]}{row[1]}: {row[2]}\n"
)
yamlish = st.lists(lines, max_size=12).map("".join)
names = st.sampled_from(KEYS) | st.text(max_size=5)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def loads(directory: Path, content: bytes) -> None:
    """Load it, or get a `ConfigError` whose every problem is one printable line."""
    file = directory / "eco.yaml"
    file.write_bytes(content)
    problems: tuple[Problem, ...] = ()
    try:
        load(file)
    except ConfigError as fault:
        problems = fault.problems or (Problem("", "", ""),)
    for problem in problems:
        assert problem.path
        assert problem.hint
        assert str(problem).isprintable(), problem


@quick
@given(content=st.binary(max_size=200))
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    loads(tmp_path, content)


@quick
@given(text=yamlish)
def test_any_lines_below_eco(tmp_path: Path, text: str) -> None:
    loads(tmp_path, ("eco:\n" + text).encode())


@quick
@given(text=yamlish, position=st.integers(0, len(RIGHT)))
def test_any_lines_within_a_right_file(tmp_path: Path, text: str, position: int) -> None:
    loads(tmp_path, (RIGHT[:position] + text + RIGHT[position:]).encode())


@quick
@given(root=st.dictionaries(st.sampled_from(KEYS), plain, max_size=6))
def test_any_values_below_eco(tmp_path: Path, root: object) -> None:
    loads(tmp_path, yaml.safe_dump({"eco": root}, allow_unicode=True).encode())


# ---------------------------------------------------------------- sources

FLAGS = ["name", "data-dir", "initial-cluster", "listen-client-urls", "advertise-client-urls", "wal-dir", "pre-vote"]
flag_values = st.one_of(
    st.sampled_from(["a", "/d", "a=http://10.0.0.1:2380", "http://0.0.0.0:2379", "https://[::1]:2379", "true", "$X"]),
    st.sampled_from(["`id`", "http://[", "\n#", "'", "unix://x"]),
    st.text(max_size=8),
)
flags = st.tuples(st.sampled_from(FLAGS), flag_values)


def imports(source: str | list[str]) -> None:
    """Import it, or get a `ConfigError`; what comes out can be read again and says nothing but comments and `eco`."""
    with contextlib.suppress(ConfigError):
        root = tree.parse(importing(source), "eco.yaml").root
        assert isinstance(root, dict)
        assert list(root) == ["eco"]


@quick
@given(rows=st.lists(flags, max_size=8))
def test_any_command_line(rows: list[tuple[str, str]]) -> None:
    imports(["etcd", "--data-dir=/d", *(f"--{flag}={value}" for flag, value in rows)])


@quick
@given(rows=st.lists(flags, max_size=8))
def test_any_environment(rows: list[tuple[str, str]]) -> None:
    imports("ETCD_DATA_DIR=/d\n" + "".join(f"ETCD_{flag.upper().replace('-', '_')}={value}\n" for flag, value in rows))


@quick
@given(rows=st.lists(flags, max_size=8), text=st.text(max_size=20))
def test_any_unit(rows: list[tuple[str, str]], text: str) -> None:
    words = " ".join(f"--{flag} {value}" for flag, value in rows)
    imports(f"[Service]\nEnvironment={text}\nExecStart=/usr/bin/etcd --data-dir /d {words} {text}\n")


@quick
@given(root=st.dictionaries(st.sampled_from([*FLAGS, "client-transport-security", "spec", "kind"]), plain, max_size=5))
def test_any_yaml_of_etcd_or_kubernetes(root: object) -> None:
    imports(yaml.safe_dump(root, allow_unicode=True))


@quick
@given(containers=plain, volumes=plain)
def test_any_pod(containers: object, volumes: object) -> None:
    imports(yaml.safe_dump({"kind": "Pod", "spec": {"containers": [containers], "volumes": volumes}}))


@quick
@given(text=st.text(max_size=60))
def test_any_text(text: str) -> None:
    imports(text)

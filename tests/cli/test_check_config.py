from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.cli.conftest import FakeAgent, configure

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from eco.etcd.install import Binaries
    from tests.cli.conftest import Eco
    from tests.support import Addresses

WRONG = "eco:\n  clusster: x\n  check-interval: 30\n  asg: {provider: static}\n  snapshot: {provider: flie}\n"


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def test_a_right_configuration_tells_what_it_would_do(eco: Eco, tmp_path: Path, addresses: Addresses) -> None:
    agents = [FakeAgent(name, addresses.fresh()) for name in ("a", "b")]

    result = await eco("check-config", configure(tmp_path, agents))

    assert result.exit_code == 0
    assert result.stdout.startswith("ok: ")
    assert f"a at {agents[0].address.host}: clients 2379, peers 2380, status 2378" in result.stdout
    assert f"b {agents[1].address.host}" in result.stdout
    assert str(tmp_path / "data") in result.stdout


async def test_nothing_is_touched(eco: Eco, tmp_path: Path, addresses: Addresses) -> None:
    path = configure(tmp_path, [FakeAgent("a", addresses.fresh())])

    assert (await eco("check-config", path)).exit_code == 0

    assert names(tmp_path) == ["eco.yaml"]


async def test_every_problem_is_told_at_once(eco: Eco, tmp_path: Path) -> None:
    (tmp_path / "eco.yaml").write_text(WRONG)

    result = await eco("check-config", tmp_path / "eco.yaml")

    assert result.exit_code == 78
    for path in ("eco.clusster", "eco.check-interval", "eco.asg.name", "eco.asg.instances", "eco.snapshot.provider"):
        assert path in result.stderr


async def test_programs_get_every_problem_as_json(eco: Eco, tmp_path: Path) -> None:
    (tmp_path / "eco.yaml").write_text(WRONG)

    result = await eco("check-config", tmp_path / "eco.yaml", "--output", "json")

    assert result.exit_code == 78
    document = json.loads(result.stdout)
    assert not document["ok"]
    assert {"path": "eco.check-interval", "value": "30"}.items() <= document["problems"][1].items()


async def test_programs_get_the_plan_as_json(eco: Eco, tmp_path: Path, addresses: Addresses) -> None:
    path = configure(tmp_path, [FakeAgent("a", addresses.fresh())])

    document = json.loads((await eco("check-config", path, "-o", "json")).stdout)

    assert document["ok"]
    assert document["plan"]["others"] == "none"


async def test_a_group_that_is_not_known_yet_is_no_problem_of_the_configuration(
    eco: Eco, tmp_path: Path, addresses: Addresses
) -> None:
    asg = {"provider": "static", "name": "a", "file": "group.yaml"}
    path = configure(tmp_path, [FakeAgent("a", addresses.fresh())], asg=asg)

    result = await eco("check-config", path)

    assert result.exit_code == 0
    assert "cannot be known at this moment" in result.stdout


async def test_a_missing_file_is_a_problem_like_any_other(eco: Eco, tmp_path: Path) -> None:
    result = await eco("check-config", tmp_path / "none.yaml")

    assert result.exit_code == 78
    assert "No such file" in result.stderr


async def test_the_schema_is_for_editors(eco: Eco) -> None:
    schema = json.loads((await eco("check-config", "--schema")).stdout)

    assert "check-interval" in schema["properties"]["eco"]["properties"]


async def test_flags_that_this_machines_etcd_does_not_take_are_problems(
    eco: Eco, tmp_path: Path, addresses: Addresses, etcd_binaries: Binaries
) -> None:
    etcd = {"binary": str(etcd_binaries.etcd), "data-dir": str(tmp_path / "data"), "extra-flags": {"no-such-flag": 1}}
    path = configure(tmp_path, [FakeAgent("a", addresses.fresh())], etcd=etcd)

    result = await eco("check-config", path)

    assert result.exit_code == 78
    assert "eco.etcd.extra-flags.no-such-flag: 1 — etcd 3." in result.stderr
    assert names(tmp_path) == ["eco.yaml"]


async def test_a_machine_without_etcd_can_check_all_the_rest(
    eco: Eco, tmp_path: Path, addresses: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECO_ETCD_BIN_DIR", str(tmp_path))
    path = configure(tmp_path, [FakeAgent("a", addresses.fresh())])

    result = await eco("check-config", path)

    assert result.exit_code == 0
    assert "extra-flags were not checked" in result.stdout

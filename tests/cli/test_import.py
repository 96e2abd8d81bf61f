from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Eco

COMMAND = (
    "etcd --name a --data-dir /var/lib/etcd --initial-advertise-peer-urls http://10.0.0.1:2380"
    " --advertise-client-urls http://10.0.0.1:2379 --initial-cluster a=http://10.0.0.1:2380"
)


async def test_a_command_line_becomes_a_configuration(eco: Eco) -> None:
    result = await eco("import", COMMAND)

    assert result.exit_code == 0
    assert yaml.safe_load(result.stdout)["eco"]["asg"]["name"] == "a"


async def test_a_file_becomes_a_file(eco: Eco, tmp_path: Path) -> None:
    (tmp_path / "etcd.env").write_text("ETCD_NAME=a\nETCD_DATA_DIR=/var/lib/etcd\n")

    result = await eco("import", tmp_path / "etcd.env", "--output", tmp_path / "eco.yaml")

    assert result.exit_code == 0
    assert "check-config" in result.stderr
    assert yaml.safe_load((tmp_path / "eco.yaml").read_text())["eco"]["etcd"]["data-dir"] == "/var/lib/etcd"


async def test_no_file_is_ever_overwritten(eco: Eco, tmp_path: Path) -> None:
    (tmp_path / "eco.yaml").write_text("mine")

    result = await eco("import", COMMAND, "--output", tmp_path / "eco.yaml")

    assert result.exit_code == 1
    assert (tmp_path / "eco.yaml").read_text() == "mine"


async def test_what_is_no_etcd_configuration_is_told(eco: Eco, tmp_path: Path) -> None:
    (tmp_path / "shopping").write_text("milk\n")

    for source in (str(tmp_path / "shopping"), str(tmp_path / "none")):
        result = await eco("import", source)
        assert result.exit_code == 1
        assert "cannot be imported" in result.stderr

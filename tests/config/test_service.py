"""The systemd unit says what systemd understands, and keeps what etcd's life depends on."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "packaging" / "eco.service"
LINES = UNIT.read_text().splitlines()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd to ask")
def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    unit = tmp_path / "eco.service"
    unit.write_text(UNIT.read_text().replace("/usr/bin/eco", shutil.which("true") or ""))

    said = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)

    assert (said.returncode, said.stderr) == (0, "")


@pytest.mark.parametrize(
    "line",
    [
        "KillMode=process",
        "OOMPolicy=continue",
        "RequiresMountsFor=/var/lib/etcd",
        "Restart=on-failure",
        "RestartPreventExitStatus=78",
        "ExecStart=/usr/bin/eco run --config /etc/eco/eco.yaml",
        "Alias=etcd.service",
    ],
)
def test_etcd_outlives_its_agent_and_a_wrong_configuration_is_not_tried_again(line: str) -> None:
    assert line in LINES


@pytest.mark.parametrize("option", ["PrivateDevices", "PrivatePIDs", "DynamicUser", "SystemCallFilter", "ProcSubset"])
def test_no_hardening_hides_what_an_agent_needs_to_adopt_its_etcd(option: str) -> None:
    assert not any(line.startswith(f"{option}=") for line in LINES)

"""A directory with a configuration in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from eco.config import load
from eco.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from eco.config import Config

RIGHT = """\
eco:
  etcd:
    data-dir: /var/lib/etcd-of-a-test
  asg:
    provider: static
    name: a
    instances:
      - {name: a, address: 127.0.77.1}
  snapshot:
    provider: file
    dir: store
"""


class Desk:
    """Where configurations are written and read."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "eco.yaml"

    def load(self, text: str) -> Config:
        self.file.write_text(text)
        return load(self.file)

    def problems(self, text: str) -> list[str]:
        """Every problem of a text, as printed."""
        with pytest.raises(ConfigError) as raised:
            self.load(text)
        return [str(problem) for problem in raised.value.problems]

    def problem(self, key: str, line: str, section: str = "") -> str:
        """The one problem of the right configuration with a line added to a section."""
        (said,) = self.problems(self.with_line(line, section))
        assert said.startswith(f"{key}: "), said
        return said.removeprefix(f"{key}: ")

    @staticmethod
    def with_line(line: str, section: str = "") -> str:
        """The right configuration with a line at the beginning of a section: "", etcd, asg or snapshot."""
        where, indent = (f"  {section}:\n", "    ") if section else ("eco:\n", "  ")
        assert where in RIGHT
        return RIGHT.replace(where, f"{where}{indent}{line}\n", 1)

    def file_of(self, name: str) -> Path:
        """An existing file, for keys that name one."""
        path = self.directory / name
        path.write_text("a certificate, as far as a configuration looks")
        return path


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)

"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from eco.cli.argv import CONFIG_VARIABLE, DEFAULT_CONFIG
from eco.cli.console import Output, fail_config
from eco.config import Config, load
from eco.errors import ConfigError

DEFAULT = Path(DEFAULT_CONFIG)

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", metavar="FILE", envvar=CONFIG_VARIABLE, help="The node's configuration.")
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="For people, or for programs.")]


def configuration(path: Path) -> Config:
    """The configuration at `path`; the command ends with 78 and every problem when it is wrong."""
    try:
        return load(path)
    except ConfigError as fault:
        fail_config(path, fault)

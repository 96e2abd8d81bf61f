"""`eco leave`, `eco pause`, `eco resume`: asking this node's agent.

Who may read the data directory may ask: the agent leaves a token in it.
"""

import asyncio
from pathlib import Path

from eco.cli.console import Output, fail, say, say_json
from eco.cli.options import DEFAULT, ConfigOption, OutputOption, configuration
from eco.cli.survey import sentence
from eco.cli.text import printable
from eco.cli.whereabouts import myself
from eco.config import Config
from eco.errors import Corrupt, EcoError, Refused, Unavailable
from eco.status.client import request

DEADLINE = 10.0
TOKEN = "eco/operator.token"  # noqa: S105  # a file's name
FINE = 200
NOT_ALLOWED = 401


def leave(config: ConfigOption = DEFAULT, output: OutputOption = Output.TEXT) -> None:
    """Take this node out of the cluster for good: hand over, be removed, stop.

    The others go on without it; its data stays where it is.
    [bold]eco status[/bold] shows how far it is.
    """
    _ask("leave", config, output)


def pause(config: ConfigOption = DEFAULT, output: OutputOption = Output.TEXT) -> None:
    """Keep this node's agent from acting, for maintenance by hand; etcd is not touched.

    The agent goes on watching and reporting until [bold]eco resume[/bold].
    """
    _ask("pause", config, output)


def resume(config: ConfigOption = DEFAULT, output: OutputOption = Output.TEXT) -> None:
    """Let this node's agent act again after [bold]eco pause[/bold]."""
    _ask("resume", config, output)


def _ask(action: str, path: Path, output: Output) -> None:
    config = configuration(path)
    try:
        said = asyncio.run(_post(action, config))
    except EcoError as fault:
        fail(printable(str(fault)))
    if output is Output.JSON:
        say_json({"done": said})
    else:
        say(printable(said))


async def _post(action: str, config: Config) -> str:
    """Ask, and give the agent's sentence. Raises `EcoError` with ours when it cannot be asked."""
    token = _token(config)
    where = await myself(config)
    bearer = ("Authorization", f"Bearer {token}")
    try:
        response = await request("POST", where.host, where.port, f"/{action}", deadline=DEADLINE, headers=(bearer,))
    except Unavailable as fault:
        raise Unavailable(
            f"this node's agent does not answer, so nothing was asked: {fault}; is it running?"
        ) from fault
    if response.status == NOT_ALLOWED:
        raise Refused(f"{where.address} does not know the token of {config.etcd.data_dir}: is another agent there?")
    said = sentence(response)
    if not said:
        raise Corrupt("this node's agent gave an answer that is none")
    if response.status != FINE:
        raise Refused(f"the agent cannot {action}: {said}")
    return said


def _token(config: Config) -> str:
    path = config.etcd.data_dir / TOKEN
    try:
        return path.read_text().strip()
    except FileNotFoundError as fault:
        raise Unavailable(f"there is no {path}: no agent runs on this data directory") from fault
    except OSError as fault:
        raise Refused(f"{path} cannot be read ({fault.strerror}): run this as root, or as the agent's user") from fault

"""`eco check-config`: everything wrong with a configuration, or what it would do."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from eco.cli.argv import CONFIG_VARIABLE
from eco.cli.console import Output, fail_config, say, say_json
from eco.cli.exits import Exit
from eco.cli.options import DEFAULT, OutputOption
from eco.cli.text import printable
from eco.config import Config, load
from eco.core.model import Instance
from eco.errors import ConfigError, EcoError, Unavailable


def check_config(
    *,
    file: Annotated[
        Path, typer.Argument(metavar="[FILE]", envvar=CONFIG_VARIABLE, help="The file to check.")
    ] = DEFAULT,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema instead, for editors.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check a configuration: every problem at once, or ok and what it would do.

    Nothing is started, written or joined.

    [bold]Exit codes[/bold]
     0  usable, with warnings or without
    78  not usable: every problem is on standard error

    [bold]Examples[/bold]
    eco check-config eco.yaml
    eco check-config --schema > eco.schema.json
    """
    if schema:
        from eco.config.schema import schema as json_schema  # noqa: PLC0415  # for editors alone

        say_json(json_schema())
        return
    try:
        config = load(file)
    except ConfigError as fault:
        _complain(file, fault, output)
    try:
        etcd = _etcd(config)
    except ConfigError as fault:
        _complain(file, fault, output)
    plan = asyncio.run(_plan(config)) | {"etcd": etcd}
    if output is Output.JSON:
        say_json({"ok": True, "problems": [], "warnings": config.warnings, "plan": plan})
        return
    say(f"ok: {file}")
    for name, value in plan.items():
        say(f"  {name:<9} {printable(str(value))}")
    for warning in config.warnings:
        say(f"warning: {printable(warning)}")


def _complain(file: Path, fault: ConfigError, output: Output) -> NoReturn:
    if output is Output.TEXT:
        fail_config(file, fault)
    say_json({"ok": False, "problems": [asdict(problem) for problem in fault.problems]})
    raise typer.Exit(Exit.CONFIG)


def _etcd(config: Config) -> str:
    """The etcd that would run here, in words. Raises `ConfigError` for flags that it does not take."""
    from eco.agent.assembly import unknown_flags  # noqa: PLC0415  # slow to import, and a wrong file needs none of it
    from eco.etcd import install  # noqa: PLC0415

    try:
        binaries = install.find(str(config.etcd.binary) if config.etcd.binary else None)
    except Unavailable as fault:
        return f"none is on this machine, so that extra-flags were not checked: {fault}"
    if problems := unknown_flags(config, binaries.version):
        raise ConfigError(problems)
    return f"{binaries.version} at {binaries.etcd}"


async def _plan(config: Config) -> dict[str, str]:
    """What an agent with this configuration would do, in words."""
    plan = {
        "cluster": config.cluster,
        "provider": config.provider.summary,
        "store": config.store.summary,
        "data": str(config.etcd.data_dir),
    }
    try:
        group = await config.provider.look()
        me = config.provider.me
        plan["node"] = _addresses(next(each for each in group.instances if each.name == me))
        plan["others"] = (
            ", ".join(f"{each.name} {each.address}" for each in group.instances if each.name != me) or "none"
        )
    except EcoError as fault:
        plan["node"] = f"cannot be known at this moment: {fault}"
    finally:
        await config.provider.close()
        await config.store.close()
    return plan


def _addresses(me: Instance) -> str:
    return f"{me.name} at {me.address}: clients {me.client_port}, peers {me.peer_port}, status {me.status_port}"

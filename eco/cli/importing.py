"""`eco import`: from an etcd's flags, environment or YAML to a configuration that adopts it."""

from pathlib import Path
from typing import Annotated

import typer


def import_(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A file, - for standard input, or a command line.")],
    *,
    file: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there, if nothing is there yet.")
    ] = None,
) -> None:
    """Turn an existing etcd's settings into an [bold]eco.yaml[/bold] that adopts it.

    SOURCE is etcd's own YAML, a static pod's manifest (kubeadm), an environment file (ETCD_…), a systemd unit, or a
    command line in quotes. What has no counterpart is told on standard error.

    [bold]Examples:[/bold]  eco import /etc/kubernetes/manifests/etcd.yaml --output eco.yaml  ·
    eco import "etcd --name a --data-dir /var/lib/etcd"
    """
    raise NotImplementedError(source, file)

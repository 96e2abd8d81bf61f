"""Where an etcd that exists is configured, and so what it is told.

A command line (a list, a shell's text, or `/proc/PID/cmdline`), environment lines such as Debian's
`/etc/default/etcd`, etcd's own YAML file, a systemd unit, or a Kubernetes pod such as kubeadm's. They
nest: a unit has a command line and reads environment files, a command line names a YAML file. Which
of them a text is, the text itself tells.
"""

from __future__ import annotations

import re
import shlex
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from eco.config import tree
from eco.config.loading import text as read_text
from eco.config.told import LIVE, NAME, RUNTIME, Found, bad, command, own_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from eco.config.tree import Plain


def read(source: str | Path | Sequence[str]) -> Found:
    """Gather the flags of a text, a file, or the words of a command line. Raises `ConfigError`."""
    if isinstance(source, Path):
        return _text(read_text(source), source.name)
    if isinstance(source, str):
        return _text(source, "etcd.service")
    return command(list(source), {}, "a command line")


def _text(text: str, name: str) -> Found:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", ";"))]
    if not lines:
        raise bad("the source", "is empty; give an etcd command line, environment, YAML file, systemd unit or pod")
    if "\0" in text:
        return command(text.rstrip("\0").split("\0"), {}, "a running process")
    if any(re.fullmatch(r"\[(Unit|Service|Install)\]", line) for line in lines):
        return _unit(text, name)
    if _is_command(lines):
        return command(_shell_words(text, {}), {}, "a command line")
    if all(re.match(rf"(export\s+)?{NAME}=", line) for line in lines):
        return _environment(dict(_assignments(lines)))
    return _yaml(text, name)


def _is_command(lines: Sequence[str]) -> bool:
    words = lines[0].split()
    program = next((word for word in words if not re.match(rf"{NAME}=", word)), "")
    return program.startswith("-") or program.rpartition("/")[2] in {"etcd", "exec", "env", "sudo"}


def _yaml(text: str, name: str) -> Found:
    root = tree.parse(text, name).root
    if not isinstance(root, dict):
        raise bad(name, "is neither an etcd command line, environment, YAML file, systemd unit nor pod")
    if "eco" in root:
        raise bad(name, "is a configuration of eco already")
    return _pod(root) if "spec" in root else own_yaml(root)


# ---------------------------------------------------------------- environment and shell


def _environment(env: dict[str, str]) -> Found:
    """Environment lines. DAEMON_ARGS is where Debian's unit takes further flags from."""
    return command(["etcd", *_shell_words(env.pop("DAEMON_ARGS", ""), {})], env, "environment variables")


def _assignments(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """`NAME=value` lines as systemd's EnvironmentFile reads them: one pair of quotes around a value is dropped."""
    for line in lines:
        name, _, value = line.removeprefix("export").strip().partition("=")
        value = value.strip()
        is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
        yield name, value[1:-1] if is_quoted else value


def _shell_words(text: str, env: Mapping[str, str]) -> list[str]:
    try:
        # shlex keeps the end of a continued line as a word.
        return shlex.split(_filled(text.replace("\\\n", " "), env), comments=True)
    except ValueError as fault:
        raise bad("the command line", f"cannot be read: {fault}") from fault


def _filled(text: str, env: Mapping[str, str]) -> str:
    """`$NAME` and `${NAME}` replaced where `env` knows them."""
    return re.sub(
        rf"\$(?:({NAME})|\{{({NAME})\}})", lambda match: env.get(match[1] or match[2], match[0]), text, flags=re.ASCII
    )


# ---------------------------------------------------------------- systemd


def _unit(text: str, name: str) -> Found:
    """A unit, or what `systemctl cat` prints: later lines add to or replace earlier ones."""
    env: dict[str, str] = {}
    files: list[str] = []
    start = ""
    notes: list[str] = []
    for key, value in _unit_lines(text):
        if key == "Environment":
            pairs = (_specified(pair, name).partition("=") for pair in _shell_words(value, {}))
            env |= {variable: content for variable, _, content in pairs}
        elif key == "EnvironmentFile":
            files.append(_specified(value, name))
        elif key == "ExecStart" and value:
            start = value
    if not start:
        raise bad(name, "has no ExecStart; give the whole unit, as systemctl cat prints it")
    for file in files:
        env |= _environment_file(file, notes)
    found = command(_exec_words(_specified(start.lstrip("-@:+!"), name), env), _used(env), "a systemd unit")
    found.left += notes
    return found


def _used(env: Mapping[str, str]) -> dict[str, str]:
    """The part of a unit's environment that etcd itself may read; the rest served the command line."""
    return {name: value for name, value in env.items() if name.startswith("ETCD_") or name in RUNTIME}


def _unit_lines(text: str) -> Iterator[tuple[str, str]]:
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if not line.lstrip().startswith(("#", ";")) and "=" in line:
            key, _, value = line.partition("=")
            yield key.strip(), value.strip()


def _specified(text: str, name: str) -> str:
    """systemd's specifiers, the few that units of etcd use."""
    prefix, _, instance = name.rpartition(".")[0].partition("@")
    known = {"%": "%", "H": socket.gethostname(), "n": name, "p": prefix, "i": instance}

    def meaning(match: re.Match[str]) -> str:
        if match[1] in known:
            return known[match[1]]
        raise bad(name, f"uses {match[0]}, which only systemd knows; {LIVE}")

    return re.sub(r"%(.)", meaning, text)


def _environment_file(file: str, notes: list[str]) -> dict[str, str]:
    path = Path(file.removeprefix("-"))
    if file.startswith("-") and not path.exists():
        notes.append(f"EnvironmentFile={file}: the file is not there")
        return {}
    lines = (line.strip() for line in read_text(path).splitlines())
    return dict(_assignments(line for line in lines if re.match(rf"(export\s+)?{NAME}=", line)))


def _exec_words(command: str, env: Mapping[str, str]) -> list[str]:
    words = [part for word in _shell_words(command, {}) for part in _exec_word(word, env)]
    if [word.rpartition("/")[2] for word in words[:2]] in (["sh", "-c"], ["bash", "-c"], ["dash", "-c"]):
        return _shell_words(words[-1], env)
    return words


def _exec_word(word: str, env: Mapping[str, str]) -> list[str]:
    """`$NAME` as a word of its own is split at blanks, and is nothing when unset; elsewhere it is filled in."""
    alone = re.fullmatch(rf"\$({NAME})", word)
    return _shell_words(env.get(alone[1], ""), {}) if alone else [_filled(word, env).replace("$$", "$")]


# ---------------------------------------------------------------- Kubernetes


def _pod(root: Mapping[str, Plain]) -> Found:
    """A pod that runs etcd, such as kubeadm's static one."""
    spec = _mapping(root.get("spec"))
    containers = [_mapping(each) for each in _list(spec.get("containers"))]
    for container in containers:
        words = [tree.whole(word) for key in ("command", "args") for word in _list(container.get(key))]
        if any(word.rpartition("/")[2] == "etcd" for word in words):
            break
    else:
        raise bad("spec.containers", "none of them runs etcd by a command; only such a pod can be imported")
    env = {str(entry.get("name")): entry.get("value") for entry in map(_mapping, _list(container.get("env")))}
    known = {name: tree.whole(value) for name, value in env.items() if value is not None}
    filled = [re.sub(rf"\$\(({NAME})\)", lambda match: known.get(match[1], match[0]), word) for word in words]
    if unknown := next((name for name in env if name.startswith("ETCD_") and name not in known), ""):
        raise bad(f"env.{unknown}", f"has a value that only Kubernetes knows; {LIVE}")
    found = command(filled, _used(known), "a pod")
    _on_host(found, container, spec)
    return found


def _on_host(found: Found, container: Mapping[str, Plain], spec: Mapping[str, Plain]) -> None:
    """Paths inside the container become those outside it."""
    volumes = {
        volume.get("name"): _mapping(volume.get("hostPath")).get("path")
        for volume in map(_mapping, _list(spec.get("volumes")))
    }
    for mount in map(_mapping, _list(container.get("volumeMounts"))):
        inside, outside = mount.get("mountPath"), volumes.get(mount.get("name"))
        if not isinstance(inside, str) or not isinstance(outside, str) or inside == outside:
            continue
        for flag, value in found.flags.items():
            if f"{value}/".startswith(inside.rstrip("/") + "/"):
                found.flags[flag] = outside.rstrip("/") + value[len(inside.rstrip("/")) :]
                found.changed.append(f"{found.given[flag]}: outside its container this is {found.flags[flag]}.")


def _mapping(value: Plain) -> Mapping[str, Plain]:
    return value if isinstance(value, dict) else {}


def _list(value: Plain) -> list[Plain]:
    return value if isinstance(value, list) else []

"""What an etcd is told: by its command line, its environment and its own YAML file.

The order of precedence is etcd's (`etcdmain/config.go`): a flag beats its variable, and a YAML file
makes etcd ignore both. What only a shell, systemd or Kubernetes could fill in is never guessed: it
is an error that says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from eco.config import tree
from eco.config.etcd_flags import BOOLEANS
from eco.config.loading import text as read_text
from eco.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from eco.config.tree import Plain

NAME = r"[A-Za-z_][A-Za-z0-9_]*"
"""Of an environment variable."""

RUNTIME = frozenset(("GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GODEBUG", "GOTRACEBACK", "ETCD_UNSUPPORTED_ARCH"))
"""Variables that etcd's process reads and that are no flags."""

LIVE = "import the running process instead: eco import /proc/PID/cmdline"
"""The way out where something is still to be filled in."""

_NO_FLAGS = frozenset(("ETCD_UNSUPPORTED_ARCH", "ETCD_VERSION"))


@dataclass
class Found:
    """Flags by name, each with the words it was given in; variables for etcd's process; and sentences about what was
    left out of these or changed on the way."""

    what: str
    flags: dict[str, str] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)

    def take(self, flag: str, value: str, given: str) -> None:
        """Set a flag; `given` is how the operator wrote it."""
        if not value.isprintable():
            raise bad(given, "holds a character that cannot be printed")
        self.flags[flag] = value
        self.given[flag] = given


def bad(where: str, hint: str, value: str = "") -> ConfigError:
    """One problem of the source."""
    return ConfigError((Problem(where, value, hint),))


def command(words: list[str], env: Mapping[str, str], what: str) -> Found:
    """The words of a command line, with the environment it is started in."""
    before, arguments = _program(words)
    assigned = dict(word.split("=", 1) for word in before if re.match(rf"{NAME}=", word))
    found = Found(what)
    for flag, value, given in _flags(arguments):
        found.take(flag, value, given)
    return _settle(found, {**env, **assigned})


def _program(words: list[str]) -> tuple[list[str], list[str]]:
    """What stands before the etcd program, and its arguments."""
    if words and words[0].startswith("-"):
        return [], words
    for position, word in enumerate(words):
        if word.rpartition("/")[2] == "etcd":
            return words[:position], words[position + 1 :]
    raise bad("the command line", "does not run etcd", " ".join(words)[:80])


def _flags(words: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Each flag, its value and its words, as Go's flag package reads them."""
    rest = iter(words)
    for word in rest:
        match = re.fullmatch(r"--?([a-z][a-z0-9.-]*)(?:=(.*))?", word, re.DOTALL)
        if match is None:
            hint = "is not a flag, and etcd takes nothing else; a truth value needs =, as in --pre-vote=false"
            raise bad("the command line", hint, tree.shown(word))
        flag, value = match[1], match[2]
        if flag in {"h", "help", "version"}:
            raise bad("the command line", "only prints something and starts no member", word)
        if value is None and flag not in BOOLEANS:
            value = next(rest, None)
            if value is None:
                raise bad("the command line", "ends without the value of this flag", word)
            word = f"{word} {value}"  # noqa: PLW2901 — these are its words
        yield flag, "true" if value is None else value, word


def _settle(found: Found, env: Mapping[str, str]) -> Found:
    """Add the environment to flags that were found, as etcd does."""
    file = found.flags.pop("config-file", "") or env.get("ETCD_CONFIG_FILE", "")
    if file:
        return _own_file(found, env, file)
    for name, value in env.items():
        flag = name.removeprefix("ETCD_").lower().replace("_", "-")
        if name in RUNTIME and "$" not in value and "`" not in value:
            found.env[name] = value
        elif not name.startswith("ETCD_") or name in _NO_FLAGS:
            found.left.append(f"{name}: no variable that etcd reads")
        elif flag in found.flags:
            found.left.append(f"{name}={value}: {found.given[flag]} goes before it")
        elif value:
            found.take(flag, value, f"{name}={value}")
    return _complete(found)


def _complete(found: Found) -> Found:
    for flag, value in found.flags.items():
        if re.search(r"\$\(|\$\{|\$[A-Za-z_]|`", value):
            raise bad(found.given[flag], f"holds something to be filled in; {LIVE}")
    return found


def _own_file(found: Found, env: Mapping[str, str], file: str) -> Found:
    root = tree.parse(read_text(Path(file)), file).root
    if not isinstance(root, dict):
        raise bad(file, "is not a mapping of etcd's settings")
    inner = own_yaml(root)
    ignored = [*found.given.values(), *(f"{name}={value}" for name, value in env.items() if name.startswith("ETCD_"))]
    inner.left += [f"{words}: etcd ignores it beside {file}" for words in ignored if file not in words]
    inner.env |= {name: value for name, value in env.items() if name in RUNTIME}
    return inner


# ---------------------------------------------------------------- its own file

_SECURITY = {"client-transport-security": "", "peer-transport-security": "peer-"}
_SECURITY_NAMES = {
    "allowed-cn": "cert-allowed-cn",
    "allowed-hostname": "cert-allowed-hostname",
    "skip-client-san-verification": "skip-client-san-verification",
}


def own_yaml(root: Mapping[str, Plain]) -> Found:
    """etcd's own file (`embed/config.go`, configYAML)."""
    found = Found("etcd's own configuration file")
    for key, value in root.items():
        if key in _SECURITY and isinstance(value, dict):
            for inner, entry in value.items():
                _own_key(found, _SECURITY[key] + _SECURITY_NAMES.get(inner, inner), entry, f"{key}.{inner}")
        else:
            _own_key(found, key, value, key)
    return _complete(found)


def _own_key(found: Found, flag: str, value: Plain, key: str) -> None:
    if isinstance(value, list):
        value = ",".join(tree.whole(entry) for entry in value)
    if isinstance(value, dict):
        found.left.append(f"{key}: a mapping that has no flag")
    elif value is not None and value != "":
        text = tree.whole(value)
        found.take(flag, text, f"{key}: {text}")

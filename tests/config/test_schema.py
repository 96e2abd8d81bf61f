"""The JSON schema for editors comes from the shapes that read the file."""

from __future__ import annotations

import json
from typing import Any

from eco.config.model import Whole
from eco.config.reading import keys
from eco.config.schema import schema

SCHEMA = schema()


def at(path: str) -> dict[str, Any]:
    """The schema of one key."""
    node: Any = SCHEMA
    for part in path.split("."):
        node = node["properties"][part]
    return dict(node)


def test_every_key_is_described_with_its_default() -> None:
    for path, declared in keys(Whole, ""):
        described = at(path)
        assert described["description"].endswith("."), path
        assert ("default" in described) == ("kind" in declared.metadata), path


def test_defaults_are_written_as_an_operator_would() -> None:
    assert at("eco.check-interval")["default"] == "15s"
    assert at("eco.snapshot.ttl")["default"] == "24h"
    assert at("eco.etcd.data-dir")["default"] == "/var/lib/etcd"
    assert at("eco.etcd.client-transport-security.cert-file")["default"] == ""
    assert at("eco.etcd.extra-flags")["default"] == {}


def test_unknown_keys_are_errors_but_for_those_of_plugins() -> None:
    assert at("eco")["additionalProperties"] is False
    assert at("eco.etcd.peer-transport-security")["additionalProperties"] is False
    assert at("eco.asg")["additionalProperties"] is True
    assert at("eco.snapshot")["additionalProperties"] is True


def test_second_names_are_known_to_editors() -> None:
    peer = at("eco.etcd.peer-transport-security")["properties"]

    assert peer["peer-client-cert-auth"] == peer["client-cert-auth"]


def test_it_is_json() -> None:
    assert json.loads(json.dumps(SCHEMA))["required"] == ["eco"]

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eco.cli.argv import DEFAULT_CONFIG, Run, normalise, plain_run


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (("-config", "a.yaml"), ("run", "--config", "a.yaml")),
        (("-config=a.yaml",), ("run", "--config=a.yaml")),
        (("--config", "a.yaml"), ("run", "--config", "a.yaml")),
        (("-config", "a.yaml", "-log-level", "debug"), ("run", "--config", "a.yaml", "--log-level", "debug")),
        (("-log-level=debug", "-config=a.yaml"), ("run", "--log-level=debug", "--config=a.yaml")),
    ],
)
def test_the_originals_arguments_mean_run(written: tuple[str, ...], meant: tuple[str, ...]) -> None:
    assert normalise(written) == meant


@pytest.mark.parametrize(
    "written", [(), ("run", "--config", "a"), ("status", "-config", "a"), ("--help",), ("--version",), ("-c",)]
)
def test_every_other_command_line_is_left_alone_or_to_the_parser(written: tuple[str, ...]) -> None:
    assert normalise(written)[-len(written) :] == written


@pytest.mark.parametrize(
    ("arguments", "run"),
    [
        (("run",), Run(DEFAULT_CONFIG)),
        (("run", "--config", "a"), Run("a")),
        (("run", "-c", "a"), Run("a")),
        (("run", "--config=a", "--log-level=debug"), Run("a", "debug")),
    ],
)
def test_a_plain_run_is_recognised(arguments: tuple[str, ...], run: Run) -> None:
    assert plain_run(arguments, {}) == run


def test_the_environment_names_the_configuration() -> None:
    assert plain_run(("run",), {"ECO_CONFIG": "b"}) == Run("b")
    assert plain_run(("run", "--config", "a"), {"ECO_CONFIG": "b"}) == Run("a")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("status",),
        ("run", "--help"),
        ("run", "--config"),
        ("run", "--config="),
        ("run", "--config", "--help"),
        ("run", "--confg", "a"),
        ("run", "-c=a"),
        ("run", "--log-level", "loud"),
        ("run", "a"),
    ],
)
def test_whatever_is_not_beyond_doubt_is_left_to_the_parser(arguments: tuple[str, ...]) -> None:
    assert plain_run(arguments, {}) is None


@given(st.lists(st.sampled_from(["run", "-config", "--config", "--config=a", "-c", "a", "--help", "-log-level", ""])))
def test_normalising_twice_changes_nothing_more(arguments: list[str]) -> None:
    once = normalise(arguments)
    assert normalise(once) == once

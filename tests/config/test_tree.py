"""YAML text becomes plain values, or one problem that says where it is unreadable."""

from __future__ import annotations

import pytest

from eco.config.tree import DEEPEST, MOST, parse, shown
from eco.errors import ConfigError


def complaint(text: str) -> str:
    with pytest.raises(ConfigError) as raised:
        parse(text, "eco.yaml")
    (problem,) = raised.value.problems
    return str(problem)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", 1),
        ("a: -1", -1),
        ("a: true", True),
        ("a: FALSE", False),
        ("a: null", None),
        ("a:", None),
        ("a: ~", None),
        ('a: "1"', "1"),
        ("a: 'true'", "true"),
        ("a: 15s", "15s"),
        ("a: ${HOME}", "${HOME}"),
        ("a: [1, b, {c: d}]", [1, "b", {"c": "d"}]),
        ("a: {}", {}),
        ("a: |\n  x\n  y\n", "x\ny\n"),
    ],
)
def test_values_are_what_yaml_1_2_says(text: str, value: object) -> None:
    assert parse(text, "eco.yaml").root == {"a": value}


@pytest.mark.parametrize(
    "word",
    [
        "yes",
        "No",
        "on",
        "OFF",
        "y",
        "0755",
        "0o17",
        "0x10",
        "1_000",
        "12:30",
        "1e3",
        "1.5",
        ".inf",
        "2024-01-01",
        "=",
        "9" * 19,
    ],
)
def test_words_that_yaml_readers_disagree_about_stay_texts(word: str) -> None:
    assert parse(f"a: {word}", "eco.yaml").root == {"a": word}


@pytest.mark.parametrize(
    ("text", "where", "cure"),
    [
        ("a: [", "eco.yaml:2:1", "close every [ and {"),
        ("a: b\n\tc: d", "eco.yaml:2:1", "indent with spaces, never with tabs"),
        ("eco:\n  a: 1\n b: 2\n", "eco.yaml:3:2", "indent the keys of one mapping equally"),
        ("a: b: c", "eco.yaml:1:5", "put a value that contains a colon and a blank in quotes"),
        ("a: 'x", "eco.yaml:1:6", "close the quotes"),
        ("a: @x", "eco.yaml:1:4", "indent with spaces, and put a value that begins with @ or ` in quotes"),
        ("a: 1\n%b", "eco.yaml:2:3", "put a value that begins with % in quotes"),
    ],
)
def test_what_is_not_yaml_is_said_with_its_place_and_a_cure(text: str, where: str, cure: str) -> None:
    said = complaint(text)

    assert said.startswith(f"{where}: is not YAML: ")
    assert said.endswith(f"; {cure}")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\nb: \x07", "eco.yaml:2: a control character stands here, which YAML forbids; remove it"),
        ("a: &x 1\nb: *x", "eco.yaml:2: *x is an alias; write the value out"),
        ("a: !!str b", "eco.yaml:1: tag:yaml.org,2002:str is a tag; write the plain value"),
        ("a: !secret b", "eco.yaml:1: !secret is a tag; write the plain value"),
        ("a: 1\n---\nb: 2", "eco.yaml:2: a second document begins here; keep one, without ---"),
        ("a: {{ x }}", "eco.yaml:1: a key must be plain text; did a {{…}} template stay unfilled?"),
        ("? [a]\n: b", "eco.yaml:1: a key must be plain text; did a {{…}} template stay unfilled?"),
    ],
)
def test_what_yaml_allows_and_a_configuration_does_not_need_is_refused(text: str, sentence: str) -> None:
    assert complaint(text) == sentence


def test_a_bomb_of_aliases_is_refused_at_its_first_alias() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))

    assert complaint(bomb) == "eco.yaml:2: *a is an alias; write the value out"


@pytest.mark.parametrize("unit", ["[", "{a: ", "- ", "[{a: "])
def test_nesting_without_end_is_refused_at_once(unit: str) -> None:
    said = complaint(unit * (1 << 18))

    assert "nested more than" in said, "and that before the timeout: libyaml alone takes hours for this"


def test_nesting_and_number_are_bounded_but_not_tightly() -> None:
    assert parse("[" * DEEPEST + "]" * DEEPEST, "eco.yaml").root
    assert parse("- x\n" * (MOST - 1), "eco.yaml").root
    assert f"more than {MOST} values" in complaint("- x\n" * MOST)


def test_a_key_given_twice_is_a_problem_and_the_first_one_counts() -> None:
    document = parse("a:\n  b: 1\n  c: 2\n  b: {d: 3, d: 4}\n", "eco.yaml")

    assert document.root == {"a": {"b": 1, "c": 2}}
    assert [str(problem) for problem in document.problems] == [
        "a.b: is given twice, in lines 2 and 4; keep one",
        "a.b.d: is given twice, in lines 4 and 4; keep one",
    ]


def test_a_key_that_is_a_mapping_ends_the_reading_however_deep_it_goes() -> None:
    assert "a key must be plain text" in complaint("? " * (1 << 18))


def test_every_path_knows_its_line_and_a_missing_one_that_of_what_should_hold_it() -> None:
    document = parse("a:\n  b:\n    - c: 1\n      d: 2\n", "eco.yaml")

    assert document.line("a.b[0].d") == 4
    assert document.line("a.b[0].missing") == 3
    assert document.line("a.x.y") == 1
    assert document.line("z") == 0


def test_an_odd_key_cannot_pose_as_a_path() -> None:
    assert list(parse('"a[0]\\e": 1', "eco.yaml").lines) == ['"a[0]\\u001b"']


@pytest.mark.parametrize(
    ("value", "sight"),
    [
        (None, ""),
        (True, "true"),
        (3, "3"),
        ("x y", "x y"),
        ("", '""'),
        ("a\nb", '"a\\nb"'),
        ({"password": "s"}, "a mapping"),
        (["s"], "a list"),
    ],
)
def test_a_value_is_shown_on_one_line_and_mappings_not_at_all(value: object, sight: str) -> None:
    assert shown(value) == sight  # type: ignore[arg-type]

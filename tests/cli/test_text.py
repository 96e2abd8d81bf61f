from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eco.cli.text import printable, size


@given(st.text())
def test_nothing_unprintable_reaches_the_terminal(text: str) -> None:
    assert printable(text).isprintable()


@given(st.text())
def test_a_text_is_never_longer_than_was_asked(text: str) -> None:
    if text.isprintable():
        assert len(printable(text, 10)) <= 10


def test_a_colour_code_is_shown_not_obeyed() -> None:
    assert printable("\x1b[31mred\nline") == r"\x1b[31mred\nline"


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (20480, "20 kB"),
        (1_500_000, "1.5 MB"),
        (2 * 10**9, "2.0 GB"),
        (10**400, "1000.0 TB"),
    ],
)
def test_a_size_fits_a_narrow_column(count: int, shown: str) -> None:
    assert size(count) == shown

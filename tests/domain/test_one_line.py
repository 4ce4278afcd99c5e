"""A text from outside fills no log, and begins no line of its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.domain.one_line import LONGEST, one_line


@given(st.text(max_size=400))
def test_is_printable_and_bounded(text: str) -> None:
    """Whatever the text is; an escape has at most ten characters."""
    shown = one_line(text)

    assert shown.isprintable()
    assert len(shown) <= 10 * LONGEST + len("… (400 characters)")


def test_shows_a_usual_text_as_it_is() -> None:
    """Up to its longest length."""
    text = "é" * LONGEST

    assert (text, "a\\nb") == (one_line(text), one_line("a\nb"))


def test_says_that_it_is_cut() -> None:
    """And how long the text was; nothing after the cut is looked at."""
    assert f"{'a' * LONGEST}… ({LONGEST + 2} characters)" == one_line("a" * LONGEST + "\nb")

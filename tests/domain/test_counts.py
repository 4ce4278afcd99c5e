"""Numbers go with their nouns."""

from __future__ import annotations

from tokenauthority.domain.counts import counted


def test_one_is_no_plural() -> None:
    """None is, and a fraction; a large count has all its digits."""
    counts = (0, 1, 2, 1_234_567, 1.0, 0.5, 60.0)

    assert [
        "0 callers",
        "1 caller",
        "2 callers",
        "1234567 callers",
        "1 caller",
        "0.5 callers",
        "60 callers",
    ] == [counted(number, "caller") for number in counts]

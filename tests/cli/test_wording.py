"""Numbers go with their nouns."""

from __future__ import annotations

from tokenauthority.cli.wording import counted


def test_one_is_no_plural() -> None:
    """None is."""
    assert ["0 callers", "1 caller", "2 callers"] == [counted(number, "caller") for number in range(3)]

"""Numbers go with their nouns, and a misspelt name finds the one that was meant."""

from __future__ import annotations

from tokenauthority.cli.wording import counted, did_you_mean


def test_one_is_no_plural() -> None:
    """None is."""
    assert ["0 callers", "1 caller", "2 callers"] == [counted(number, "caller") for number in range(3)]


def test_asks_about_a_similar_name_only() -> None:
    """Capitals count for nothing."""
    assert "; did you mean 'Room-Service'?" == did_you_mean("room-servcie", ["admin", "Room-Service"])
    assert "" == did_you_mean("x", ["admin", "Room-Service"])
    assert "" == did_you_mean("x", [])

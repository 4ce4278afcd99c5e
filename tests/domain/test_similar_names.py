"""A misspelt name finds the one that was meant."""

from __future__ import annotations

from tokenauthority.domain.similar_names import did_you_mean


def test_asks_about_a_similar_name_only() -> None:
    """Capitals count for nothing."""
    assert "; did you mean 'Room-Service'?" == did_you_mean("room-servcie", ["admin", "Room-Service"])
    assert "" == did_you_mean("x", ["admin", "Room-Service"])
    assert "" == did_you_mean("x", [])

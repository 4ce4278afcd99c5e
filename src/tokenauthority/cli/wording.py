"""Say how many there are of something, and which name a misspelt one may stand for."""

from __future__ import annotations

import difflib

from collections.abc import Iterable


def counted(number: int, noun: str) -> str:
    """Return *number* with *noun*, such as `1 caller` or `2 callers`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question about the most similar *known* name, to append to an error; empty if none is similar."""
    by_lower = {each.lower(): each for each in known}
    similar = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"; did you mean {by_lower[similar[0]]!r}?" if similar else ""

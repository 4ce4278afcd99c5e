"""Find the name that a misspelt one may stand for."""

from __future__ import annotations

import difflib

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question about the most similar *known* name, to append to an error; empty if none is similar."""
    by_lower = {each.lower(): each for each in known}
    similar = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"; did you mean {by_lower[similar[0]]!r}?" if similar else ""

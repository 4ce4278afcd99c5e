"""Show a text that somebody else has chosen, such as an error of another server, in one line of bounded length."""

from __future__ import annotations

from typing import Final


LONGEST: Final = 300
"""Characters of such a text that are shown."""


def one_line(text: str, longest: int = LONGEST) -> str:
    """Return the first *longest* characters of *text*, those that are not printable as escapes, and whether it is cut.

    The cut comes first: it bounds what the rest costs.
    """
    shown = text[:longest]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
    return shown if len(text) <= longest else f"{shown}… ({len(text)} characters)"

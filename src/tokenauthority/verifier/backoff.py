"""How long to wait between attempts that fail: twice as long each time, up to a limit, and never all at once."""

from __future__ import annotations

import random

from typing import Final


FIRST: Final = 0.25
LONGEST: Final = 5.0
"""Seconds."""


class Backoff:
    """Counts the attempts that failed in a row."""

    def __init__(self) -> None:
        self._failures = 0

    def succeeded(self) -> None:
        """Begin anew."""
        self._failures = 0

    def pause(self) -> float:
        """Seconds until the next attempt, now that one failed: a random part, at least half, of a time that doubles."""
        longest = min(LONGEST, FIRST * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads the attempts of many, hides nothing

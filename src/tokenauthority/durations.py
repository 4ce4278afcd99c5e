"""Count durations in buckets, as plain numbers, which become a Prometheus histogram when they are read."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import Final


_BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
"""Upper bounds in seconds."""

_LABELS: Final = (*map(str, _BOUNDS), "+Inf")


class Durations:
    """How long things of one kind took. `seconds` is the sum."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._counts = [0] * len(_LABELS)

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.seconds += seconds
        self._counts[bisect_left(_BOUNDS, seconds)] += 1

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """The upper bounds, as Prometheus writes them, each with how many took at most so long."""
        return list(zip(_LABELS, accumulate(self._counts), strict=True))

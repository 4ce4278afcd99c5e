"""Notice that somebody has stepped the wall clock: report it, and delete nothing because of it for a day."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from prometheus_client import CollectorRegistry, Counter

from tokenauthority.clocks import monotonic as system_monotonic
from tokenauthority.domain.times import Millis


_STEP: Final = 2000
"""Milliseconds between two looks that are a step. A time service that slews the clock changes far less in a second."""

_SHOWN: Final = 600.0
"""Seconds for which a step is shown to operators."""

_DAY: Final = 86_400.0
"""Seconds. Deletions follow a clock that was set ahead for a whole one: it is then right, or nobody has missed it."""

_NOTABLE: Final = 60_000
"""Milliseconds by which deletions are late before operators are shown it."""


class ClockWatch:
    """Compares *clock*, the wall clock, with *monotonic*, which nobody sets. `look` is to be called every second."""

    def __init__(
        self,
        clock: Callable[[], Millis],
        registry: CollectorRegistry,
        monotonic: Callable[[], float] = system_monotonic,
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._offset = self._start = self._lowest = self._ahead()
        self._day_began = monotonic()
        self._step = 0
        self._stepped_at = float("-inf")
        self._steps = Counter("tokenauthority_clock_steps", "Steps of the wall clock, noticed.", registry=registry)
        self._logger = structlog.stdlib.get_logger(__name__)

    async def look(self) -> None:
        """Log and count a step since the last look, and believe what the clock was ahead by for a whole day."""
        offset = self._ahead()
        self._lowest = min(self._lowest, offset)
        if self._monotonic() - self._day_began >= _DAY:
            self._start, self._lowest, self._day_began = self._lowest, offset, self._monotonic()
        step, self._offset = offset - self._offset, offset
        if abs(step) >= _STEP:
            self._step, self._stepped_at = step, self._monotonic()
            self._steps.inc()
            self._logger.warning("clock.stepped", seconds=step / 1000)

    @property
    def problem(self) -> str:
        """The last step, for ten minutes after it, and how late deletions are because of steps; else empty."""
        found = []
        if self._monotonic() - self._stepped_at <= _SHOWN:
            found.append(
                f"somebody has set the clock by {self._step / 1000:+.0f} seconds; tokens may be refused meanwhile"
            )
        if self._late() >= _NOTABLE:
            found.append(
                f"what expires is deleted {self._late() / 1000:.0f} seconds late, until the clock that was set ahead "
                "has been so for one to two days"
            )
        return "; ".join(found)

    def cautious(self) -> Millis:
        """Return the time for deletions, which does not follow a step ahead until that has lasted for a whole day.

        A clock that is set too far ahead, and set right within a day, so deletes nothing that is needed afterwards. One
        that is set right by a step ahead has its deletions a day or two later.
        """
        return Millis(self._clock() - self._late())

    def _late(self) -> int:
        return max(0, self._ahead() - self._start)

    def _ahead(self) -> int:
        return self._clock() - round(self._monotonic() * 1000)

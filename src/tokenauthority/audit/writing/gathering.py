"""Let records that come together share a commit: those that are there wait some milliseconds for the others."""

from __future__ import annotations

import asyncio

from collections.abc import Callable
from typing import Final


_PAUSE: Final = 0.002
"""Seconds in which no record comes, after which those that wait are written."""

_LONGEST: Final = 0.010
"""Seconds for which they wait while others come."""

_LATE: Final = 0.001
"""A pause that ends so late says nothing: the event loop was busy, perhaps with calls whose records come."""


class Gathering:
    """Calls *write* after a pause in which the number of *waiting* records does not grow, or after the longest time."""

    def __init__(self, waiting: Callable[[], int], write: Callable[[], object]) -> None:
        self._waiting = waiting
        self._write = write
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Begin to wait, unless it is waiting."""
        if self._timer is None:
            self._pause(asyncio.get_running_loop().time() + _LONGEST)

    def end(self) -> None:
        """Stop waiting: the records are being written."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _pause(self, until: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + _PAUSE
        self._timer = loop.call_at(due, self._look, due, until, self._waiting())

    def _look(self, due: float, until: float, before: int) -> None:
        now = asyncio.get_running_loop().time()
        if now < until and (self._waiting() > before or now > due + _LATE):
            self._pause(until)
        else:
            self._timer = None
            self._write()

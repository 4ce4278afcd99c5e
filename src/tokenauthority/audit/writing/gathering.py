"""Let records that come together share a commit: those that are there wait some milliseconds for the others."""

from __future__ import annotations

import asyncio

from collections.abc import Callable
from time import thread_time
from typing import Final


_ENOUGH: Final = 32
"""Records that wait for no other: more of them in a commit make each cheaper by less than a hundredth of a call."""

_PAUSE: Final = 0.002
"""Seconds in which no record comes, after which those that wait are written."""

_BUSY: Final = 0.5
"""The share of a pause for which the event loop works, if it has more to do than it can do at once. Where it works for
less, and is not late, nothing that has come waits for it: the records that wait would wait for callers alone."""

_LATE: Final = 0.001
"""A pause that ends so late says nothing: the event loop was busy, perhaps with calls whose records come, or other
programs had the processor."""

_SILENCE: Final = 0.010
"""Seconds in which no record comes, after which they are written however busy the event loop is."""

_LONGEST: Final = 0.050
"""Seconds for which they wait while others come. Only on a machine that is slow or busy do they come so slowly."""

_RECENT: Final = 0.1
"""Seconds after a commit in which as many records are expected as there were at its end."""


class Gathering:
    """Calls *write* once enough of the expected records are *waiting*, or none comes for a pause, or time is up.

    A call can be on its way without a sign of it: gRPC passes on one at a time. But who has an answer often calls
    again, so as many records are expected as calls were in progress when the last commit ended.
    """

    def __init__(self, waiting: Callable[[], int], write: Callable[[], object]) -> None:
        self._waiting = waiting
        self._write = write
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0
        self._came = 0.0
        self._expected = 1
        self._recent_until = 0.0

    def add(self, *, more: bool) -> None:
        """Decide about the records that wait, after one has come; *more* says whether another is known to come."""
        waiting, now = self._waiting(), asyncio.get_running_loop().time()
        expected = waiting + 1 if more else self._expected if now < self._recent_until else 1
        self._came = now
        if waiting >= min(expected, _ENOUGH):
            self._write()
        elif self._timer is None:
            self._until = now + _LONGEST
            self._pause(now)

    def begin_commit(self) -> None:
        """Stop waiting: the records are being written."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end_commit(self, written: int) -> None:
        """Expect as many records as were *written*, and as came meanwhile."""
        self._expected = written + self._waiting()
        self._recent_until = asyncio.get_running_loop().time() + _RECENT

    def _pause(self, now: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(now + _PAUSE, self._look, now, self._waiting(), thread_time())

    def _look(self, began: float, before: int, worked_before: float) -> None:
        now = asyncio.get_running_loop().time()
        came, worked = self._waiting() > before, thread_time() - worked_before
        if now < self._until and _goes_on(now - began, worked, came=came, silence=now - self._came):
            self._pause(now)
        else:
            self._timer = None
            self._write()


def _goes_on(paused: float, worked: float, *, came: bool, silence: float) -> bool:
    """Return whether to wait for another pause after one of *paused* seconds, in which the loop worked for *worked*.

    *came* says whether a record came in the pause, and *silence* is the time since the last one.
    """
    if paused > _PAUSE + _LATE:
        return came or silence < _SILENCE
    return came and worked >= _BUSY * paused

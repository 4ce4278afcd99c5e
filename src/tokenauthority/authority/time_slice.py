"""Share the event loop: one turn of it has about 2 ms for the long work of all calls together.

However many calls have long work, the network and the timers wait for one share, at the most for two, and not for one
of each call. Calls go on in the order in which they began to wait.
"""

from __future__ import annotations

import asyncio

from itertools import islice
from time import perf_counter
from typing import Final
from weakref import WeakKeyDictionary


_SHARE: Final = 0.002
"""Seconds from the first long work of a turn until other tasks run."""

_AT_ONCE: Final = 8
"""The most calls that one turn wakes: the first one goes on, and the others if it leaves them time."""


class _Turns:
    """The calls of one event loop that wait to go on. It refers to the loop only while some wait."""

    def __init__(self) -> None:
        self._waiting: dict[object, asyncio.Future[None]] = {}
        self._end = 0.0
        self._turn_is_planned = False

    def end_of_new(self) -> float:
        """Return when a call that begins now has to let others run: at once if others wait."""
        return 0.0 if self._waiting else self._share()

    async def wait(self) -> float:
        """Wait for a turn that has time left; return when the call has to let others run again."""
        loop, place = asyncio.get_running_loop(), object()
        try:
            while True:
                # Its place in the order stays: a call that began to wait later must not pass it.
                self._waiting[place] = woken = loop.create_future()
                self._plan_turn(loop)
                await woken
                if not self._end or perf_counter() < self._end:
                    return self._share()
        finally:
            del self._waiting[place]

    def _share(self) -> float:
        """Return when the share of this turn ends; it begins with the first call that asks."""
        if not self._end:
            self._end = perf_counter() + _SHARE
            asyncio.get_running_loop().call_soon(self._end_share)
        return self._end

    def _end_share(self) -> None:
        self._end = 0.0

    def _plan_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._turn_is_planned:
            loop.call_soon(self._begin_turn, loop)
            self._turn_is_planned = True

    def _begin_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._turn_is_planned = False
        for woken in islice(self._waiting.values(), _AT_ONCE):
            if not woken.done():
                woken.set_result(None)
        if self._waiting:
            # Only here: the calls that are woken run before it, and so each turn goes on with some.
            self._plan_turn(loop)


_turns: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns]] = WeakKeyDictionary()


class TimeSlice:
    """The time that a call has on the event loop, for one task. `end` is when it is used up, as `perf_counter` counts.

    While other calls wait, the time of a new one is used up from the beginning.
    """

    def __init__(self) -> None:
        self._turns = _turns.setdefault(asyncio.get_running_loop(), _Turns())
        self.end = self._turns.end_of_new()

    async def next(self) -> None:
        """Let other tasks run, and go on in a turn that has time left."""
        self.end = await self._turns.wait()

    async def yield_if_due(self) -> None:
        """Let other tasks run, if the time is used up."""
        if perf_counter() > self.end:
            await self.next()

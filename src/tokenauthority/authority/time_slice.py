"""Share the event loop: one turn of it has 2 ms for the long work of all calls together.

However many calls have long work, the network and the timers wait for one share and not for one of each. Calls go on
in the order in which they came.
"""

from __future__ import annotations

import asyncio

from itertools import islice
from time import perf_counter
from typing import Final
from weakref import WeakKeyDictionary


_SHARE: Final = 0.002
"""Seconds of long work before other tasks may run."""

_AT_ONCE: Final = 8
"""Calls that are woken for one turn: the first one goes on, and the others if it leaves them time."""


class _Turns:
    """The calls of one event loop that wait to go on. It does not refer to the loop, which would live on with it."""

    def __init__(self) -> None:
        self._waiting: dict[TimeSlice, asyncio.Future[None]] = {}
        self._end = 0.0
        self._will_turn = False

    def end_of_new(self) -> float:
        """Return when a call that begins now has to stop: at its first chance where others wait."""
        return 0.0 if self._waiting else self._share()

    async def wait(self, call: TimeSlice) -> float:
        """Wait for a turn of the event loop that has time for *call*; return when it has to stop."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                # Its place in the order stays: a call that began later must not pass it.
                self._waiting[call] = woken = loop.create_future()
                self._turn_later()
                await woken
                if not self._end or perf_counter() < self._end:
                    return self._share()
        finally:
            del self._waiting[call]
            self._turn_later()

    def _share(self) -> float:
        """Return when the share of this turn ends; it begins with the first call that asks."""
        if not self._end:
            self._end = perf_counter() + _SHARE
            self._turn_later()
        return self._end

    def _turn_later(self) -> None:
        if not self._will_turn:
            self._will_turn = True
            asyncio.get_running_loop().call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        self._will_turn, self._end = False, 0.0
        for woken in islice(self._waiting.values(), _AT_ONCE):
            if not woken.done():
                woken.set_result(None)


_turns: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns]] = WeakKeyDictionary()


class TimeSlice:
    """What one call has of the event loop. `end` is when it has to let others run, on the clock of `perf_counter`."""

    def __init__(self) -> None:
        self._turns = _turns.setdefault(asyncio.get_running_loop(), _Turns())
        self.end = self._turns.end_of_new()

    async def next(self) -> None:
        """Let other tasks run, and go on in a turn that has time."""
        self.end = await self._turns.wait(self)

    async def yield_if_due(self) -> None:
        """Let other tasks run, if the share is used up."""
        if perf_counter() > self.end:
            await self.next()

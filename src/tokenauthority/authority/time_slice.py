"""Share the event loop: long work of one call lets other tasks run every few milliseconds.

However many calls have long work, one turn of the event loop goes on with one of them. If each went on in every turn, a
turn would last as long as all their slices, and the network and the timers would wait for all of them.
"""

from __future__ import annotations

import asyncio

from collections import deque
from time import perf_counter
from typing import Final
from weakref import WeakKeyDictionary


_SLICE: Final = 0.002
"""Seconds for which one call may hold the event loop before other tasks may run."""


class _Queue:
    """The calls of one event loop that wait to go on. It does not refer to the loop, which would live on with it."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self) -> None:
        """Wait for a turn of the event loop in which this call alone goes on."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._let_one_go_on)
        self._waiting.append(turn)
        await turn

    def _let_one_go_on(self) -> None:
        turn = self._waiting.popleft()
        if not turn.done():
            turn.set_result(None)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._let_one_go_on)


_queues: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Queue]] = WeakKeyDictionary()


class TimeSlice:
    """A share of the event loop, after which other tasks run. While others wait, it is over at the first chance.

    `end` is when it is used up, on the clock of `perf_counter`.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._queue = _queues.setdefault(loop, _Queue())
        self.end = 0.0 if self._queue else perf_counter() + _SLICE

    async def next(self) -> None:
        """Let other tasks run, and begin another share."""
        await self._queue.wait()
        self.end = perf_counter() + _SLICE

    async def yield_if_due(self) -> None:
        """Let other tasks run, if the share is used up."""
        if perf_counter() > self.end:
            await self.next()

"""End calls whose deadline passes. One timer looks at all: a timer for each would cost more than all its checks."""

from __future__ import annotations

import asyncio

from collections.abc import Awaitable
from contextvars import Context
from typing import Final, TypeVar, cast


T = TypeVar("T")

_INTERVAL: Final = 0.05
"""Seconds by which a call may outlive its deadline."""


class DeadlinePassedError(Exception):
    """The server's own bound passed; a TimeoutError could also come from a bug."""


class Deadlines:
    """The calls that are in progress, and when each has to end, on the clock of the event loop."""

    def __init__(self) -> None:
        self._running: dict[asyncio.Task[object], float] = {}
        self._passed: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def within(self, deadline: float, work: Awaitable[T]) -> T:
        """Return what *work* answers; cancel it and raise DeadlinePassedError once *deadline* has passed.

        As `asyncio.timeout_at` does, it leaves every other cancellation of the task as it is.
        """
        loop, task = asyncio.get_running_loop(), cast("asyncio.Task[object]", asyncio.current_task())
        before = task.cancelling()
        self._running[task] = deadline
        if self._timer is None:
            self._look_later(loop)
        try:
            return await work
        except asyncio.CancelledError as error:
            if task in self._passed and task.cancelling() - 1 <= before:
                raise DeadlinePassedError from error
            raise
        finally:
            del self._running[task]
            if task in self._passed:
                self._passed.remove(task)
                task.uncancel()

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        # Without the context of the call that begins now: the timer would refer to it.
        self._timer = loop.call_later(_INTERVAL, self._look, loop, context=Context())

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task, deadline in self._running.items():
            if deadline <= now and task not in self._passed:
                self._passed.add(task)
                task.cancel()
        self._timer = None
        if self._running:
            self._look_later(loop)

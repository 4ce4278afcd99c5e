"""Threads for blocking work, with a bound on what waits and on how long: one hop for each unit of work."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from tokenauthority.domain.errors import UnavailableError


if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenauthority.storage.database import StoreLimits


T = TypeVar("T")


class StoreThreads:
    """Runs units of work on *threads* threads, in the order in which they came."""

    def __init__(self, name: str, threads: int, limits: StoreLimits) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._taken: set[Future[Any]] = set()
        self._slots = threading.BoundedSemaphore(limits.max_waiting)
        self._limits = limits

    async def run(self, work: Callable[[], T]) -> T:
        """What *work* answers, run in a thread with the context variables of its caller.

        Work whose caller gives up while it waits is not begun; work that is begun goes on to its end.

        Raises:
            UnavailableError: too much waits already, it took too long, or the worker is closed.
        """
        if not self._slots.acquire(blocking=False):
            raise UnavailableError.store() from queue.Full(f"{self._limits.max_waiting} units of work wait already")
        try:
            future = self._executor.submit(contextvars.copy_context().run, work)
        except RuntimeError as closed:
            self._slots.release()
            raise UnavailableError.store() from closed
        self._taken.add(future)
        # Not when the caller gives up: the thread is taken until the work itself ends.
        future.add_done_callback(self._ended)
        try:
            async with asyncio.timeout(self._limits.unit_timeout):
                return await asyncio.wrap_future(future)
        except TimeoutError as late:
            raise UnavailableError.store() from late

    async def close(self) -> bool:
        """Take no more work, and wait for what was taken, no longer than its callers do; whether all of it ended."""
        self._executor.shutdown(wait=False)
        taken = [asyncio.wrap_future(future) for future in tuple(self._taken)]
        if not taken:
            return True
        _, still = await asyncio.wait(taken, timeout=self._limits.unit_timeout)
        return not still

    def _ended(self, future: Future[Any]) -> None:
        self._taken.discard(future)
        self._slots.release()

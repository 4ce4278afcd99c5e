"""One thread that does blocking work for an event loop, piece by piece; a disk that hangs holds up nobody's exit."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading

from collections.abc import Callable
from typing import TypeVar

from tokenauthority.threads import attempted


T = TypeVar("T")


class AuditThread:
    """Runs what it is given, in that order. A daemon thread: the process can end while it waits for a disk."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """What *work* answers or raises, once it has run on the thread."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(outcome: Callable[[asyncio.Future[T]], None]) -> None:
            if not future.done():
                outcome(future)

        def job() -> None:
            outcome = attempted(work)
            # The loop may be gone where it did not wait for a disk that hung.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, outcome)

        self._jobs.put(job)
        return future

    def stop(self) -> None:
        """End the thread after what it was given. Does not wait."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

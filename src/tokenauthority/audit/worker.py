"""One thread that does blocking work for an event loop, piece by piece; a disk that hangs holds up nobody's exit."""

from __future__ import annotations

import asyncio
import queue
import threading

from collections.abc import Callable
from typing import TypeVar

from tokenauthority.threads import promised


T = TypeVar("T")


class Worker:
    """Runs what it is given, in that order. A daemon thread: the process can end while it waits for a disk."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """What *work* answers or raises, once it has run on the thread."""
        future, job = promised(work)
        self._jobs.put(job)
        return asyncio.wrap_future(future)

    def stop(self) -> None:
        """End the thread after what it was given. Does not wait."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

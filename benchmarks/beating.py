"""`tokenauthority` with a heartbeat beside it: how long its event loop stands still, and its garbage collections last.

SIGUSR2 begins and ends the heartbeat, which costs nothing in between. At the end a line of JSON is added to a file.
SIGUSR1 is the server's own.

    python -m benchmarks.beating pauses.log serve --dev
"""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sys
import time

from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvloop

from tokenauthority.cli import main


if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


_BEAT: Final = 0.001
"""Seconds from one look at the clock to the next."""


class Heartbeat:
    """Looks at the clocks every millisecond: what it comes too late by, the event loop stood still."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._timer: asyncio.TimerHandle | None = None
        self._last = self._last_cpu = self._collection_began = 0.0
        self._pause = self._busy = self._collection = 0.0

    def toggle(self) -> None:
        """Begin, or end and write the longest of each in milliseconds."""
        if self._timer is None:
            self._pause = self._busy = self._collection = 0.0
            gc.callbacks.append(self._collected)
            self._next()
            return
        self._timer.cancel()
        self._timer = None
        gc.callbacks.remove(self._collected)
        found = {"pause": self._pause, "busy": self._busy, "collection": self._collection}
        with self._log.open("a", encoding="ascii") as log:
            log.write(json.dumps({name: seconds * 1000 for name, seconds in found.items()}) + "\n")

    def _beat(self) -> None:
        # By the thread's own clock too: the system may have given the processor to another process.
        self._busy = max(self._busy, time.thread_time() - self._last_cpu)
        self._pause = max(self._pause, time.monotonic() - self._last - _BEAT)
        self._next()

    def _next(self) -> None:
        self._last, self._last_cpu = time.monotonic(), time.thread_time()
        self._timer = asyncio.get_running_loop().call_later(_BEAT, self._beat)

    def _collected(self, phase: str, _info: dict[str, int]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._collection_began = now
        else:
            self._collection = max(self._collection, now - self._collection_began)


def _with(heartbeat: Heartbeat) -> Callable[[Coroutine[object, object, object]], object]:
    run = uvloop.run

    async def beside(serving: Coroutine[object, object, object]) -> object:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, heartbeat.toggle)
        return await serving

    return lambda serving: run(beside(serving))


if __name__ == "__main__":
    # What the server's own main runs its event loop with.
    setattr(uvloop, "run", _with(Heartbeat(Path(sys.argv.pop(1)))))  # noqa: B010 - the type of uvloop's own has options that the server does not use
    main()

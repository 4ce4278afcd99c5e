"""Run everything that goes on beside the RPCs: what fails is logged, counted and restarted, or ends the server."""

from __future__ import annotations

import asyncio

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Final

import attrs
import structlog

from prometheus_client import CollectorRegistry, Counter

from tokenauthority.outage import Outage


_FIRST_BACKOFF: Final = 1.0
_LONGEST_BACKOFF: Final = 30.0
"""Seconds before a failed task is started again: the first, doubled at each further failure, at most the longest."""

_STABLE: Final = 60.0
"""Seconds after which a task that runs until it is cancelled has recovered from its last failure."""


class BackgroundError(Exception):
    """A task that the server cannot do without has failed; the message names the task, the cause is its error."""


class _ReturnedError(Exception):
    """A task that has to run until it is cancelled has returned."""


@attrs.frozen(kw_only=True)
class BackgroundTask:
    """A declaration: what to run under which *name*, when, and what its failure means.

    With an `interval` in seconds, `work` is one turn: it runs at once (or first after the interval, if `delayed`), then
    again whenever the interval is over or `wake` is set. Without one, `work` runs until it is cancelled, and to return
    is a failure. After a failure `work` starts again when `wake` is set, or after a pause that grows to
    `longest_backoff` seconds; the failure of a `fatal` task ends the server. `event` is what the log calls a failure.
    """

    name: str
    work: Callable[[], Awaitable[object]]
    interval: float | Callable[[], float] | None = None
    wake: asyncio.Event = attrs.field(factory=asyncio.Event)
    delayed: bool = False
    fatal: bool = False
    longest_backoff: float = _LONGEST_BACKOFF
    event: str = "background.failed"

    async def run_once(self) -> None:
        """Run `work` to its end; whatever is raised is a failure."""
        await self.work()
        if self.interval is None:
            raise _ReturnedError(f"{self.name} has ended by itself")

    async def next_turn(self) -> None:
        """Return when the interval is over or `wake` is set."""
        await _wait(self.wake, self.interval() if callable(self.interval) else self.interval)


class Background:
    """Supervises the tasks of one server. Failures are counted in `tokenauthority_background_failures_total`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._failures = Counter(
            "tokenauthority_background_failures",
            "Failures of the tasks that run beside the RPCs.",
            ("task",),
            registry=registry,
        )
        self._logger = structlog.stdlib.get_logger(__name__)
        self._fatal: tuple[str, BaseException] | None = None

    @asynccontextmanager
    async def running(self, tasks: Iterable[BackgroundTask], on_fatal: Callable[[], None]) -> AsyncIterator[None]:
        """Run *tasks* while the block runs, then cancel them and wait for their end.

        *on_fatal* is called when a fatal task has failed: it has to end the block, which then raises BackgroundError.
        The other tasks go on until then.
        """
        supervisor = asyncio.create_task(self._supervise_all(tuple(tasks), on_fatal), name="background")
        try:
            yield
        finally:
            supervisor.cancel()
            await asyncio.wait((supervisor,))
        if not supervisor.cancelled():
            # A bug of the supervision itself.
            supervisor.result()
        if self._fatal is not None:
            name, error = self._fatal
            raise BackgroundError(f"the background task {name} has failed") from error

    async def _supervise_all(self, tasks: Iterable[BackgroundTask], on_fatal: Callable[[], None]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for task in tasks:
                    self._failures.labels(task.name)
                    group.create_task(self._supervise(task, on_fatal), name=task.name)
                # The group ends by cancellation alone, also if all tasks were fatal and have failed.
                await asyncio.Event().wait()
        except Exception:
            on_fatal()
            raise

    async def _supervise(self, task: BackgroundTask, on_fatal: Callable[[], None]) -> None:
        outage = Outage(self._logger, task.event, recovered="background.recovered")
        loop, backoff = asyncio.get_running_loop(), _FIRST_BACKOFF
        if task.delayed:
            await task.next_turn()
        while True:
            began = loop.time()
            task.wake.clear()
            try:
                await task.run_once()
            except (Exception, asyncio.CancelledError) as error:
                stopping = _is_cancelled()
                if stopping and isinstance(error, asyncio.CancelledError):
                    raise
                if task.interval is None and loop.time() - began > _STABLE:
                    outage.recover(task=task.name)
                    backoff = _FIRST_BACKOFF
                self._failures.labels(task.name).inc()
                outage.report(f"{type(error).__name__}: {error}", error=error, task=task.name)
                if stopping:
                    return
                if task.fatal:
                    self._fatal = self._fatal or (task.name, error)
                    on_fatal()
                    return
                await _wait(task.wake, min(backoff, task.longest_backoff))
                backoff *= 2
            else:
                outage.recover(task=task.name)
                backoff = _FIRST_BACKOFF
                await task.next_turn()


async def _wait(wake: asyncio.Event, seconds: float | None) -> None:
    """Return when *wake* is set, at the latest after so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wake.wait()


def _is_cancelled() -> bool:
    """Return whether this task was cancelled, and not only what it waits for."""
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0

"""Run blocking work for an event loop on a bounded pool of threads that keep no process from ending."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
import weakref

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

import attrs

from tokenauthority.domain.counts import counted


T = TypeVar("T")


class PoolError(Exception):
    """The pool has no answer of the work; the message says why."""


class PoolTimeoutError(PoolError):
    """The work is not done in time. `begun` says whether it goes on, or is never begun."""

    def __init__(self, seconds: float, *, begun: bool) -> None:
        super().__init__(f"not {'done' if begun else 'begun'} after {counted(seconds, 'second')}")
        self.begun = begun


@attrs.define(eq=False)
class _Job(Generic[T]):
    work: Callable[[], T]
    answer: asyncio.Future[T]
    """What the caller awaits: the outcome, the caller's cancellation, or the end of its patience."""
    late: Callable[[T], object] | None
    settle: Callable[[_Job[T], T, BaseException | None], None]
    claim: threading.Lock = attrs.Factory(threading.Lock)
    """Acquired once: by the thread that runs the work, or by the caller who gives up, and then no thread runs it."""


_Queue = queue.SimpleQueue[_Job[Any] | None]


class BlockingPool:
    """At most *threads* daemon threads called *name*, begun when they are needed, for one event loop.

    Work begins in the order in which it was given, so one thread keeps it in order. At most *max_pending* units of work
    are begun or wait; None leaves that bound to the callers. Work that is begun goes on to its end and keeps its place,
    whether or not its caller still waits; work whose caller gave up before is never begun.
    """

    def __init__(self, name: str, *, threads: int = 1, max_pending: int | None = None) -> None:
        self._name = name
        self._max_threads = threads
        self._max_pending = max_pending
        self._queue: _Queue = queue.SimpleQueue()
        self._threads = 0
        self._pending: set[_Job[Any]] = set()
        self._abandoned = 0
        self._closed = False
        self._drained = asyncio.Event()
        # Threads hold the queue and not the pool: they end with it, also where nobody closes it.
        weakref.finalize(self, _end_threads, self._queue, threads).atexit = False

    async def run(
        self, work: Callable[[], T], *, patience: float | None = None, late: Callable[[T], object] | None = None
    ) -> T:
        """Return what *work* answers, or raise what it raises. It sees the context variables of its caller.

        *patience* is in seconds, with the wait for a thread. An answer that comes when its caller has given up goes to
        *late*, on a thread.

        Raises:
            PoolTimeoutError: there is no answer in time.
            PoolError: too much is pending, the pool is closed, or the system allows no thread.
        """
        loop = asyncio.get_running_loop()
        in_context = partial(contextvars.copy_context().run, work)
        job: _Job[T] = _Job(in_context, loop.create_future(), late, self._settle)
        self._add(job)
        timer = None if patience is None else loop.call_later(patience, self._expire, job, patience)
        try:
            return await job.answer
        except asyncio.CancelledError:
            if job.answer.cancelled():
                self._give_up(job)
            elif job.answer.exception() is None:
                # It came while its caller left.
                _hand_over(late, job.answer.result())
            raise
        finally:
            if timer is not None:
                timer.cancel()
            # Its answer refers to the error that it ends with, and the traceback of that to this frame.
            del job

    async def close(self, patience: float = 0) -> bool:
        """Take no more work; return whether all that was taken has ended, after at most *patience* seconds."""
        if not self._closed:
            self._closed = True
            _end_threads(self._queue, self._threads)
        if self._pending and patience:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._drained.wait()
        return not self._pending

    def _add(self, job: _Job[T]) -> None:
        if self._closed:
            raise PoolError("the pool is closed")
        if self._max_pending is not None and len(self._pending) >= self._max_pending:
            raise PoolError(f"{self._max_pending} units of work are pending")
        if len(self._pending) >= self._threads < self._max_threads:
            try:
                threading.Thread(target=_run_jobs, args=(self._queue,), name=self._name, daemon=True).start()
            except RuntimeError as error:
                if not self._threads:
                    raise PoolError("the system allows no more threads") from error
            else:
                self._threads += 1
        self._pending.add(job)
        self._queue.put(job)

    def _give_up(self, job: _Job[T]) -> bool:
        """Return whether the work was begun; if not, it never will be."""
        begun = not job.claim.acquire(blocking=False)
        if not begun:
            self._remove(job)
            self._abandoned += 1
            if self._abandoned > len(self._pending) and not self._closed:
                self._drop_abandoned()
        return begun

    def _drop_abandoned(self) -> None:
        """Delete abandoned work from the queue: no thread does that while all of them hang."""
        queued = []
        with suppress(queue.Empty):
            while True:
                queued.append(self._queue.get_nowait())
        for job in queued:
            if job in self._pending:
                self._queue.put(job)
        self._abandoned = 0

    def _expire(self, job: _Job[T], seconds: float) -> None:
        if not job.answer.done():
            job.answer.set_exception(PoolTimeoutError(seconds, begun=self._give_up(job)))

    def _settle(self, job: _Job[T], result: T, error: BaseException | None) -> None:
        self._remove(job)
        if job.answer.done():
            if error is None:
                _hand_over(job.late, result)
        elif error is None:
            job.answer.set_result(result)
        else:
            job.answer.set_exception(error)

    def _remove(self, job: _Job[T]) -> None:
        self._pending.discard(job)
        if self._closed and not self._pending:
            self._drained.set()


def _run_jobs(jobs: _Queue) -> None:
    while (job := jobs.get()) is not None:
        if job.claim.acquire(blocking=False):
            result, problem = None, None
            try:
                result = job.work()
            except BaseException as error:  # noqa: BLE001 - the caller gets it; raised here, it would end the thread in silence
                # No future takes a StopIteration.
                problem = RuntimeError(repr(error)) if isinstance(error, StopIteration) else error
            with suppress(RuntimeError):
                # The loop is closed where it did not wait for work that hung.
                job.answer.get_loop().call_soon_threadsafe(job.settle, job, result, problem)
            del result, problem
        # While the thread waits it must keep alive neither the work nor the pool.
        del job


def _hand_over(late: Callable[[T], object] | None, answer: T) -> None:
    if late is not None:
        with suppress(RuntimeError):
            # At the system's limit of threads there is nobody to give it to.
            threading.Thread(target=late, args=(answer,), name="late-answer", daemon=True).start()


def _end_threads(jobs: _Queue, threads: int) -> None:
    for _ in range(threads):
        jobs.put(None)

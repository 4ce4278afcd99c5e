"""Nothing that runs beside the RPCs ends in silence: failures are logged, counted and restarted, or end the server."""

from __future__ import annotations

import asyncio
import contextlib

from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest

from prometheus_client import CollectorRegistry

from tests.support.authority import WAIT
from tests.support.logs import capture_logs
from tokenauthority.server import background as background_module
from tokenauthority.server.background import Background, BackgroundError, BackgroundTask


LONG = 10 * WAIT
"""Seconds between two turns that no test waits for."""


class Work:
    """Work that follows a script: an exception is raised, None returns, and after the last step it waits."""

    def __init__(self, *script: BaseException | None) -> None:
        self._script = list(script)
        self.turns = 0
        self.over = asyncio.Event()
        self.cancelled = False

    async def __call__(self) -> None:
        """Take the next step."""
        self.turns += 1
        if not self._script:
            self.over.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        step = self._script.pop(0)
        if step is not None:
            raise step

    async def done(self) -> None:
        """Return when every step of the script was taken."""
        await asyncio.wait_for(self.over.wait(), WAIT)


@pytest.fixture
def registry() -> CollectorRegistry:
    """Where the failures are counted."""
    return CollectorRegistry()


@contextlib.asynccontextmanager
async def running(registry: CollectorRegistry, *tasks: BackgroundTask) -> AsyncIterator[list[MutableMapping[str, Any]]]:
    """Run *tasks* while the block runs; what is logged."""
    with capture_logs() as logs:
        async with Background(registry).running(tasks, on_fatal=lambda: None):
            yield logs


def failures(registry: CollectorRegistry, task: str) -> float | None:
    """How many failures were counted."""
    return registry.get_sample_value("tokenauthority_background_failures_total", {"task": task})


@pytest.mark.parametrize("interval", [0.0, None], ids=["periodic", "long-running"])
async def test_logs_counts_and_restarts_what_fails(registry: CollectorRegistry, interval: float | None) -> None:
    """With the task's name and the traceback, once for all failures of one cause."""
    error = ZeroDivisionError("x")
    work = Work(error, ZeroDivisionError("x"), LookupError("y"))
    task = BackgroundTask(name="it", work=work, interval=interval, longest_backoff=0)
    async with running(registry, task) as logs:
        await work.done()

    assert [("background.failed", "error", "it")] * 2 == [
        (line["event"], line["log_level"], line["task"]) for line in logs
    ]
    assert error is logs[0]["exc_info"]
    assert isinstance(logs[1]["exc_info"], LookupError)
    assert 3 == failures(registry, "it")


async def test_logs_the_recovery_once(registry: CollectorRegistry) -> None:
    """And the next failure again, under the name that the task has for it."""
    work = Work(ZeroDivisionError("x"), None, None, ZeroDivisionError("x"), None)
    task = BackgroundTask(name="it", work=work, interval=0, longest_backoff=0, event="it.failed")
    async with running(registry, task) as logs:
        await work.done()

    assert ["it.failed", "background.recovered", "it.failed", "background.recovered"] == [
        line["event"] for line in logs
    ]


async def test_what_runs_until_it_is_cancelled_recovers_by_running(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some time, so that its next failure is reported as a new one."""
    monkeypatch.setattr(background_module, "_STABLE", -1.0)
    work = Work(ZeroDivisionError("x"), ZeroDivisionError("x"))
    async with running(registry, BackgroundTask(name="it", work=work, longest_backoff=0)) as logs:
        await work.done()

    assert ["background.failed", "background.recovered", "background.failed"] == [line["event"] for line in logs]


async def test_to_return_is_a_failure_of_what_runs_until_it_is_cancelled(registry: CollectorRegistry) -> None:
    """It is restarted as any other."""
    work = Work(None)
    async with running(registry, BackgroundTask(name="it", work=work, longest_backoff=0)) as logs:
        await work.done()

    assert ["it has ended by itself"] == [str(line["exc_info"]) for line in logs]
    assert 1 == failures(registry, "it")


async def test_a_cancellation_that_nobody_asked_for_is_a_failure(registry: CollectorRegistry) -> None:
    """Such as that of something the work waits for: the task would else be gone without a word."""
    work = Work(asyncio.CancelledError())
    async with running(registry, BackgroundTask(name="it", work=work, interval=0, longest_backoff=0)) as logs:
        await work.done()

    assert ["background.failed"] == [line["event"] for line in logs]
    assert 1 == failures(registry, "it")


async def test_a_failure_of_one_task_leaves_the_others_alone(registry: CollectorRegistry) -> None:
    """They go on until the stop."""
    failing, other = Work(ZeroDivisionError()), Work()
    tasks = (
        BackgroundTask(name="failing", work=failing, interval=0, longest_backoff=0),
        BackgroundTask(name="other", work=other, interval=0),
    )
    async with running(registry, *tasks):
        await failing.done()
        await other.done()
        cancelled_early = other.cancelled

    assert not cancelled_early
    assert other.cancelled
    assert (1, 0) == (failures(registry, "failing"), failures(registry, "other"))


async def test_the_pause_before_a_restart_grows_to_its_bound(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is short again after a success."""
    pauses: list[float | None] = []
    real_wait = background_module._wait

    async def wait(wake: asyncio.Event, seconds: float | None) -> None:
        # A server that another test runs in this process has background tasks too.
        current = asyncio.current_task()
        if current is None or current.get_name() != "it":
            return await real_wait(wake, seconds)
        pauses.append(seconds)
        return None

    monkeypatch.setattr(background_module, "_wait", wait)
    error = ZeroDivisionError()
    work = Work(error, error, error, error, None, error)
    async with running(registry, BackgroundTask(name="it", work=work, interval=600, longest_backoff=5)):
        await work.done()

    assert [1, 2, 4, 5, 600, 1] == pauses


@pytest.mark.parametrize("script", [(ZeroDivisionError("x"),), (None,)], ids=["failing", "returning"])
async def test_a_fatal_failure_ends_the_server(
    registry: CollectorRegistry, script: tuple[BaseException | None, ...]
) -> None:
    """It is logged, the server is asked to stop, and its end is an error; other tasks go on until then."""
    stop, other, cancelled_early = asyncio.Event(), Work(), list[bool]()

    async def serve() -> None:
        tasks = (
            BackgroundTask(name="it", work=Work(*script), fatal=True),
            BackgroundTask(name="other", work=other, interval=0),
        )
        async with Background(registry).running(tasks, stop.set):
            await asyncio.wait_for(stop.wait(), WAIT)
            await other.done()
            cancelled_early.append(other.cancelled)

    with capture_logs() as logs, pytest.raises(BackgroundError, match="background task it has failed") as caught:
        await serve()

    assert [False] == cancelled_early
    assert ["background.failed"] == [line["event"] for line in logs]
    assert caught.value.__cause__ is logs[0]["exc_info"]
    assert 1 == failures(registry, "it")


async def test_a_stop_is_clean(registry: CollectorRegistry) -> None:
    """What runs is cancelled and has ended when the block has; nothing is logged or counted."""
    work, waiting = Work(), Work(None)
    tasks = (
        BackgroundTask(name="running", work=work),
        BackgroundTask(name="waiting", work=waiting, interval=LONG),
        BackgroundTask(name="delayed", work=Work(ZeroDivisionError()), interval=LONG, delayed=True),
    )
    async with running(registry, *tasks) as logs:
        await work.done()

    assert work.cancelled
    assert 1 == waiting.turns
    assert [] == logs
    assert [0, 0, 0] == [failures(registry, task.name) for task in tasks]


async def test_a_failure_at_the_stop_is_logged(registry: CollectorRegistry) -> None:
    """As any other; the stop goes on, and nothing is restarted."""
    begun, turns = asyncio.Event(), []

    async def stubborn() -> None:
        turns.append(1)
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError

    async with running(registry, BackgroundTask(name="it", work=stubborn, longest_backoff=0)) as logs:
        await asyncio.wait_for(begun.wait(), WAIT)

    assert [("background.failed", "it")] == [(line["event"], line["task"]) for line in logs]
    assert ([1], 1) == (turns, failures(registry, "it"))


async def test_an_error_of_the_server_is_not_hidden(registry: CollectorRegistry) -> None:
    """The tasks are stopped, and the error is what whoever runs the server gets."""
    work = Work()

    async def serve() -> None:
        async with running(registry, BackgroundTask(name="it", work=work)):
            await work.done()
            raise OSError("port")

    with pytest.raises(OSError, match="port"):
        await serve()

    assert work.cancelled


async def test_a_turn_comes_at_once_when_it_is_woken(registry: CollectorRegistry) -> None:
    """Also when the wake-up came during the turn before."""
    wake, turned = asyncio.Event(), asyncio.Semaphore(0)
    during = iter([False, True])

    async def turn() -> None:
        turned.release()
        if next(during, False):
            wake.set()

    async with running(registry, BackgroundTask(name="it", work=turn, interval=LONG, wake=wake)):
        await asyncio.wait_for(turned.acquire(), WAIT)
        wake.set()
        # The second one is woken from here, the third one by the second.
        for _ in range(2):
            await asyncio.wait_for(turned.acquire(), WAIT)

    assert not list(during)


async def test_a_failed_task_is_restarted_at_once_when_it_is_woken(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when an operator has mended what failed."""
    wake, turned, recovered = asyncio.Event(), asyncio.Event(), asyncio.Event()
    monkeypatch.setattr(background_module, "_FIRST_BACKOFF", LONG)

    async def turn() -> None:
        if turned.is_set():
            recovered.set()
        else:
            turned.set()
            raise ZeroDivisionError

    task = BackgroundTask(name="it", work=turn, interval=LONG, wake=wake, longest_backoff=LONG)
    async with running(registry, task):
        await asyncio.wait_for(turned.wait(), WAIT)
        wake.set()
        await asyncio.wait_for(recovered.wait(), WAIT)

    assert 1 == failures(registry, "it")


async def test_the_interval_may_be_another_after_each_turn(registry: CollectorRegistry) -> None:
    """It is asked for then."""
    intervals = iter([0.0, 0.0, LONG])
    turns, enough = [], asyncio.Event()

    async def turn() -> None:
        turns.append(1)
        if len(turns) == 3:
            enough.set()

    async with running(registry, BackgroundTask(name="it", work=turn, interval=lambda: next(intervals))):
        await asyncio.wait_for(enough.wait(), WAIT)

    assert 3 == len(turns)

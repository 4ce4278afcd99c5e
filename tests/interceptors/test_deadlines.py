"""A call ends at its deadline, and every other end of it is its own."""

from __future__ import annotations

import asyncio
import gc
import weakref

from contextvars import ContextVar

import pytest

from tokenauthority.interceptors import deadlines as deadlines_module
from tokenauthority.interceptors.deadlines import DeadlinePassedError, Deadlines


WAIT = 20.0
FAR = 3600.0


def after(seconds: float) -> float:
    """A moment on the clock of the event loop."""
    return asyncio.get_running_loop().time() + seconds


async def forever() -> str:
    """Work without an end."""
    never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    return await never


async def failing(error: BaseException) -> str:
    """Work that fails once other tasks have run."""
    await asyncio.sleep(0)
    raise error


async def test_work_ends_at_its_deadline() -> None:
    """Also if another one has more time, and nothing of it stays."""
    deadlines = Deadlines()
    other = asyncio.ensure_future(deadlines.within(after(FAR), forever()))
    async with asyncio.timeout(WAIT):
        with pytest.raises(DeadlinePassedError):
            await deadlines.within(after(0.01), forever())
        with pytest.raises(DeadlinePassedError):
            await deadlines.within(after(-1), forever())
        task = asyncio.current_task()

        assert (False, 0) == (other.done(), task.cancelling() if task else None)
        other.cancel()
        await asyncio.wait([other])

    assert not deadlines._running
    assert not deadlines._passed


async def test_work_ends_long_after_the_first_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as a call is in progress, its deadline is looked at again."""
    monkeypatch.setattr(deadlines_module, "_INTERVAL", 0.001)
    async with asyncio.timeout(WAIT):
        with pytest.raises(DeadlinePassedError):
            await Deadlines().within(after(0.05), forever())


async def test_work_is_cancelled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it cleans up afterwards may take longer than the next look."""
    monkeypatch.setattr(deadlines_module, "_INTERVAL", 0.001)
    deadlines = Deadlines()
    loop = asyncio.get_running_loop()

    async def tidy() -> str:
        try:
            return await forever()
        finally:
            for _ in range(3):
                deadlines._look(loop)
                await asyncio.sleep(0)

    task = asyncio.ensure_future(deadlines.within(after(-1), tidy()))
    with pytest.raises(DeadlinePassedError):
        await asyncio.wait_for(task, WAIT)

    assert 0 == task.cancelling()


async def test_an_earlier_cancellation_is_not_taken_for_the_deadline() -> None:
    """The deadline of a task that was cancelled before, and went on, passes as any other."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(0)
    try:
        async with asyncio.timeout(WAIT):
            with pytest.raises(DeadlinePassedError):
                await Deadlines().within(after(-1), forever())

        assert 1 == task.cancelling()
    finally:
        task.uncancel()


class Request:
    """What the context of a call refers to."""


async def test_nothing_of_a_call_stays_with_the_timer() -> None:
    """Its context has its request and its caller, and the timer can go on for as long as there are calls."""
    current: ContextVar[Request] = ContextVar("current")
    deadlines = Deadlines()

    async def call() -> weakref.ref[Request]:
        request = Request()
        current.set(request)
        await deadlines.within(after(FAR), asyncio.sleep(0))
        return weakref.ref(request)

    kept = await asyncio.create_task(call())
    # The event loop has the task until its next turn.
    await asyncio.sleep(0)
    gc.collect()

    assert deadlines._timer is not None
    assert kept() is None


async def test_the_timer_rests_while_no_call_is_in_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next call starts it again."""
    monkeypatch.setattr(deadlines_module, "_INTERVAL", 0.001)
    deadlines = Deadlines()
    async with asyncio.timeout(WAIT):
        await deadlines.within(after(FAR), asyncio.sleep(0))
        while deadlines._timer is not None:  # noqa: ASYNC110 - the timer ends without an event
            await asyncio.sleep(0)
        with pytest.raises(DeadlinePassedError):
            await deadlines.within(after(-1), forever())


async def test_what_answers_in_time_is_not_touched() -> None:
    """Its answer, and its errors, among them a TimeoutError of its own."""
    deadlines = Deadlines()

    assert "done" == await deadlines.within(after(FAR), asyncio.sleep(0, "done"))
    for error in (TimeoutError(), ValueError(), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            await deadlines.within(after(FAR), failing(error))
    assert not deadlines._running


async def test_a_cancellation_stays_one() -> None:
    """Whoever cancels the task hears so, also where the deadline passes at the same time."""
    deadlines = Deadlines()
    for deadline in (FAR, -1.0):
        task = asyncio.ensure_future(deadlines.within(after(deadline), forever()))
        await asyncio.sleep(0)
        if deadline < 0:
            deadlines._look(asyncio.get_running_loop())
        task.cancel()
        await asyncio.wait([task], timeout=WAIT)

        assert task.cancelled()
    assert not deadlines._running
    assert not deadlines._passed


async def test_work_that_ends_as_its_deadline_passes_is_answered() -> None:
    """The task goes on as if nothing had been: what it awaits next is not cancelled."""
    deadlines = Deadlines()

    async def stubborn() -> str:
        deadlines._look(asyncio.get_running_loop())
        try:
            await forever()
        except asyncio.CancelledError:
            return "done"
        return "never"

    assert "done" == await deadlines.within(after(-1), stubborn())
    await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()

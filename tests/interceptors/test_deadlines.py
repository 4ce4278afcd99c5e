"""A call ends at its deadline, and every other end of it is its own."""

from __future__ import annotations

import asyncio

import pytest

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

"""Long work of one call lets others run."""

from __future__ import annotations

import asyncio

from time import perf_counter

import pytest

from tests.support.authority import WAIT
from tokenauthority.authority import time_slice
from tokenauthority.authority.time_slice import TimeSlice


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, ["other", "work"]), (3600.0, ["work", "other"])])
async def test_lets_other_tasks_run_once_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch, seconds: float, expected: list[str]
) -> None:
    """Not at every step: that would cost more than the work."""
    monkeypatch.setattr(time_slice, "_SHARE", seconds)
    order: list[str] = []

    async def other() -> None:
        order.append("other")

    started = TimeSlice()
    beside = asyncio.ensure_future(other())
    await started.yield_if_due()
    order.append("work")
    await beside

    assert expected == order


async def test_one_turn_of_the_event_loop_has_one_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that begin together have it together: the network waits for one share, and not for one of each."""
    monkeypatch.setattr(time_slice, "_SHARE", 3600.0)

    assert TimeSlice().end == TimeSlice().end
    before = TimeSlice().end
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert TimeSlice().end > before


async def test_one_turn_of_the_event_loop_goes_on_with_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many have long work, if the first one leaves no time; each has its turn after those before it."""
    monkeypatch.setattr(time_slice, "_SHARE", 0.0)
    turns, went_on = 0, []

    async def work(number: int) -> None:
        started = TimeSlice()
        for _ in range(3):
            await started.yield_if_due()
            went_on.append((turns, number))

    calls = [asyncio.ensure_future(work(number)) for number in range(2 * time_slice._AT_ONCE)]
    while not all(call.done() for call in calls):
        await asyncio.sleep(0)
        turns += 1

    assert [*range(len(calls))] * 3 == [number for _, number in went_on]
    assert len(went_on) == len({turn for turn, _ in went_on})


async def test_what_a_call_leaves_of_a_turn_is_for_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few are woken, because most of many would find nothing left."""
    monkeypatch.setattr(time_slice, "_SHARE", 3600.0)
    went_on: list[int] = []

    async def work(number: int) -> None:
        await slices[number].next()
        went_on.append(number)

    slices = [TimeSlice() for _ in range(time_slice._AT_ONCE + 2)]
    calls = [asyncio.ensure_future(work(number)) for number in range(len(slices))]
    at_once = []
    while not all(call.done() for call in calls):
        before = len(went_on)
        await asyncio.sleep(0)
        at_once.append(len(went_on) - before)

    assert [*range(len(slices))] == went_on
    assert [time_slice._AT_ONCE, 2] == [count for count in at_once if count]


async def test_a_call_does_not_pass_those_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else new calls without end would let a long batch wait without end."""
    monkeypatch.setattr(time_slice, "_SHARE", 3600.0)
    waiting = asyncio.ensure_future(TimeSlice().next())
    await asyncio.sleep(0)

    while not waiting.done():
        assert TimeSlice().end < perf_counter()
        await asyncio.sleep(0)
    assert TimeSlice().end > perf_counter()


@pytest.mark.parametrize("when", [1, 2])
async def test_calls_that_left_give_their_turn_to_the_next(monkeypatch: pytest.MonkeyPatch, when: int) -> None:
    """Its caller had gone, or its deadline had passed."""
    monkeypatch.setattr(time_slice, "_SHARE", 0.0)
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    *gone, waits = (asyncio.ensure_future(TimeSlice().next()) for _ in range(time_slice._AT_ONCE + 1))
    for _ in range(when):
        await asyncio.sleep(0)
    for call in gone:
        call.cancel()
    async with asyncio.timeout(WAIT):
        await waits

    assert all(call.cancelled() for call in gone)
    assert not errors

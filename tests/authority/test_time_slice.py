"""Long work of one call lets others run."""

from __future__ import annotations

import asyncio
import gc

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


@pytest.mark.parametrize("count", [2, 2 * time_slice._AT_ONCE])
async def test_one_turn_of_the_event_loop_goes_on_with_one_call(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """However many have long work, if the first one leaves no time; each has its turn after those before it."""
    monkeypatch.setattr(time_slice, "_SHARE", 0.0)
    turns, went_on = 0, []

    async def work(number: int) -> None:
        started = TimeSlice()
        for _ in range(3):
            await started.yield_if_due()
            went_on.append((turns, number))

    calls = [asyncio.ensure_future(work(number)) for number in range(count)]
    while not all(call.done() for call in calls):
        await asyncio.sleep(0)
        turns += 1

    assert [*range(len(calls))] * 3 == [number for _, number in went_on]
    assert len(went_on) == len({turn for turn, _ in went_on})
    assert turns < len(went_on) + 5, "no turn goes by without long work"


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


async def test_who_went_on_has_the_share_of_that_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each of its further steps would wait."""
    monkeypatch.setattr(time_slice, "_SHARE", 3600.0)
    call = TimeSlice()
    call.end = 0.0
    await call.yield_if_due()

    assert call.end > perf_counter()


async def test_does_nothing_once_nobody_waits() -> None:
    """A turn that plans the next one for nobody would keep a processor busy."""
    await TimeSlice().next()
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert not time_slice._turns[asyncio.get_running_loop()]._turn_is_planned


def test_each_event_loop_has_its_own_calls_and_goes_with_them() -> None:
    """Tests and clients run several, one after the other."""
    gc.collect()
    before = len(time_slice._turns)
    for _ in range(2):
        asyncio.run(_next())
        gc.collect()

    assert before == len(time_slice._turns)


async def _next() -> None:
    await TimeSlice().next()
    assert 1 == sum(loop is asyncio.get_running_loop() for loop in time_slice._turns)


@pytest.mark.parametrize("when", [1, 2])
async def test_calls_that_left_give_their_turn_to_the_next(monkeypatch: pytest.MonkeyPatch, when: int) -> None:
    """Their callers had gone, or their deadlines had passed."""
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

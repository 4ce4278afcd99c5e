"""Long work of one call lets others run."""

from __future__ import annotations

import asyncio

import pytest

from tokenauthority.authority import time_slice
from tokenauthority.authority.time_slice import TimeSlice


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, ["other", "work"]), (3600.0, ["work", "other"])])
async def test_lets_other_tasks_run_once_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch, seconds: float, expected: list[str]
) -> None:
    """Not at every step: that would cost more than the work."""
    monkeypatch.setattr(time_slice, "_SLICE", seconds)
    order: list[str] = []

    async def other() -> None:
        order.append("other")

    started = TimeSlice()
    beside = asyncio.ensure_future(other())
    await started.yield_if_due()
    order.append("work")
    await beside

    assert expected == order


async def test_one_turn_of_the_event_loop_goes_on_with_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many have long work: the network waits for one slice, and not for all."""
    monkeypatch.setattr(time_slice, "_SLICE", 0.0)
    turns, went_on = 0, []

    async def work() -> None:
        started = TimeSlice()
        for _ in range(3):
            await started.yield_if_due()
            went_on.append(turns)

    calls = [asyncio.ensure_future(work()) for _ in range(5)]
    while not all(call.done() for call in calls):
        await asyncio.sleep(0)
        turns += 1

    assert 15 == len(went_on)
    assert len(set(went_on)) == len(went_on)


async def test_a_call_that_left_gives_its_turn_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its caller had gone, or its deadline had passed."""
    monkeypatch.setattr(time_slice, "_SLICE", 0.0)
    gone, waits = (asyncio.ensure_future(TimeSlice().yield_if_due()) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    await waits

    assert gone.cancelled()

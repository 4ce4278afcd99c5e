"""The parts of a call are timed from outside: their answers and errors are as without it."""

from __future__ import annotations

import asyncio

from collections.abc import Iterator

import pytest

from tokenauthority.telemetry.call_trace import (
    MAX_ALIKE,
    MAX_OPERATIONS,
    CallTrace,
    current_trace,
    observed,
    observed_object,
)


class Part:
    """Something that calls use."""

    name = "a part"

    async def read(self, value: str) -> str:
        """Answer after a turn of the loop."""
        await asyncio.sleep(0)
        return value

    async def fail(self) -> str:
        """Fail."""
        await asyncio.sleep(0)
        raise LookupError(self.name)

    def count(self, value: int) -> int:
        """Answer at once."""
        return value + 1


@pytest.fixture
def trace() -> Iterator[CallTrace]:
    """The trace of the call that the test answers."""
    trace = CallTrace()
    token = current_trace.set(trace)
    yield trace
    current_trace.reset(token)


@pytest.fixture
def part() -> Part:
    """What stands for a part."""
    return observed_object("part", Part())


async def test_times_each_coroutine_from_its_beginning_to_its_end(trace: CallTrace, part: Part) -> None:
    """By the name of the part and of the method; what is no method is as it was."""
    assert ["a", "b"] == [await part.read("a"), await part.read("b")]
    assert "a part" == part.name

    assert ["part read", "part read"] == [each.name for each in trace.operations]
    first, second = trace.operations
    assert trace.start <= first.start < first.end <= second.start < second.end


async def test_calls_in_a_row_share_an_operation(trace: CallTrace, part: Part) -> None:
    """Such as the signatures of a batch."""
    assert [1, 2, 3] == [part.count(number) for number in range(3)]

    [operation] = trace.operations
    assert ("part count", 3, "") == (operation.name, operation.count, operation.error)


async def test_an_error_passes_and_leaves_its_class(trace: CallTrace, part: Part) -> None:
    """Not its text, which may hold anything."""
    with pytest.raises(LookupError, match="a part"):
        await part.fail()

    assert [("part fail", "LookupError")] == [(each.name, each.error) for each in trace.operations]


def test_an_error_of_a_call_passes_and_leaves_its_class(trace: CallTrace) -> None:
    """As that of a coroutine."""
    with pytest.raises(ZeroDivisionError):
        observed("divide", lambda: 1 // 0)()

    assert [("divide", "ZeroDivisionError")] == [(each.name, each.error) for each in trace.operations]


async def test_work_of_no_call_is_not_timed(part: Part) -> None:
    """Such as that of background tasks."""
    assert current_trace.get() is None
    assert "a" == await part.read("a")


@pytest.mark.parametrize("over", ["not sampled", "ended"])
async def test_nothing_is_timed_that_no_trace_shows(trace: CallTrace, part: Part, over: str) -> None:
    """Once the call is known not to be sampled, or has ended: a read that it shared may go on."""
    if over == "ended":
        trace.finish()
    else:
        trace.sampled = False
    await part.read("a")
    part.count(1)

    assert [] == trace.operations


async def test_a_read_that_outlives_its_call_is_not_shown(trace: CallTrace, part: Part) -> None:
    """Its trace has been handed over."""
    reading = asyncio.ensure_future(part.read("a"))
    await asyncio.sleep(0)
    trace.finish()

    assert "a" == await reading
    assert [] == trace.operations


async def test_many_of_one_name_leave_room_for_others(trace: CallTrace, part: Part) -> None:
    """A batch reads the store as often as it has sessions, and then signs. The last read has a count."""
    for _ in range(200):
        await part.read("a")
    part.count(1)

    names = [each.name for each in trace.operations]
    assert ["part read"] * MAX_ALIKE + ["part count"] == names
    *reads, last, count = trace.operations
    assert [1] * (MAX_ALIKE - 1) == [each.count for each in reads]
    assert 200 - (MAX_ALIKE - 1) == last.count
    assert reads[-1].end <= last.start < last.end <= count.start


async def test_what_shares_an_operation_is_inside_of_it(trace: CallTrace) -> None:
    """Also where the last to end was the first to begin; an error of one stays."""
    for _ in range(MAX_ALIKE):
        trace.add("read", 5)
    trace.add("read", 3, "LookupError")
    trace.add("read", 4)

    last = trace.operations[-1]
    assert (3, "LookupError", 3) == (last.start, last.error, last.count)


async def test_operations_of_a_call_are_bounded(trace: CallTrace) -> None:
    """Whatever their names are."""
    for number in range(MAX_OPERATIONS + 10):
        trace.add(str(number), 1)

    assert MAX_OPERATIONS == len(trace.operations)

"""Work on many people goes on at the same time, within a bound, and one failure stops no other work."""

from __future__ import annotations

import asyncio

from collections.abc import Coroutine, Iterator

import pytest

from tokenauthority.enforcer.admin_api import AdminApiError
from tokenauthority.enforcer.driver import MAX_CONCURRENT, all_of


async def test_everything_is_done_in_bounded_tasks_and_returned_in_order() -> None:
    """A piece of work exists only once it begins: 10,000 people are not 10,000 tasks."""
    most = begun = 0
    others = len(asyncio.all_tasks())

    async def one(number: int) -> int:
        nonlocal most
        most = max(most, len(asyncio.all_tasks()) - others)
        for _ in range(number % 3):
            await asyncio.sleep(0)
        return number

    def work() -> Iterator[Coroutine[object, object, int]]:
        nonlocal begun
        for number in range(10_000):
            begun += 1
            yield one(number)

    assert (list(range(10_000)), None) == await all_of(work())
    assert (10_000, MAX_CONCURRENT) == (begun, most)


@pytest.mark.parametrize("unforeseen", [False, True])
async def test_a_failure_stops_no_other_work(*, unforeseen: bool) -> None:
    """The first AdminApiError in order is returned, whichever was sooner; another error is raised at the end."""
    done = []

    async def one(number: int) -> int:
        await asyncio.sleep(0)
        match number:
            case 3:
                await asyncio.sleep(0)
                raise AdminApiError("three")
            case 4:
                raise AdminApiError("four")
            case 5 if unforeseen:
                raise LookupError("five")
        done.append(number)
        return number

    expected = [number for number in range(2000) if number not in {3, 4, *([5] if unforeseen else [])}]
    if unforeseen:
        with pytest.raises(LookupError, match="five"):
            await all_of(map(one, range(2000)))
    else:
        found, problem = await all_of(map(one, range(2000)))
        assert (expected, "three") == (found, str(problem))
    assert expected == sorted(done)


async def test_without_work_nothing_is_returned() -> None:
    """Nobody is inside."""
    nothing: list[Coroutine[object, object, int]] = []

    assert ([], None) == await all_of(nothing)

"""The threads of a store bound what waits and how long, and give each caller its own answer."""

from __future__ import annotations

import asyncio
import contextvars
import threading

from collections.abc import AsyncIterator

import pytest

from tokenauthority.domain.errors import Reason, UnavailableError
from tokenauthority.storage.database import StoreLimits, StoreThreads
from tokenauthority.threads import PoolError


REQUEST = contextvars.ContextVar[str]("REQUEST")


class Held:
    """Work that has begun and goes on until it is released."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.release = threading.Event()

    def __call__(self) -> bool:
        """Begin, and wait."""
        self.begun.set()
        return self.release.wait(30)

    async def under_way(self) -> None:
        """Return when the work has begun."""
        assert await asyncio.to_thread(self.begun.wait, 30)


@pytest.fixture
async def held() -> AsyncIterator[Held]:
    """Work that does not end before the test."""
    work = Held()
    yield work
    work.release.set()


async def test_work_sees_the_context_of_its_caller() -> None:
    """Context variables, such as the request id of the log, reach the thread; what it sets stays there."""
    threads = StoreThreads("test", 1, StoreLimits())
    REQUEST.set("r-1")

    def work() -> tuple[str, int]:
        seen = REQUEST.get()
        REQUEST.set("changed")
        return seen, threading.get_ident()

    seen, thread = await threads.run_unit(work)
    await threads.close()

    assert ("r-1", "r-1") == (seen, REQUEST.get())
    assert threading.get_ident() != thread


async def test_refuses_work_when_too_much_waits(held: Held) -> None:
    """Work above the bound is refused at once; when there is room again, work is taken again."""
    threads = StoreThreads("test", 1, StoreLimits(max_waiting=2))
    running = asyncio.create_task(threads.run_unit(held))
    await held.under_way()
    waiting = asyncio.create_task(threads.run_unit(lambda: "waited"))
    await asyncio.sleep(0)

    with pytest.raises(UnavailableError) as refused:
        await threads.run_unit(lambda: "never")
    held.release.set()
    answers = [await running, await waiting, await threads.run_unit(lambda: "later")]
    await threads.close()

    assert Reason.STORE_UNAVAILABLE == refused.value.reason
    assert isinstance(refused.value.__cause__, PoolError)
    assert [True, "waited", "later"] == answers


async def test_gives_up_on_slow_work(held: Held) -> None:
    """A caller waits no longer than the bound, and work that waited behind it is not begun."""
    threads = StoreThreads("test", 1, StoreLimits(unit_timeout=0.05))
    begun: list[str] = []

    outcomes = await asyncio.gather(
        threads.run_unit(held), threads.run_unit(lambda: begun.append("waiting")), return_exceptions=True
    )
    held.release.set()
    await threads.close()

    assert [UnavailableError] * 2 == [type(outcome) for outcome in outcomes]
    assert [] == begun


async def test_work_that_was_begun_keeps_its_place(held: Held) -> None:
    """A caller that gives up does not make room: the thread is still taken."""
    threads = StoreThreads("test", 1, StoreLimits(max_waiting=1))
    caller = asyncio.create_task(threads.run_unit(held))
    await held.under_way()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller

    with pytest.raises(UnavailableError):
        await threads.run_unit(lambda: None)
    held.release.set()
    await threads.close()


async def test_close_waits_for_what_is_under_way(held: Held) -> None:
    """Work that was taken ends before close returns; later work is refused."""
    threads = StoreThreads("test", 1, StoreLimits())
    running = asyncio.create_task(threads.run_unit(held))
    await held.under_way()

    closing = asyncio.create_task(threads.close())
    await asyncio.sleep(0)
    closed_early = closing.done()
    held.release.set()
    await closing

    assert not closed_early
    assert await running
    with pytest.raises(UnavailableError):
        await threads.run_unit(lambda: None)


async def test_close_waits_no_longer_than_a_caller(held: Held) -> None:
    """Work that does not end does not keep close, which says so."""
    threads = StoreThreads("test", 1, StoreLimits(unit_timeout=0.05))
    with pytest.raises(UnavailableError):
        await threads.run_unit(held)

    first = await threads.close()
    held.release.set()

    assert not first
    assert await threads.close()


async def test_errors_of_the_work_reach_the_caller() -> None:
    """What the work raises is raised to its caller."""
    threads = StoreThreads("test", 1, StoreLimits())

    with pytest.raises(ZeroDivisionError):
        await threads.run_unit(lambda: 1 // 0)
    await threads.close()

"""A pool bounds its threads, what is pending and how long callers wait, and leaves no work or answer in between."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import subprocess
import sys
import threading
import weakref

from collections.abc import AsyncIterator
from functools import partial
from unittest import mock

import pytest

from tests.support.authority import WAIT
from tokenauthority.threads import BlockingPool, PoolError, PoolTimeoutError


REQUEST = contextvars.ContextVar[str]("REQUEST")


class Held:
    """Work that has begun and goes on until it is released; it answers 7."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.release = threading.Event()
        self.turns = 0

    def __call__(self) -> int:
        """Begin, and wait."""
        self.turns += 1
        self.begun.set()
        self.release.wait(WAIT)
        return 7

    async def under_way(self) -> None:
        """Return when the work has begun."""
        assert await asyncio.to_thread(self.begun.wait, WAIT)


@pytest.fixture
async def held() -> AsyncIterator[Held]:
    """Work that does not end before the test."""
    work = Held()
    yield work
    work.release.set()


class Late:
    """What is given the answers that nobody waits for."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.threads: set[int] = set()
        self._come = threading.Event()

    def __call__(self, answer: int) -> None:
        """Take it."""
        self.answers.append(answer)
        self.threads.add(threading.get_ident())
        self._come.set()

    async def come(self) -> list[int]:
        """Return the answers once there is one."""
        assert await asyncio.to_thread(self._come.wait, WAIT)
        return self.answers


async def drained(pool: BlockingPool) -> None:
    """Return when all that was given to the pool has ended."""
    assert await pool.close(WAIT)


async def test_work_sees_the_context_of_its_caller() -> None:
    """Context variables, such as the request id of the log, reach the thread; what it sets stays there."""
    pool = BlockingPool("test")
    REQUEST.set("r-1")

    def work() -> tuple[str, int]:
        seen = REQUEST.get()
        REQUEST.set("changed")
        return seen, threading.get_ident()

    seen, thread = await pool.run(work)

    assert ("r-1", "r-1") == (seen, REQUEST.get())
    assert threading.get_ident() != thread


async def test_one_thread_keeps_the_order() -> None:
    """Of all that is given to it at once, such as the commits of a log."""
    pool, order = BlockingPool("test"), list[int]()
    await asyncio.gather(*(pool.run(partial(order.append, number)) for number in range(100)))

    assert list(range(100)) == order


async def test_threads_are_begun_when_they_are_needed_and_no_more_than_allowed(held: Held) -> None:
    """What comes beyond them waits."""
    pool = BlockingPool("bounded", threads=2)
    await pool.run(lambda: None)
    await pool.run(lambda: None)
    one_after_the_other = _threads("bounded")
    running = [asyncio.create_task(pool.run(held)) for _ in range(4)]
    await held.under_way()
    at_once = _threads("bounded")
    held.release.set()

    assert [7] * 4 == await asyncio.gather(*running)
    assert (1, 2) == (one_after_the_other, at_once)


def _threads(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


async def test_refuses_work_when_too_much_is_pending(held: Held) -> None:
    """At once; when there is room again, work is taken again."""
    pool = BlockingPool("test", max_pending=2)
    running = asyncio.create_task(pool.run(held))
    await held.under_way()
    waiting = asyncio.create_task(pool.run(lambda: "waited"))
    await asyncio.sleep(0)
    with pytest.raises(PoolError, match="2 units of work are pending"):
        await pool.run(lambda: "never")
    held.release.set()

    assert (7, "waited", "later") == (await running, await waiting, await pool.run(lambda: "later"))


async def test_a_caller_waits_no_longer_than_its_patience(held: Held) -> None:
    """It learns whether the work goes on; what waited behind it is not begun."""
    pool, begun = BlockingPool("test"), list[str]()
    outcomes = await asyncio.gather(
        pool.run(held, patience=0.05),
        pool.run(lambda: begun.append("waiting"), patience=0.05),
        return_exceptions=True,
    )
    held.release.set()
    await drained(pool)

    assert ["not done after 0.05 seconds", "not begun after 0.05 seconds"] == [str(outcome) for outcome in outcomes]
    assert [True, False] == [outcome.begun for outcome in outcomes if isinstance(outcome, PoolTimeoutError)]
    assert [] == begun


async def test_work_whose_caller_has_left_is_not_begun(held: Held) -> None:
    """And makes room at once."""
    pool, begun = BlockingPool("test", max_pending=2), list[str]()
    running = asyncio.create_task(pool.run(held))
    await held.under_way()
    waiting = asyncio.create_task(pool.run(lambda: begun.append("waiting")))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    instead = asyncio.create_task(pool.run(lambda: begun.append("instead")))
    await asyncio.sleep(0)
    held.release.set()
    await asyncio.gather(running, instead)

    assert ["instead"] == begun


async def test_work_that_is_never_begun_is_not_stored(held: Held) -> None:
    """Also while every thread hangs, as with an HSM that is dead for hours: each failed call would take memory."""
    pool = BlockingPool("test")
    running = asyncio.create_task(pool.run(held))
    await held.under_way()
    abandoned = weakref.WeakSet[Held]()
    for _ in range(50):
        work = Held()
        abandoned.add(work)
        with pytest.raises(PoolTimeoutError):
            await pool.run(work, patience=0)
    last = asyncio.create_task(pool.run(lambda: "last"))
    await asyncio.sleep(0)
    del work
    gc.collect()
    stored = len(abandoned)
    held.release.set()

    assert stored <= 2
    assert (7, "last") == (await running, await last)


async def test_work_that_was_begun_keeps_its_place(held: Held) -> None:
    """A caller that leaves makes no room: the thread is still taken."""
    pool = BlockingPool("test", max_pending=1)
    caller = asyncio.create_task(pool.run(held))
    await held.under_way()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller

    with pytest.raises(PoolError, match="pending"):
        await pool.run(lambda: None)


async def test_an_answer_that_comes_too_late_is_handed_over(held: Held) -> None:
    """On a thread, because what to do with it may block as well."""
    pool, late = BlockingPool("test"), Late()
    with pytest.raises(PoolTimeoutError):
        await pool.run(held, patience=0.01, late=late)
    before = list(late.answers)
    held.release.set()

    assert ([], [7]) == (before, await late.come())
    assert threading.get_ident() not in late.threads


async def test_an_answer_whose_caller_has_left_is_handed_over(held: Held) -> None:
    """However late it comes."""
    pool, late = BlockingPool("test"), Late()
    caller = asyncio.create_task(pool.run(held, late=late))
    await held.under_way()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    held.release.set()

    assert [7] == await late.come()


async def test_an_answer_that_comes_as_its_caller_leaves_is_handed_over(held: Held) -> None:
    """Its caller was about to have it."""
    pool, late = BlockingPool("test"), Late()
    caller = asyncio.create_task(pool.run(held, late=late))
    await held.under_way()
    settle = BlockingPool._settle

    def settle_and_cancel(*arguments: object) -> None:
        settle(pool, *arguments)  # type: ignore[arg-type]  # passed on as they come
        caller.cancel()

    [job] = pool._pending
    job.settle = settle_and_cancel
    held.release.set()
    with pytest.raises(asyncio.CancelledError):
        await caller

    assert [7] == await late.come()


async def test_an_answer_that_comes_with_the_end_of_the_patience_is_had(held: Held) -> None:
    """And is not handed over as well."""
    pool, late = BlockingPool("test"), Late()
    caller = asyncio.create_task(pool.run(held, patience=WAIT, late=late))
    await held.under_way()
    settle = BlockingPool._settle

    def settle_and_expire(*arguments: object) -> None:
        settle(pool, *arguments)  # type: ignore[arg-type]  # passed on as they come
        pool._expire(job, WAIT)

    [job] = pool._pending
    job.settle = settle_and_expire
    held.release.set()

    assert 7 == await caller
    assert [] == late.answers


async def test_an_answer_that_is_had_is_not_handed_over() -> None:
    """Whoever has waited for it has it."""
    late = Late()

    assert 7 == await BlockingPool("test").run(lambda: 7, patience=WAIT, late=late)
    assert [] == late.answers


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), KeyboardInterrupt("x")])
async def test_errors_of_the_work_reach_the_caller(error: BaseException) -> None:
    """Whatever they are; the thread lives on."""
    pool = BlockingPool("test")

    def work() -> None:
        raise error

    with pytest.raises(type(error), match="x"):
        await pool.run(work)
    assert 7 == await pool.run(lambda: 7)


async def test_an_iteration_that_ends_is_an_error_too() -> None:
    """No future takes a StopIteration: the caller would wait forever."""
    with pytest.raises(RuntimeError, match="StopIteration"):
        await BlockingPool("test").run(lambda: next(iter(())))


async def test_close_waits_for_what_was_taken(held: Held) -> None:
    """Later work is refused."""
    pool = BlockingPool("test")
    running = asyncio.create_task(pool.run(held))
    await held.under_way()
    closing = asyncio.create_task(pool.close(WAIT))
    await asyncio.sleep(0)
    closed_early = closing.done()
    with pytest.raises(PoolError, match="closed"):
        await pool.run(lambda: None)
    held.release.set()

    assert await closing
    assert (False, 7) == (closed_early, await running)


async def test_close_does_not_wait_for_work_that_hangs(held: Held) -> None:
    """It says that not all has ended, and can be asked again."""
    pool = BlockingPool("test")
    with pytest.raises(PoolTimeoutError):
        await pool.run(held, patience=0.01)
    outcomes = [await pool.close(), await pool.close(0.01)]
    held.release.set()

    assert [False, False, True] == [*outcomes, await pool.close(WAIT)]


async def test_an_error_is_freed_with_its_work(without_garbage_collection: None) -> None:
    """Nothing here refers to it once its caller has it: a server freezes what lives for long."""
    pool = BlockingPool("test")

    def fail() -> None:
        raise PoolError

    try:
        await pool.run(fail)
    except PoolError as error:
        failed = weakref.ref(error)
    # Then the thread has gone on.
    await pool.run(lambda: None)

    assert failed() is None


async def test_threads_end_with_their_pool() -> None:
    """Closed or unreferenced: a process that makes many has not ever more of them."""
    closed, unclosed = BlockingPool("ending"), BlockingPool("ending")
    await asyncio.gather(closed.run(lambda: None), unclosed.run(lambda: None))
    threads = [thread for thread in threading.enumerate() if thread.name == "ending"]
    await closed.close()
    del unclosed
    gc.collect()
    for thread in threads:
        await asyncio.to_thread(thread.join, WAIT)

    assert [False, False] == [thread.is_alive() for thread in threads]


async def test_a_system_without_threads_is_an_error_of_the_work() -> None:
    """And where there is a thread already, work waits for that."""
    pool, full = BlockingPool("test", threads=2), mock.patch.object(threading.Thread, "start", side_effect=RuntimeError)
    with full, pytest.raises(PoolError, match="no more threads"):
        await pool.run(lambda: None)
    held = Held()
    running = asyncio.create_task(pool.run(held))
    await held.under_way()
    with full:
        waiting = asyncio.create_task(pool.run(lambda: "waited"))
        await asyncio.sleep(0)
    held.release.set()

    assert (7, "waited") == (await running, await waiting)


def test_work_that_hangs_keeps_no_process_from_ending() -> None:
    """Nor does its answer harm the loop that has ended."""
    program = """
import asyncio, threading
from tokenauthority.threads import BlockingPool, PoolTimeoutError

async def main():
    try:
        await BlockingPool("test").run(threading.Event().wait, patience=0.01)
    except PoolTimeoutError:
        print("given up")

asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=WAIT, check=False)

    assert (0, "given up\n", "") == (ended.returncode, ended.stdout, ended.stderr)

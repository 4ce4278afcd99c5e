"""Shares: no caller's work waits behind all the work of another."""

from __future__ import annotations

import asyncio

from contextlib import AsyncExitStack

import pytest

from tokenauthority.authority.shares import Shares


async def turns(count: int = 5) -> None:
    """Let other tasks run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_caller_holds_no_more_than_its_share_and_another_gets_in() -> None:
    """However many pieces of work of the first one wait."""
    shares, running, over = Shares(3, 2), list[str](), asyncio.Event()

    async def work(caller: str) -> None:
        async with shares.hold(caller):
            running.append(caller)
            await over.wait()

    tasks = [asyncio.ensure_future(work(caller)) for caller in ("a",) * 20 + ("b",) * 2]
    await turns()
    at_once = sorted(running)
    over.set()
    await asyncio.gather(*tasks)

    assert ["a", "a", "b"] == at_once
    assert (20, 2) == (running.count("a"), running.count("b"))


async def test_whoever_leaves_the_queue_leaves_its_place() -> None:
    """A call that is cancelled while it waits, for its share or for a place, takes nothing along."""
    shares = Shares(1, 1)
    async with AsyncExitStack() as held:
        await held.enter_async_context(shares.hold("a"))
        waiting = [asyncio.ensure_future(held.enter_async_context(shares.hold(caller))) for caller in ("a", "b")]
        await turns()
        for task in waiting:
            task.cancel()
        for task in waiting:
            with pytest.raises(asyncio.CancelledError):
                await task
    for caller in ("a", "b", "c"):
        async with shares.hold(caller):
            pass


async def test_nothing_is_left_of_who_holds_nothing() -> None:
    """The names of all callers that ever came would fill the memory."""
    shares = Shares(2, 1)
    for number in range(100):
        async with shares.hold(f"caller {number}"):
            pass

    assert 0 == len(shares._of_callers)

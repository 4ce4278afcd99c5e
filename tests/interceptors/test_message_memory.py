"""Large requests and answers take a bounded number of bytes: for all calls, for a caller and for a connection."""

from __future__ import annotations

import asyncio

from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest

from tests.support.authority import make_caller
from tokenauthority.audit.record import AuditRecord
from tokenauthority.domain.errors import RateLimitError
from tokenauthority.interceptors.call import Call, Context
from tokenauthority.interceptors.message_memory import REQUEST_FACTOR, MessageMemoryInterceptor


LARGE = 100_000
MANY = 10**9


class _Task:
    """The task of a call's handler, which ends when the test says so."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[object], None]] = []

    def add_done_callback(self, callback: Callable[[object], None]) -> None:
        """See asyncio."""
        self.callbacks.append(callback)


class _Calls:
    def __init__(self, total: int) -> None:
        self.memory = MessageMemoryInterceptor(total, {"/list": 1000})

    async def make(
        self, *, caller: str = "a", peer: str = "p", request: int = 0, answer: int = 0, method: str = "/a/B"
    ) -> Callable[[], None]:
        """Make a call whose answer nobody reads; what reads it."""
        task = _Task()
        call = Call(method, cast("AsyncIterator[object]", None), cast("Context", None), streaming=False)
        call.task = cast("asyncio.Task[object]", task)
        call.caller, call.message = make_caller(caller), b"\0" * request
        call.record = AuditRecord(time="", request_id="r", method=method, peer=peer)

        async def proceed(_: Call) -> object:
            return b"\0" * answer

        await self.memory.intercept(call, proceed)

        def read() -> None:
            for callback in task.callbacks:
                callback(task)

        return read


async def test_one_caller_has_two_thirds() -> None:
    """The rest is for others, on whatever connections it comes; the refusal says whose limit it is."""
    calls = _Calls(3 * 2 * LARGE)
    for number in range(2):
        await calls.make(answer=LARGE, peer=f"p{number}")
    with pytest.raises(RateLimitError, match="caller:a") as caught:
        await calls.make(answer=LARGE, peer="p3")
    await calls.make(caller="b", answer=LARGE, peer="p4")

    assert ("MEMORY_LIMIT", "caller:a", "limits.max_message_memory") == (
        caught.value.reason,
        caught.value.subject,
        caught.value.limit,
    )


async def test_one_connection_has_two_thirds() -> None:
    """Whoever its callers are."""
    calls = _Calls(3 * 2 * LARGE)
    for name in "ab":
        await calls.make(caller=name, answer=LARGE)
    with pytest.raises(RateLimitError, match="connection:p"):
        await calls.make(caller="c", answer=LARGE)


async def test_all_calls_have_the_total() -> None:
    """Many callers together are bounded, too."""
    calls = _Calls(3 * 2 * LARGE)
    for name in "abc":
        await calls.make(caller=name, peer=name, answer=LARGE)
    with pytest.raises(RateLimitError, match="server") as caught:
        await calls.make(caller="d", peer="d", answer=LARGE)

    assert "MEMORY_LIMIT" == caught.value.reason


async def test_a_request_counts_with_what_comes_of_it() -> None:
    """It is refused before any of that is made."""
    calls = _Calls(3 * REQUEST_FACTOR * LARGE // 2)
    await calls.make(request=LARGE)
    with pytest.raises(RateLimitError):
        await calls.make(request=LARGE + 1, peer="q", caller="b")


async def test_every_item_of_a_list_counts() -> None:
    """A thousand items may come in two thousand bytes."""
    with pytest.raises(RateLimitError):
        await _Calls(1_000_000).make(request=2000, method="/list")


async def test_an_answer_counts_until_it_is_read() -> None:
    """Then there is room for the next one; and nothing is stored of a caller and a connection that hold nothing."""
    calls = _Calls(3 * LARGE)
    for _ in range(3):
        read = await calls.make(answer=LARGE, request=16_385)
        read()

    assert (0, {}) == (calls.memory._used, dict(calls.memory._used_by))


async def test_small_messages_do_not_count() -> None:
    """Their number is bounded by the places of RPCs, and counting would cost every call."""
    calls = _Calls(1000)
    for _ in range(3):
        await calls.make(request=16 * 1024, answer=16 * 1024)

    assert 0 == calls.memory._used

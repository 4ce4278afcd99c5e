"""Few messages are received at once, and who sends slowly gives way to who does not."""

from __future__ import annotations

import asyncio
import weakref

from collections.abc import AsyncIterator
from typing import cast

import grpc.aio
import pytest

from tokenauthority.domain.errors import InvalidRequestError, OverloadedError
from tokenauthority.interceptors.call import Call, Context
from tokenauthority.interceptors.read_pool import ReadPool


class _Peer:
    """The other end of a call: it sends a message when the test says so, and the call ends when the test says so."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._messages: asyncio.Queue[object] = asyncio.Queue()

    def send(self, *messages: object) -> None:
        """Send them."""
        for message in messages:
            self._messages.put_nowait(message)

    async def read(self) -> object:
        """See grpc.aio."""
        self.asked.set()
        return await self._messages.get()

    def end(self) -> None:
        """End the call."""
        self.send(grpc.aio.EOF)


class _Calls:
    """Calls of a pool of *size* places."""

    def __init__(self, size: int, *, waiting: int = 100, patience: float = 3600, contended: float = 3600) -> None:
        self._pool = ReadPool(size, waiting, patience=patience, contended=contended)

    def receive(self, *owners: str, last: bool = False) -> tuple[_Peer, asyncio.Task[bytes | None]]:
        """A call that receives its message."""
        peer = _Peer()
        call = Call("/a/B", cast("AsyncIterator[object]", None), cast("Context", peer), streaming=False)
        received = asyncio.ensure_future(self._pool.receive(call, owners, last=last))
        # Not every test waits for every call.
        received.add_done_callback(lambda done: done.cancelled() or done.exception())
        return peer, received


async def test_asks_for_so_many_messages_and_no_more() -> None:
    """A message that nobody has asked for is not in memory; when one is there, the next is asked for."""
    calls = _Calls(2)
    (first, received), (second, _), (third, _) = (calls.receive(name) for name in "abc")
    await asyncio.gather(first.asked.wait(), second.asked.wait())
    before = third.asked.is_set()
    first.send(b"message")
    await third.asked.wait()

    assert (b"message", False) == (await received, before)


async def test_a_pause_of_the_event_loop_takes_no_place() -> None:
    """A message that came meanwhile is there: only the loop, which stood still for longer than it had, was late."""
    calls, loop = _Calls(1, contended=0.01), asyncio.get_running_loop()
    peer, received = calls.receive("a")
    calls.receive("b")
    await peer.asked.wait()
    overdue = loop.time() + 0.05
    while loop.time() < overdue:
        pass
    peer.send(b"message")

    assert b"message" == await received


async def test_the_slowest_message_of_the_heaviest_owner_gives_way() -> None:
    """A caller with one call gets in though another one holds every place, and it is the other one that pays."""
    calls = _Calls(2, contended=0.01)
    heavy = [calls.receive("heavy") for _ in range(4)]
    await asyncio.gather(*(peer.asked.wait() for peer, _ in heavy[:2]))
    peer, received = calls.receive("light")
    peer.send(b"message")
    with pytest.raises(OverloadedError):
        await heavy[0][1]
    heavy[0][0].end()

    assert b"message" == await received
    assert not heavy[3][0].asked.is_set()


async def test_the_place_of_a_message_that_gave_way_is_free_once_its_call_has_ended() -> None:
    """Until then gRPC has what came of it. Its read goes on: gRPC frees what comes late only where a read takes it."""
    calls = _Calls(1, contended=0.01)
    slow, refused = calls.receive("slow")
    await slow.asked.wait()
    peer, received = calls.receive("other")
    peer.send(b"message")
    with pytest.raises(OverloadedError):
        await refused
    before = peer.asked.is_set()
    slow.end()

    assert (b"message", False) == (await received, before)


async def test_a_message_has_its_time_also_where_nobody_waits() -> None:
    """A call that sends nothing does not stay."""
    _, received = _Calls(1, patience=0.01).receive("a")

    with pytest.raises(InvalidRequestError, match="did not come in time"):
        await received


async def test_a_full_queue_refuses_whoever_has_most_calls_in_it() -> None:
    """A caller that fills the queue keeps only itself out."""
    calls = _Calls(1, waiting=2)
    (first, _), (_, second), (_, third) = (calls.receive("heavy") for _ in range(3))
    await first.asked.wait()
    light, received = calls.receive("light")
    with pytest.raises(OverloadedError):
        await third
    light.send(b"light")
    first.send(b"first")

    assert (b"light", False) == (await received, second.done())


@pytest.mark.parametrize("waiting", [False, True], ids=["overdue", "too-many"])
async def test_a_refused_call_is_freed(without_garbage_collection: None, *, waiting: bool) -> None:
    """A caller that sends no message could else fill the memory: a server freezes what lives for long."""
    calls = _Calls(1, waiting=0, patience=3600 if waiting else 0.01)
    first, received = calls.receive("heavy")
    if waiting:
        await first.asked.wait()
        _, received = calls.receive("heavy")
    try:
        await received
    except (InvalidRequestError, OverloadedError) as error:
        refusal = weakref.ref(error)
    first.end()
    del received
    for _ in range(5):
        await asyncio.sleep(0)

    assert refusal() is None


async def test_owners_are_compared_from_the_narrowest_to_the_widest() -> None:
    """The first call of a connection comes before the second one of another, also if they have one address."""
    calls = _Calls(1)
    busy, _ = calls.receive("busy", "elsewhere")
    await busy.asked.wait()
    (first, _), (second, _), (other, _) = (
        calls.receive(connection, "address") for connection in ("many", "many", "one")
    )
    await asyncio.sleep(0)
    busy.send(b"")
    await first.asked.wait()
    first.send(b"")
    await other.asked.wait()

    assert not second.asked.is_set()


@pytest.mark.parametrize("where", ["waiting", "receiving"])
async def test_a_call_that_is_cancelled_leaves_its_place(where: str) -> None:
    """Others get it, wherever the call was."""
    calls = _Calls(1)
    (first, one), (_, two) = calls.receive("a"), calls.receive("b")
    last, received = calls.receive("c")
    last.send(b"message")
    await first.asked.wait()
    left = two if where == "waiting" else one
    left.cancel()
    await asyncio.wait([left])
    first.send(b"")
    two.cancel()

    assert b"message" == await received


@pytest.mark.parametrize(("messages", "expected"), [((b"m", grpc.aio.EOF), b"m"), ((grpc.aio.EOF,), None)])
async def test_the_end_must_follow_the_last_message(messages: tuple[object, ...], expected: bytes | None) -> None:
    """Then its sender can send no more, and holds nothing while a stream is open."""
    calls = _Calls(1)
    peer, received = calls.receive("a", last=True)
    peer.send(*messages)
    more, refused = calls.receive("a", last=True)
    more.send(b"m", b"m")

    assert expected == await received
    with pytest.raises(InvalidRequestError, match="more than one message"):
        await refused

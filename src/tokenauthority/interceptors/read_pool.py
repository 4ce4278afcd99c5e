"""Receive messages: few at once, so that what peers send slowly has a bound in bytes.

Until a message is asked for, gRPC takes no more than 64 KiB of it. From then on gRPC takes all of it, up to its one
limit for every method, and waits for the rest as long as the RPC lasts. So messages that are asked for are a shared
resource. A message that comes with its headers, as clients send it, is there at once.

A read is never cancelled: gRPC would never free a message that came after that. It ends with its call.
"""

from __future__ import annotations

import asyncio
import bisect

from collections import Counter
from contextvars import Context
from functools import partial
from typing import Final, cast

import attrs
import grpc.aio
import msgspec

from tokenauthority.domain.errors import FieldViolation, InvalidRequestError, OverloadedError
from tokenauthority.interceptors import call as calls
from tokenauthority.interceptors.call import Call


_LAST_LOOK: Final = 0.02
"""Seconds that an overdue message still has. After a pause of the event loop all are overdue, also those that are
there and that the loop only has to take."""

_LATE: Final = "the message of the request did not come in time"


class _Read(msgspec.Struct, eq=False):
    """A message that is being received; *owners* share the places, the narrowest first.

    Its call waits for *message*, which can be an error before gRPC's read ends.
    """

    owners: tuple[str, ...]
    message: asyncio.Future[bytes | None]
    since: float
    overdue: bool = False


@attrs.frozen(order=True)
class _Turn:
    """A call that waits for a place: those whose owners have the fewest others come first, then the oldest."""

    rank: tuple[int, ...]
    number: int
    owners: tuple[str, ...] = attrs.field(eq=False, order=False)
    place: asyncio.Future[None] = attrs.field(eq=False, order=False)


class ReadPool:
    """At most *size* messages are received at once, and *max_waiting* calls wait for a place.

    A message has *patience* seconds. While others wait it has *contended* seconds, divided by the number of messages
    that its owner receives: the first to go is the oldest of the owner with the most.
    """

    def __init__(self, size: int, max_waiting: int, *, patience: float, contended: float) -> None:
        self._size = size
        self._free = size
        self._max_waiting = max_waiting
        self._patience = patience
        self._contended = contended
        self._reads: dict[_Read, None] = {}
        self._waiting: list[_Turn] = []
        self._waiting_of: Counter[str] = Counter()
        self._turns = 0
        self._timer: asyncio.TimerHandle | None = None

    async def receive(self, call: Call, owners: tuple[str, ...], *, last: bool) -> bytes | None:
        """Return the next message of *call*, or None at its end. After the *last* one the end must follow.

        Raises:
            InvalidRequestError: it did not come in time, or another one follows the last one.
            OverloadedError: it did not come while others waited, or too many wait.
        """
        if self._free:
            self._free -= 1
        else:
            await self._wait_for_place(owners)
        loop = asyncio.get_running_loop()
        read = _Read(owners, loop.create_future(), loop.time())
        self._reads[read] = None
        if self._timer is None:
            self._look_in(self._patience)
        call.reading = loop.create_task(_read(call.context, last=last))
        call.reading.add_done_callback(partial(self._end, call, read))
        try:
            return await read.message
        finally:
            self._reads.pop(read, None)
            # Its future refers to the error that it ends with, and the traceback of that to this frame.
            del read

    def _end(self, call: Call, read: _Read, reading: asyncio.Task[bytes | None]) -> None:
        """Pass on what came of *read*. Only now has gRPC nothing more of it, and its place is free."""
        call.reading = None
        self._reads.pop(read, None)
        self._leave()
        if reading.cancelled():
            read.message.cancel()
            return
        error = reading.exception()
        if read.message.done():
            return
        if error is None:
            read.message.set_result(reading.result())
        else:
            read.message.set_exception(error)

    async def _wait_for_place(self, owners: tuple[str, ...]) -> None:
        reading = Counter(owner for read in self._reads for owner in read.owners)
        rank = tuple(reading[owner] + self._waiting_of[owner] for owner in owners)
        self._turns += 1
        turn = _Turn(rank, self._turns, owners, asyncio.get_running_loop().create_future())
        bisect.insort(self._waiting, turn)
        self._waiting_of.update(owners)
        if len(self._waiting) > self._max_waiting:
            self._next(-1).place.set_exception(OverloadedError(self._max_waiting))
        self._look_in(self._contended / self._size)
        try:
            await turn.place
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._next(self._waiting.index(turn))
            elif turn.place.done() and not turn.place.cancelled() and turn.place.exception() is None:
                self._leave()
            raise
        finally:
            # As in `receive`.
            del turn

    def _leave(self) -> None:
        """Give a place to the call whose turn it is."""
        while self._waiting:
            turn = self._next(0)
            if not turn.place.done():
                turn.place.set_result(None)
                return
        self._free += 1

    def _next(self, index: int) -> _Turn:
        """Take a call out of the queue."""
        turn = self._waiting.pop(index)
        for owner in turn.owners:
            self._waiting_of[owner] -= 1
            if not self._waiting_of[owner]:
                del self._waiting_of[owner]
        return turn

    def _look_in(self, seconds: float) -> None:
        """Look for messages that are overdue in *seconds* at the latest."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            if self._timer.when() <= loop.time() + seconds:
                return
            self._timer.cancel()
        # Without the context of the call that receives now: the timer would refer to it.
        self._timer = loop.call_later(seconds, self._evict, context=Context())

    def _evict(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        held = Counter(read.owners[0] for read in self._reads)
        wanted, last_look = len(self._waiting), False
        for read in sorted(self._reads, key=lambda each: (-held[each.owners[0]], each.since)):
            age = now - read.since
            contended = wanted > 0 and age >= self._contended / held[read.owners[0]]
            if read.message.done():
                wanted -= 1
            elif not (contended or age >= self._patience):
                continue
            elif not read.overdue:
                read.overdue = last_look = True
                wanted -= 1
            elif age >= self._patience:
                read.message.set_exception(InvalidRequestError([FieldViolation("", _LATE)]))
            else:
                read.message.set_exception(OverloadedError(self._size))
                wanted -= 1
        if self._reads:
            self._look_in(self._contended / self._size if self._waiting else self._patience / 2)
        if last_look:
            self._look_in(_LAST_LOOK)


async def _read(context: calls.Context, *, last: bool) -> bytes | None:
    message = await context.read()
    if last and message is not grpc.aio.EOF and await context.read() is not grpc.aio.EOF:
        raise InvalidRequestError([FieldViolation("", "the request has more than one message")])
    return None if message is grpc.aio.EOF else cast("bytes", message)

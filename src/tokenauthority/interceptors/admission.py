"""Bound how many RPCs are answered at once, with a share for each caller; refuse new ones once the server drains."""

from __future__ import annotations

import asyncio

from collections import Counter
from collections.abc import Collection, Iterator
from functools import partial
from typing import Final

from tokenauthority.domain.counts import counted
from tokenauthority.domain.errors import OverloadedError, RateLimitError, Reason, UnavailableError
from tokenauthority.domain.origin import origin_of
from tokenauthority.interceptors.call import Call, Proceed


_LAST_MESSAGE: Final = 1.0
"""Seconds in which an open stream, such as a health Watch, can still send that the server stops."""

MAX_PUBLIC_STREAMS: Final = 256
"""Streams that need no caller (health Watch, reflection) and are open at once."""

MAX_PUBLIC_STREAMS_OF_AN_ORIGIN: Final = 64
"""Of one origin (see `domain.origin`): of all clients behind one NAT, and of all of one stranger."""

_PER_CALLER: Final = "limits.max_concurrent_rpcs_per_caller"
_PAUSE: Final = 0.2
"""Seconds after which to retry where a caller has its share."""


class AdmissionInterceptor:
    """Refuses RPCs of a server that drains or is full, before it looks at who calls.

    It takes no place: `PlacesInterceptor` does, once the message is there. Methods of *public* need no caller, and take
    no place of callers; a single health check is answered while the server drains.
    """

    def __init__(self, admission: Admission, public: Collection[str]) -> None:
        self._admission = admission
        self._public = frozenset(public)

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Proceed if there is room now."""
        if call.method not in self._public:
            self._admission.require_room(streaming=call.streaming)
        elif call.streaming:
            self._admission.require_no_drain()
        return await proceed(call)


class Admission:
    """The RPCs that are answered: at most *max_concurrent* unary ones, *per_caller* of one caller, and *max_streams*.

    All these are of callers. Streams that need no caller have places of their own, so that neither shuts out the other.
    A drain ends open streams, which may stay open for hours, and lets unary RPCs finish.
    """

    def __init__(self, max_concurrent: int, per_caller: int, max_streams: int) -> None:
        self._max_concurrent = max_concurrent
        self._per_caller = per_caller
        self._max_streams = max_streams
        self._running = 0
        self._of_caller: Counter[str] = Counter()
        self._draining = False
        self._streams: set[asyncio.Task[object]] = set()
        self._renewed: set[asyncio.Task[object]] = set()
        self._public = PublicStreams()

    def drain(self) -> None:
        """Refuse new RPCs from now on, and end open streams once they had time to send a last message."""
        self._draining = True
        asyncio.get_running_loop().call_later(_LAST_MESSAGE, self._end_streams)

    def renew_streams(self) -> None:
        """End the streams of all callers: the callers have changed, and each stream must authenticate again."""
        for stream in self._streams:
            self._renewed.add(stream)
            stream.cancel()

    def _end_streams(self) -> None:
        for stream in (*self._streams, *self._public):
            stream.cancel()

    def require_no_drain(self) -> None:
        """Raise the error for a server that drains."""
        if self._draining:
            raise _draining()

    def require_room(self, *, streaming: bool) -> None:
        """Raise the error for a server that drains, or that is full of RPCs of callers."""
        self.require_no_drain()
        if streaming:
            if len(self._streams) >= self._max_streams:
                raise OverloadedError(self._max_streams)
        elif self._running >= self._max_concurrent:
            raise OverloadedError(self._max_concurrent)

    def take(self, caller: str) -> None:
        """Take the place of a unary RPC; it has to be left by `leave`."""
        self.require_room(streaming=False)
        if self._of_caller[caller] >= self._per_caller:
            raise RateLimitError(
                f"caller {caller} has {counted(self._per_caller, 'RPC')} in progress, as many as {_PER_CALLER} allows",
                subject=f"caller:{caller}",
                limit=_PER_CALLER,
                retry_after=_PAUSE,
            )
        self._running += 1
        self._of_caller[caller] += 1

    def leave(self, caller: str) -> None:
        """Leave the place of a unary RPC of *caller*."""
        self._running -= 1
        self._of_caller[caller] -= 1
        if not self._of_caller[caller]:
            del self._of_caller[caller]

    async def stream(self, call: Call, proceed: Proceed, *, public: bool) -> object:
        """Let a stream go on until it ends, or is ended here."""
        if public:
            self.require_no_drain()
        else:
            self.require_room(streaming=True)
        stream = asyncio.ensure_future(proceed(call))
        # Where its caller has left nobody else takes its error, and asyncio would log each with a traceback.
        stream.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            if public:
                self._public.add(stream, origin_of(call.record.peer))
            else:
                self._streams.add(stream)
            return await stream
        except asyncio.CancelledError:
            if stream in self._renewed and stream.cancelled():
                raise UnavailableError(
                    Reason.CALLERS_CHANGED, "who may call has changed; open the stream again"
                ) from None
            if self._draining and stream.cancelled():
                raise _draining() from None
            if stream.cancelled() and self._public.has_ended(stream):
                raise OverloadedError(MAX_PUBLIC_STREAMS) from None
            stream.cancel()
            raise
        except OverloadedError:
            stream.cancel()
            raise
        finally:
            self._streams.discard(stream)
            self._renewed.discard(stream)
            self._public.discard(stream)
            # It refers to its error, and the traceback of that to this frame.
            del stream


class PlacesInterceptor:
    """Takes a place for each RPC whose message is there. Methods of *public* need no caller."""

    def __init__(self, admission: Admission, *, public: Collection[str]) -> None:
        self._admission = admission
        self._public = frozenset(public)

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Proceed if there is room; a single health check needs none."""
        if call.streaming:
            return await self._admission.stream(call, proceed, public=call.method in self._public)
        if call.caller is None:
            return await proceed(call)
        caller = call.caller.name
        self._admission.take(caller)
        try:
            answer = await proceed(call)
        except BaseException:
            self._admission.leave(caller)
            raise
        # The answer has its place until it is written to the connection.
        call.at_end(partial(self._admission.leave, caller))
        return answer


class PublicStreams:
    """The streams that need no caller. Where there is no room, the origin with the most of them gives way.

    A new stream takes the place of the oldest one of that origin, unless its own origin has as many.
    """

    def __init__(self) -> None:
        self._origins: dict[asyncio.Task[object], str] = {}
        self._ended: set[asyncio.Task[object]] = set()

    def __iter__(self) -> Iterator[asyncio.Task[object]]:
        return iter(self._origins)

    def add(self, stream: asyncio.Task[object], origin: str) -> None:
        """Add a stream of *origin*; raise OverloadedError where it has its share, or where no origin has more."""
        held = Counter(self._origins.values())
        if held[origin] >= MAX_PUBLIC_STREAMS_OF_AN_ORIGIN:
            raise OverloadedError(MAX_PUBLIC_STREAMS_OF_AN_ORIGIN)
        if len(self._origins) >= MAX_PUBLIC_STREAMS:
            ((heaviest, most),) = held.most_common(1)
            if most <= held[origin] + 1:
                raise OverloadedError(MAX_PUBLIC_STREAMS)
            oldest = next(each for each, of in self._origins.items() if of == heaviest)
            del self._origins[oldest]
            self._ended.add(oldest)
            oldest.cancel()
        self._origins[stream] = origin

    def has_ended(self, stream: asyncio.Task[object]) -> bool:
        """Return whether *stream* gave way to another one."""
        return stream in self._ended

    def discard(self, stream: asyncio.Task[object]) -> None:
        """Delete a stream that has ended."""
        self._origins.pop(stream, None)
        self._ended.discard(stream)


def _draining() -> UnavailableError:
    return UnavailableError(Reason.DRAINING, "the server is shutting down; try again")

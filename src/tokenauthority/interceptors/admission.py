"""Bound how many RPCs are answered at once, and refuse new ones once the server drains."""

from __future__ import annotations

import asyncio

from collections import Counter
from collections.abc import Collection
from typing import Final

from tokenauthority.domain.errors import OverloadedError, Reason, UnavailableError
from tokenauthority.domain.origin import origin_of
from tokenauthority.interceptors.chain import Call, Proceed


_LAST_MESSAGE: Final = 1.0
"""Seconds in which an open stream, such as a health Watch, can still send that the server stops."""

MAX_PUBLIC_STREAMS: Final = 128
"""Streams that need no caller (health Watch, reflection) and are open at once."""

MAX_PUBLIC_STREAMS_OF_AN_ORIGIN: Final = 16
"""Of one origin (see `domain.origin`), so that one stranger cannot hold them all."""


class AdmissionInterceptor:
    """At most *max_concurrent* unary RPCs and *max_streams* streams at once, and far fewer public streams.

    The methods of *public* need no caller. Those of *exempt*, single health checks, do not count. A drain ends open
    streams, which may stay open for hours, and lets unary RPCs finish.
    """

    def __init__(
        self, max_concurrent: int, max_streams: int, *, public: Collection[str], exempt: Collection[str]
    ) -> None:
        self._max_concurrent = max_concurrent
        self._max_streams = max_streams
        self._public = frozenset(public)
        self._exempt = frozenset(exempt)
        self._running = 0
        self._draining = False
        self._streams: set[asyncio.Task[object]] = set()
        self._without_caller: set[asyncio.Task[object]] = set()
        self._renewed: set[asyncio.Task[object]] = set()
        self._public_streams: Counter[str] = Counter()

    def drain(self) -> None:
        """Refuse new RPCs from now on, and end open streams once they had time to send a last message."""
        self._draining = True
        asyncio.get_running_loop().call_later(_LAST_MESSAGE, self._end_streams)

    def renew_streams(self) -> None:
        """End the streams of all callers: the callers have changed, and each stream must authenticate again."""
        for stream in self._streams - self._without_caller:
            self._renewed.add(stream)
            stream.cancel()

    def _end_streams(self) -> None:
        for stream in self._streams:
            stream.cancel()

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Proceed if there is room."""
        if call.streaming:
            return (
                await self._stream(call, proceed)
                if call.method not in self._public
                else await self._public_stream(call, proceed)
            )
        if call.method in self._exempt:
            return await proceed(call)
        if self._draining:
            raise _draining()
        if self._running >= self._max_concurrent:
            raise OverloadedError(self._max_concurrent)
        self._running += 1
        try:
            return await proceed(call)
        finally:
            self._running -= 1

    async def _public_stream(self, call: Call, proceed: Proceed) -> object:
        origin = origin_of(call.context.peer())
        if self._public_streams.total() >= MAX_PUBLIC_STREAMS:
            raise OverloadedError(MAX_PUBLIC_STREAMS)
        if self._public_streams[origin] >= MAX_PUBLIC_STREAMS_OF_AN_ORIGIN:
            raise OverloadedError(MAX_PUBLIC_STREAMS_OF_AN_ORIGIN)
        self._public_streams[origin] += 1
        try:
            return await self._stream(call, proceed)
        finally:
            self._public_streams[origin] -= 1
            if not self._public_streams[origin]:
                del self._public_streams[origin]

    async def _stream(self, call: Call, proceed: Proceed) -> object:
        if self._draining:
            raise _draining()
        if len(self._streams) >= self._max_streams:
            raise OverloadedError(self._max_streams)
        stream = asyncio.ensure_future(proceed(call))
        self._streams.add(stream)
        if call.method in self._public:
            self._without_caller.add(stream)
        try:
            return await stream
        except asyncio.CancelledError:
            if stream in self._renewed and stream.cancelled():
                raise UnavailableError(
                    Reason.CALLERS_CHANGED, "who may call has changed; open the stream again"
                ) from None
            if self._draining and stream.cancelled():
                raise _draining() from None
            stream.cancel()
            raise
        finally:
            for streams in (self._streams, self._without_caller, self._renewed):
                streams.discard(stream)


def _draining() -> UnavailableError:
    return UnavailableError(Reason.DRAINING, "the server is shutting down; try again")

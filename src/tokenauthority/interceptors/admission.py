"""Bounds how many RPCs are answered at once, and takes none any more once the server drains."""

from __future__ import annotations

import asyncio

from collections import Counter
from typing import TYPE_CHECKING, Final

from tokenauthority.domain.errors import OverloadedError, Reason, UnavailableError


if TYPE_CHECKING:
    from collections.abc import Collection

    from tokenauthority.interceptors.chain import Call, Proceed


_LAST_WORD: Final = 1.0
"""Seconds in which a stream can still be told, by a health Watch for one, that the server stops."""


MAX_PUBLIC_STREAMS: Final = 128
"""Streams that need no caller (health Watch, reflection) and are open at once."""

MAX_PUBLIC_STREAMS_OF_A_PEER: Final = 16
"""Of one address, so that one stranger cannot hold them all."""


class AdmissionInterceptor:
    """At most *max_concurrent* unary RPCs and *max_streams* streams at once, and far fewer streams of strangers.

    Single health checks (*exempt*) do not count. Streams stay open for hours, so a drain ends them; unary RPCs in
    flight finish. The methods of *public* need no caller.
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
        self._of_strangers: set[asyncio.Task[object]] = set()
        self._renewed: set[asyncio.Task[object]] = set()
        self._public_streams: Counter[str] = Counter()

    def drain(self) -> None:
        """Refuse what comes from now on, and end the streams that are open once they could say their last word."""
        self._draining = True
        asyncio.get_running_loop().call_later(_LAST_WORD, self._end_streams)

    def renew_streams(self) -> None:
        """End the streams of callers: who may call has changed, and each has to show again that it still may."""
        for stream in self._streams - self._of_strangers:
            self._renewed.add(stream)
            stream.cancel()

    def _end_streams(self) -> None:
        for stream in self._streams:
            stream.cancel()

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Proceed where there is room."""
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
        peer = call.context.peer().rpartition(":")[0]
        if self._public_streams.total() >= MAX_PUBLIC_STREAMS:
            raise OverloadedError(MAX_PUBLIC_STREAMS)
        if self._public_streams[peer] >= MAX_PUBLIC_STREAMS_OF_A_PEER:
            raise OverloadedError(MAX_PUBLIC_STREAMS_OF_A_PEER)
        self._public_streams[peer] += 1
        try:
            return await self._stream(call, proceed)
        finally:
            self._public_streams[peer] -= 1
            if not self._public_streams[peer]:
                del self._public_streams[peer]

    async def _stream(self, call: Call, proceed: Proceed) -> object:
        if self._draining:
            raise _draining()
        if len(self._streams) >= self._max_streams:
            raise OverloadedError(self._max_streams)
        stream = asyncio.ensure_future(proceed(call))
        self._streams.add(stream)
        if call.method in self._public:
            self._of_strangers.add(stream)
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
            for streams in (self._streams, self._of_strangers, self._renewed):
                streams.discard(stream)


def _draining() -> UnavailableError:
    return UnavailableError(Reason.DRAINING, "the server is shutting down; try again")

"""Bounds how many RPCs are answered at once, and takes none any more once the server drains."""

from __future__ import annotations

import asyncio

from typing import TYPE_CHECKING, Final

from tokenauthority.domain.errors import OverloadedError, Reason, UnavailableError


if TYPE_CHECKING:
    from collections.abc import Collection

    from tokenauthority.interceptors.chain import Call, Proceed


_LAST_WORD: Final = 1.0
"""Seconds in which a stream can still be told, by a health Watch for one, that the server stops."""


class AdmissionInterceptor:
    """At most *max_concurrent* unary RPCs at once; those of *exempt* (health checks) and streams do not count.

    Streams stay open for hours, so a drain ends them; unary RPCs in flight finish.
    """

    def __init__(self, max_concurrent: int, exempt: Collection[str]) -> None:
        self._max_concurrent = max_concurrent
        self._exempt = frozenset(exempt)
        self._running = 0
        self._draining = False
        self._streams: set[asyncio.Task[object]] = set()

    def drain(self) -> None:
        """Refuse what comes from now on, and end the streams that are open once they could say their last word."""
        self._draining = True
        asyncio.get_running_loop().call_later(_LAST_WORD, self._end_streams)

    def _end_streams(self) -> None:
        for stream in self._streams:
            stream.cancel()

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Proceed where there is room."""
        if call.streaming:
            return await self._stream(call, proceed)
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

    async def _stream(self, call: Call, proceed: Proceed) -> object:
        if self._draining:
            raise _draining()
        stream = asyncio.ensure_future(proceed(call))
        self._streams.add(stream)
        try:
            return await stream
        except asyncio.CancelledError:
            if self._draining and stream.cancelled():
                raise _draining() from None
            stream.cancel()
            raise
        finally:
            self._streams.discard(stream)


def _draining() -> UnavailableError:
    return UnavailableError(Reason.DRAINING, "the server is shutting down; try again")

"""Give each caller a share of what all callers use, so that none waits behind all the work of another."""

from __future__ import annotations

import asyncio

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Shares:
    """At most *total* pieces of work at once, and of one caller at most *each*. Others wait, each caller in turn."""

    def __init__(self, total: int, each: int) -> None:
        self._each = each
        self._all = asyncio.Semaphore(total)
        self._of_callers: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, caller: str) -> AsyncIterator[None]:
        """Wait for a place, and hold it."""
        # Its own share first: no more of one caller wait for a place than its share.
        own = self._of_callers.get(caller)
        if own is None:
            own = self._of_callers[caller] = asyncio.Semaphore(self._each)
        async with own, self._all:
            yield

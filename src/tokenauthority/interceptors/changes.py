"""Give each caller a share of the queue of the store: no change waits behind all the changes of another caller."""

from __future__ import annotations

import asyncio

from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from tokenauthority.authority.shares import Shares
from tokenauthority.domain.errors import RateLimitError
from tokenauthority.interceptors.call import Call, Proceed


CHANGES_OF_A_CALLER: Final = 10
"""Changes of one caller that the store has at once: as many as it makes in parallel. A disk that is slow could else be
busy for longer than any other caller waits."""

_PAUSE: Final = 1.0
"""Seconds after which to retry."""


class ChangesInterceptor:
    """Has the further calls of a caller wait that change the store (*methods*), each until its deadline at most.

    *places* bounds the calls of all callers, as `Admission` does.
    """

    def __init__(self, methods: Collection[str], places: int) -> None:
        self._methods = frozenset(methods)
        self._shares = Shares(places, CHANGES_OF_A_CALLER)

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Proceed once the caller has fewer changes in progress than its share."""
        if call.caller is None or call.method not in self._methods:
            return await proceed(call)
        async with AsyncExitStack() as held:
            await self._take_place(held, call.caller.name, call.deadline)
            if call.abandoned:
                # Nothing is begun yet that has to be finished.
                raise asyncio.CancelledError
            # Nothing of it refers to the call: gRPC ends a call that nothing refers to.
            call.aside = partial(self._aside, held, call.caller.name, call.deadline)
            return await proceed(call)

    async def _take_place(self, held: AsyncExitStack, name: str, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await held.enter_async_context(self._shares.hold(name))
        except TimeoutError:
            raise RateLimitError(
                f"caller {name} has {CHANGES_OF_A_CALLER} changes in progress, as many as are made at once",
                subject=f"caller:{name}",
                limit="changes",
                retry_after=_PAUSE,
            ) from None

    @asynccontextmanager
    async def _aside(self, held: AsyncExitStack, name: str, deadline: float) -> AsyncIterator[None]:
        await held.aclose()
        yield
        await self._take_place(held, name, deadline)

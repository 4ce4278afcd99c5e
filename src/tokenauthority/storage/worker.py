"""The store's threads: work that gets no answer is an unavailable store."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tokenauthority.domain.errors import UnavailableError
from tokenauthority.threads import BlockingPool, PoolError


if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenauthority.storage.database import StoreLimits


T = TypeVar("T")


class StoreThreads:
    """A `BlockingPool` within *limits*."""

    def __init__(self, name: str, threads: int, limits: StoreLimits) -> None:
        self._pool = BlockingPool(name, threads=threads, max_pending=limits.max_waiting)
        self._patience = limits.unit_timeout

    async def run(self, work: Callable[[], T]) -> T:
        """Return what *work* answers; see `BlockingPool.run`.

        Raises:
            UnavailableError: too much is pending, it took too long, or the store is closed.
        """
        try:
            return await self._pool.run(work, patience=self._patience)
        except PoolError as error:
            raise UnavailableError.store() from error

    async def close(self) -> bool:
        """Take no more work; return whether all that was taken has ended, for which callers wait no longer either."""
        return await self._pool.close(self._patience)

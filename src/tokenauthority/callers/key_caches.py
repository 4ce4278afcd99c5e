"""The keys of all issuers of the callers file in force: kept over a reload where an issuer stays as it was."""

from __future__ import annotations

import asyncio
import time

from typing import TYPE_CHECKING, Final

from tokenauthority.callers.jwks_cache import KeyCache, Pace
from tokenauthority.callers.jwks_sources import FileSource, UrlSource


if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenauthority.callers.issuers import Issuer
    from tokenauthority.callers.registry import CurrentCallers


_URL_RETRY: Final = 60.0
_FILE_RETRY: Final = 1.0


class KeyCaches:
    """One cache for each issuer. URLs are asked every *refresh* seconds, files looked at every second."""

    def __init__(
        self,
        callers: CurrentCallers,
        *,
        refresh: float,
        max_stale: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._callers = callers
        self._url_pace = Pace(retry=_URL_RETRY, refresh=refresh, max_stale=max_stale)
        self._file_pace = Pace(retry=_FILE_RETRY, refresh=_FILE_RETRY, max_stale=max_stale)
        self._monotonic = monotonic
        self._caches: dict[Issuer, KeyCache] = {}

    def of(self, issuer: Issuer) -> KeyCache:
        """The keys of *issuer*."""
        cache = self._caches.get(issuer)
        if cache is None:
            cache = self._caches[issuer] = self._make(issuer)
        return cache

    def failing(self) -> list[str]:
        """The issuers whose keys could not be had when they were last asked for."""
        return sorted(issuer.issuer for issuer, cache in self._caches.items() if cache.failing)

    async def upkeep(self) -> None:
        """Begin to ask for keys where it is time to, and forget issuers that are no longer in the callers file."""
        issuers = set(self._callers.book.issuers)
        for issuer in issuers:
            self.of(issuer).upkeep()
        for issuer in self._caches.keys() - issuers:
            await self._caches.pop(issuer).close()

    async def close(self) -> None:
        """Give up every fetch."""
        await asyncio.gather(*(cache.close() for cache in self._caches.values()))

    def _make(self, issuer: Issuer) -> KeyCache:
        if issuer.jwks_file is not None:
            return KeyCache(issuer.issuer, FileSource(issuer, issuer.jwks_file), self._file_pace, self._monotonic)
        return KeyCache(issuer.issuer, UrlSource(issuer), self._url_pace, self._monotonic)

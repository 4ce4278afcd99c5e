"""Cache the keys of JWT issuers: fetch seldom, one fetch at a time, and use the keys for a while if a fetch fails."""

from __future__ import annotations

import asyncio
import time

from collections.abc import Callable
from types import MappingProxyType
from typing import Final, Protocol

import attrs
import structlog

from tokenauthority.callers.identity import Issuer
from tokenauthority.callers.jwks_sources import FETCH_TIMEOUT, JwksFileSource, JwksUrlSource
from tokenauthority.callers.registry import CurrentCallers
from tokenauthority.outage import Outage
from tokenauthority.signing.jwks_reader import Jwks, JwksError, JwksKey


MAX_WAITING: Final = 64
"""RPCs that wait for one fetch. Further ones are refused at once, so that invented key ids cannot fill the server."""

_URL_RETRY: Final = 60.0
_FILE_RETRY: Final = 1.0


class JwksSource(Protocol):
    """The place where an issuer publishes its keys."""

    async def load(self) -> Jwks:
        """Return the keys within a bounded time, or raise JwksError."""


@attrs.frozen(kw_only=True)
class RefreshPolicy:
    """How often a source is asked, in seconds: at most every *retry*; without a request for a key every *refresh*.

    Keys that were last loaded more than *max_stale* ago are not used.
    """

    retry: float
    refresh: float
    max_stale: float


class IssuerKeyCache:
    """The keys of one issuer, for one event loop."""

    def __init__(self, issuer: str, source: JwksSource, policy: RefreshPolicy, monotonic: Callable[[], float]) -> None:
        self._issuer = issuer
        self._source = source
        self._policy = policy
        self._monotonic = monotonic
        self._jwks = Jwks()
        self._loaded_at: float | None = None
        self._asked_at: float | None = None
        self._fetch: asyncio.Task[None] | None = None
        self._waiting = 0
        self._logger = structlog.stdlib.get_logger(__name__)
        self._outage = Outage(self._logger, "jwks.failed", level="warning")

    @property
    def failing(self) -> bool:
        """Whether the last fetch failed."""
        return bool(self._outage.cause)

    def cached_key(self, key_id: str) -> JwksKey | None:
        """Return the key if it is cached and not too old."""
        if self._loaded_at is None or self._monotonic() - self._loaded_at > self._policy.max_stale:
            return None
        return self._jwks.keys.get(key_id)

    async def find_key(self, key_id: str) -> JwksKey | None:
        """Return the key; ask the source for a key that is not cached, unless the source was asked within `retry`."""
        key = self.cached_key(key_id)
        if key is None and self._start_fetch():
            await self._wait_for_fetch()
            key = self.cached_key(key_id)
        return key

    def refresh_if_due(self) -> None:
        """Start a fetch if its time has come. Call this about every second."""
        due = self._policy.retry if self._loaded_at is None or self.failing else self._policy.refresh
        if self._asked_at is None or self._monotonic() - self._asked_at >= due:
            self._start_fetch()

    async def close(self) -> None:
        """Cancel the fetch that is under way."""
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.gather(self._fetch, return_exceptions=True)

    def _start_fetch(self) -> bool:
        """Return whether a fetch is under way now."""
        if self._fetch is not None and not self._fetch.done():
            return True
        now = self._monotonic()
        if self._asked_at is not None and now - self._asked_at < self._policy.retry:
            return False
        self._asked_at = now
        self._fetch = asyncio.create_task(self._load_jwks(), name="jwks")
        return True

    async def _wait_for_fetch(self) -> None:
        """Wait for the fetch; an RPC that is cancelled meanwhile does not cancel the fetch for the others."""
        if self._fetch is None or self._waiting >= MAX_WAITING:
            return
        self._waiting += 1
        try:
            await asyncio.wait([self._fetch], timeout=2 * FETCH_TIMEOUT)
        finally:
            self._waiting -= 1

    async def _load_jwks(self) -> None:
        try:
            jwks = await self._source.load()
        except JwksError as error:
            self._report_failure(str(error))
        except Exception as error:
            cause = f"a bug: {type(error).__name__}"
            if cause != self._outage.cause:
                self._logger.exception("jwks.bug", issuer=self._issuer)
            self._report_failure(cause)
        else:
            self._store_jwks(jwks)

    def _report_failure(self, cause: str) -> None:
        self._outage.report(cause, issuer=self._issuer, cause=cause, keys_at_hand=len(self._jwks.keys))

    def _store_jwks(self, jwks: Jwks) -> None:
        self._loaded_at = self._monotonic()
        if self.failing or jwks != self._jwks:
            # An unchanged key stays the same object, so that the credentials verified with it stay cached.
            before = self._jwks.keys
            keys = {kid: before[kid] if before.get(kid) == key else key for kid, key in jwks.keys.items()}
            self._jwks = Jwks(MappingProxyType(keys), jwks.unusable)
            self._logger.info("jwks.loaded", issuer=self._issuer, keys=sorted(keys), unusable=jwks.unusable)
        self._outage.recover()


class IssuerKeyCaches:
    """One key cache for each issuer of the current callers file. A reload preserves those of unchanged issuers.

    URLs are asked every *refresh* seconds, files every second.
    """

    def __init__(
        self,
        callers: CurrentCallers,
        *,
        refresh: float,
        max_stale: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._callers = callers
        self._url_policy = RefreshPolicy(retry=_URL_RETRY, refresh=refresh, max_stale=max_stale)
        self._file_policy = RefreshPolicy(retry=_FILE_RETRY, refresh=_FILE_RETRY, max_stale=max_stale)
        self._monotonic = monotonic
        self._caches: dict[Issuer, IssuerKeyCache] = {}

    def cache_of(self, issuer: Issuer) -> IssuerKeyCache:
        """Return the cache of *issuer*; create it on first use."""
        cache = self._caches.get(issuer)
        if cache is None:
            source: JwksSource = JwksUrlSource(issuer)
            policy = self._url_policy
            if issuer.jwks_file is not None:
                source, policy = JwksFileSource(issuer, issuer.jwks_file), self._file_policy
            cache = self._caches[issuer] = IssuerKeyCache(issuer.issuer, source, policy, self._monotonic)
        return cache

    def failing(self) -> list[str]:
        """Return the issuers whose last fetch failed."""
        return sorted(issuer.issuer for issuer, cache in self._caches.items() if cache.failing)

    async def refresh_due(self) -> None:
        """Start the fetches that are due, and drop the caches of issuers that the callers file no longer names."""
        issuers = set(self._callers.registry.issuers)
        for issuer in issuers:
            self.cache_of(issuer).refresh_if_due()
        for issuer in self._caches.keys() - issuers:
            await self._caches.pop(issuer).close()

    async def close(self) -> None:
        """Cancel every fetch."""
        await asyncio.gather(*(cache.close() for cache in self._caches.values()))

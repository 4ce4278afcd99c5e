"""Cache the keys of JWT issuers: fetch seldom, one fetch at a time, and use the keys for a while if a fetch fails."""

from __future__ import annotations

import asyncio
import time

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Protocol

import attrs
import structlog

from tokenauthority.callers.identity import Issuer
from tokenauthority.callers.jwks_sources import FETCH_TIMEOUT, source_of
from tokenauthority.callers.registry import CurrentCallers
from tokenauthority.outage import Outage
from tokenauthority.signing.jwks_reader import Jwks, JwksError, JwksKey


MAX_WAITING: Final = 256
"""RPCs that wait for one fetch. Further ones are refused at once, so that invented key ids cannot fill the server."""

MAX_WAITING_EACH: Final = 32
"""Of them those of one origin, so that they leave places for others."""

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
        self._waiting: Counter[str] = Counter()
        self._logger = structlog.stdlib.get_logger(__name__)
        self._outage = Outage(self._logger, "jwks.failed", level="warning")

    @property
    def failing(self) -> bool:
        """Whether the last fetch failed."""
        return bool(self._outage.cause)

    @property
    def failure(self) -> str:
        """Why the last fetch failed; empty if it did not."""
        return self._outage.cause

    @property
    def jwks(self) -> Jwks:
        """What the source had when it last answered."""
        return self._jwks

    def cached_key(self, key_id: str) -> JwksKey | None:
        """Return the key if it is cached and not too old."""
        if self._loaded_at is None or self._monotonic() - self._loaded_at > self._policy.max_stale:
            return None
        return self._jwks.keys.get(key_id)

    async def find_key(self, key_id: str, origin: str = "") -> JwksKey | None:
        """Return the key; ask the source for a key that is not cached, unless the source was asked within `retry`.

        *origin* is whose RPC waits.
        """
        key = self.cached_key(key_id)
        if key is None and self._start_fetch():
            await self._wait_for_fetch(origin)
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

    async def _wait_for_fetch(self, origin: str) -> None:
        """Wait for the fetch; an RPC that is cancelled meanwhile does not cancel the fetch for the others."""
        is_full = self._waiting.total() >= MAX_WAITING or self._waiting[origin] >= MAX_WAITING_EACH
        if self._fetch is None or is_full:
            return
        self._waiting[origin] += 1
        try:
            await asyncio.wait([self._fetch], timeout=2 * FETCH_TIMEOUT)
        finally:
            self._waiting -= Counter([origin])

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
            unusable = jwks.describe_unusable()
            self._logger.info("jwks.loaded", issuer=self._issuer, keys=sorted(keys), unusable=unusable)
            if unusable and not keys:
                self._logger.warning("jwks.no_usable_key", issuer=self._issuer, unusable=unusable)
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
            policy = self._url_policy if issuer.jwks_file is None else self._file_policy
            cache = self._caches[issuer] = IssuerKeyCache(issuer.issuer, source_of(issuer), policy, self._monotonic)
        return cache

    def failing(self) -> list[str]:
        """Return the issuers whose last fetch failed."""
        return sorted(issuer.issuer for issuer, cache in self._caches.items() if cache.failing)

    def details(self) -> Mapping[str, str]:
        """Return what is wrong with the keys of issuers, for `/readyz`: `issuers` and `issuer_keys`, or nothing."""
        loaded = {issuer.issuer: cache.jwks for issuer, cache in self._caches.items()}
        keyless = [issuer for issuer, jwks in loaded.items() if jwks.unusable and not jwks.keys]
        problems = {"the keys cannot be fetched of": self.failing(), "no key can be used of": sorted(keyless)}
        unusable = {issuer: jwks.describe_unusable() for issuer, jwks in sorted(loaded.items())}
        details = {
            "issuers": "; ".join(f"{what}: {', '.join(issuers)}" for what, issuers in problems.items() if issuers),
            "issuer_keys": "; ".join(f"{issuer}: {', '.join(keys)}" for issuer, keys in unusable.items() if keys),
        }
        return {part: text for part, text in details.items() if text}

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

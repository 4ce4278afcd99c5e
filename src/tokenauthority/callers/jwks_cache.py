"""Keeps an issuer's keys at hand: asked for seldom, by one at a time, and served for a while when it is down."""

from __future__ import annotations

import asyncio

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

import attrs
import structlog

from tokenauthority.callers.jwks_sources import FETCH_TIMEOUT
from tokenauthority.signing.jwk import Jwks, JwksError


if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenauthority.signing.jwk import JwksKey


MAX_WAITING: Final = 64
"""RPCs that wait for one fetch. More are refused at once, lest made-up kids fill the server while an issuer is slow."""


class JwksSource(Protocol):
    """Where an issuer's keys come from."""

    async def load(self) -> Jwks:
        """The keys now, or JwksError, within a bounded time."""


@attrs.frozen(kw_only=True)
class Pace:
    """How often a source is asked, in seconds: at most every *retry*, unasked every *refresh*.

    Keys that could not be had anew for *max_stale* are not used any more.
    """

    retry: float
    refresh: float
    max_stale: float


class KeyCache:
    """The keys of the issuer called *issuer*, from *source* at a *pace*; *monotonic* counts seconds.

    It belongs to one event loop.
    """

    def __init__(self, issuer: str, source: JwksSource, pace: Pace, monotonic: Callable[[], float]) -> None:
        self._issuer = issuer
        self._source = source
        self._pace = pace
        self._monotonic = monotonic
        self._jwks = Jwks()
        self._loaded: float | None = None
        self._asked: float | None = None
        self._flight: asyncio.Task[None] | None = None
        self._waiting = 0
        self._failure = ""

    @property
    def failing(self) -> bool:
        """Whether the source failed when it was last asked."""
        return bool(self._failure)

    def held(self, key_id: str) -> JwksKey | None:
        """The key, if it is at hand and not too old."""
        if self._loaded is None or self._monotonic() - self._loaded > self._pace.max_stale:
            return None
        return self._jwks.keys.get(key_id)

    async def find(self, key_id: str) -> JwksKey | None:
        """The key; if it is not at hand, the source is asked, unless it was within `retry`."""
        key = self.held(key_id)
        if key is None and self._start_flight():
            await self._wait()
            key = self.held(key_id)
        return key

    def upkeep(self) -> None:
        """Begin to ask the source if it is time to. To be called about every second."""
        due = self._pace.retry if self._loaded is None or self.failing else self._pace.refresh
        if self._asked is None or self._monotonic() - self._asked >= due:
            self._start_flight()

    async def close(self) -> None:
        """Give up what is under way."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)

    def _start_flight(self) -> bool:
        """Whether a fetch is under way now."""
        if self._flight is not None and not self._flight.done():
            return True
        now = self._monotonic()
        if self._asked is not None and now - self._asked < self._pace.retry:
            return False
        self._asked = now
        self._flight = asyncio.create_task(self._load(), name="jwks")
        return True

    async def _wait(self) -> None:
        """Until the fetch is over: an RPC that is cancelled meanwhile does not end it for the others."""
        if self._flight is None or self._waiting >= MAX_WAITING:
            return
        self._waiting += 1
        try:
            await asyncio.wait([self._flight], timeout=2 * FETCH_TIMEOUT)
        finally:
            self._waiting -= 1

    async def _load(self) -> None:
        try:
            jwks = await self._source.load()
        except JwksError as error:
            self._fail(str(error))
        except Exception as error:
            cause = f"a bug: {type(error).__name__}"
            if cause != self._failure:
                logger = structlog.stdlib.get_logger(__name__)
                logger.exception("jwks.bug", issuer=self._issuer)
            self._fail(cause)
        else:
            self._take(jwks)

    def _fail(self, failure: str) -> None:
        """Told once, not at each of the many attempts that fail alike."""
        if failure != self._failure:
            logger = structlog.stdlib.get_logger(__name__)
            logger.warning("jwks.failed", issuer=self._issuer, cause=failure, keys_at_hand=len(self._jwks.keys))
        self._failure = failure

    def _take(self, jwks: Jwks) -> None:
        self._loaded = self._monotonic()
        if self._failure or jwks != self._jwks:
            # A key that stays is the same object, so that what was verified with it stays remembered.
            before = self._jwks.keys
            kept = {kid: before[kid] if before.get(kid) == key else key for kid, key in jwks.keys.items()}
            self._jwks = Jwks(MappingProxyType(kept), jwks.unusable)
            logger = structlog.stdlib.get_logger(__name__)
            logger.info("jwks.loaded", issuer=self._issuer, keys=sorted(kept), unusable=jwks.unusable)
        self._failure = ""

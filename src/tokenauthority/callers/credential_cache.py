"""Cache credentials that were verified, by their SHA-256, so that the next call with one costs microseconds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from tokenauthority.callers.registry import CurrentCallers
from tokenauthority.domain.caller import Caller
from tokenauthority.domain.times import Millis


CAPACITY: Final = 10_000


class _CachedCredential(NamedTuple):
    caller: Caller
    version: int
    expires: Millis | None
    still_trusted: Callable[[], bool] | None


class CredentialCache:
    """At most *capacity* valid credentials, least recently used dropped first, for one event loop.

    Invalid credentials are not cached, so a stranger who invents credentials displaces nobody. The cache holds only
    digests, which are no credentials.
    """

    def __init__(self, callers: CurrentCallers, capacity: int = CAPACITY) -> None:
        self._callers = callers
        self._capacity = capacity
        self._cached: OrderedDict[bytes, _CachedCredential] = OrderedDict()

    def __len__(self) -> int:
        return len(self._cached)

    def find_caller(self, digest: bytes, now: Millis) -> Caller | None:
        """Return the caller, unless the callers file was reloaded, the credential expired or its key was withdrawn."""
        cached = self._cached.get(digest)
        if cached is None:
            return None
        if (
            cached.version != self._callers.version
            or (cached.expires is not None and now >= cached.expires)
            or (cached.still_trusted is not None and not cached.still_trusted())
        ):
            del self._cached[digest]
            return None
        self._cached.move_to_end(digest)
        return cached.caller

    def store_caller(
        self,
        digest: bytes,
        caller: Caller,
        version: int,
        *,
        expires: Millis | None = None,
        still_trusted: Callable[[], bool] | None = None,
    ) -> None:
        """Cache *caller*, found in *version* of the callers file, until *expires* and while it is *still_trusted*."""
        self._cached[digest] = _CachedCredential(caller, version, expires, still_trusted)
        self._cached.move_to_end(digest)
        if len(self._cached) > self._capacity:
            self._cached.popitem(last=False)

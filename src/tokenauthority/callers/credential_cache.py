"""Remembers credentials that were verified, by their SHA-256, so that the next call with one costs microseconds."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple


if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenauthority.callers.registry import CurrentCallers
    from tokenauthority.domain.caller import Caller
    from tokenauthority.domain.times import Millis


CAPACITY: Final = 10_000


class _Remembered(NamedTuple):
    caller: Caller
    version: int
    expires: Millis | None
    stands: Callable[[], bool] | None


class CredentialCache:
    """At most *capacity* credentials, the least recently used forgotten first. It belongs to one event loop.

    Only the good ones: a stranger who makes up credentials pushes nobody out. Whoever reads this memory finds
    digests, which are no credentials.
    """

    def __init__(self, callers: CurrentCallers, capacity: int = CAPACITY) -> None:
        self._callers = callers
        self._capacity = capacity
        self._found: OrderedDict[bytes, _Remembered] = OrderedDict()

    def __len__(self) -> int:
        return len(self._found)

    def find(self, digest: bytes, now: Millis) -> Caller | None:
        """The caller, unless the callers file was reloaded, the credential expired, or its issuer's key has gone."""
        found = self._found.get(digest)
        if found is None:
            return None
        if (
            found.version != self._callers.version
            or (found.expires is not None and now >= found.expires)
            or (found.stands is not None and not found.stands())
        ):
            del self._found[digest]
            return None
        self._found.move_to_end(digest)
        return found.caller

    def keep(
        self,
        digest: bytes,
        caller: Caller,
        version: int,
        *,
        expires: Millis | None = None,
        stands: Callable[[], bool] | None = None,
    ) -> None:
        """Remember *caller*, found in *version* of the callers file, until *expires* and while it *stands*."""
        self._found[digest] = _Remembered(caller, version, expires, stands)
        self._found.move_to_end(digest)
        if len(self._found) > self._capacity:
            self._found.popitem(last=False)

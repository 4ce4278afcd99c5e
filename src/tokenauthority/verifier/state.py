"""What a verifier knows, how old that is, and what went wrong last; shared by its threads and all who ask it."""

from __future__ import annotations

import logging
import math
import threading

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import attrs

from tokenauthority.client.errors import AuthorityError, InvalidArgument, PermissionDenied, Unauthenticated


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tokenauthority.domain.revoked import RevokedIndex
    from tokenauthority.signing.jwk import JwksKey


_FINAL: Final = (InvalidArgument, PermissionDenied, Unauthenticated)
"""What waiting does not mend."""

_logger: Final = logging.getLogger(__name__)


class NotSyncedError(Exception):
    """A verifier could not get the keys and everything in force; the message says why, and holds nothing secret."""


@attrs.frozen(kw_only=True)
class KeySet:
    """The authority's public keys by `kid`, asked for at the moment *fetched* and good for *max_age* seconds."""

    issuer: str = ""
    keys: Mapping[str, JwksKey] = attrs.field(factory=lambda: MappingProxyType({}))
    max_age: float = 0.0
    fetched: float = -math.inf


class VerifierState:
    """What is known. Each part is replaced whole, so that who reads needs no lock. *monotonic* counts seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._failures: dict[str, Exception] = {}
        self._current = -math.inf
        self._closed = False
        self.keys = KeySet()
        self.index: RevokedIndex | None = None

    def age(self) -> float:
        """How old it is, in seconds; infinite before it is complete. See `Verifier.age`."""
        now, keys = self._monotonic(), self.keys
        return max(0.0, now - self._current, now - keys.fetched - keys.max_age)

    @property
    def synced(self) -> bool:
        """Whether the keys and everything in force are there."""
        return self.index is not None and self.keys.fetched > -math.inf

    @property
    def last_error(self) -> str:
        """Of the sources that failed when they were last asked; empty where none did."""
        with self._changed:
            return "; ".join(f"{source}: {_text(error)}" for source, error in self._failures.items())

    def take_keys(self, keys: KeySet) -> None:
        """Go on with *keys*."""
        if keys.keys.keys() != self.keys.keys.keys():
            _logger.info("the authority shows the keys %s", ", ".join(sorted(keys.keys)) or "none")
        with self._changed:
            self.keys = keys
            self._changed.notify_all()

    def confirm(self, index: RevokedIndex, complete_to: float) -> None:
        """Go on with *index*, which holds everything up to the monotonic moment *complete_to*."""
        with self._changed:
            self.index, self._current = index, max(self._current, complete_to)
            self._changed.notify_all()

    def succeeded(self, source: str) -> None:
        """*source* works."""
        with self._changed:
            failed = self._failures.pop(source, None)
        if failed is not None:
            _logger.info("%s works again", source)

    def failed(self, source: str, error: Exception) -> None:
        """*source* does not work. It is logged once, not at each of many attempts that fail alike."""
        with self._changed:
            before = self._failures.get(source)
            self._failures[source] = error
            self._changed.notify_all()
        if before is None or _text(before) != _text(error):
            _logger.warning("%s failed: %s", source, _text(error))

    def wait_until_synced(self, timeout: float, max_age: float) -> None:
        """Return once everything is there, and no older than *max_age* seconds.

        Raises:
            NotSyncedError: it was not in *timeout* seconds, or will never be: the API key is wrong, it was closed.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self.age() <= max_age or self._closed or self._hopeless() is not None, timeout
            )
            if self.age() <= max_age and not self._closed:
                return
            cause = self._hopeless() or next(iter(self._failures.values()), None)
        said = "it was closed" if self._closed else self.last_error or f"no answer within {timeout:g} seconds"
        raise NotSyncedError(f"the verifier could not begin: {said}") from cause

    def close(self) -> None:
        """Nobody shall wait for it any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _hopeless(self) -> Exception | None:
        return next((error for error in self._failures.values() if isinstance(error, _FINAL)), None)


def _text(error: Exception) -> str:
    return f"{error.code.name}: {error}" if isinstance(error, AuthorityError) else str(error)

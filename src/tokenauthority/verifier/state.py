"""Share the keys and revocations between a verifier's threads: how old they are, and what failed last."""

from __future__ import annotations

import logging
import math
import threading

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

import attrs

from tokenauthority.client.errors import AuthorityError, InvalidArgument, PermissionDenied, Unauthenticated
from tokenauthority.domain.counts import counted
from tokenauthority.domain.one_line import one_line
from tokenauthority.domain.revocation_index import RevocationIndex
from tokenauthority.signing.jwks_reader import JwksKey


_PERMANENT: Final = (InvalidArgument, PermissionDenied, Unauthenticated)
"""Errors that waiting does not end."""

_MAX_NAMES: Final = 2000
"""Characters of the keys' ids that are logged."""

_logger: Final = logging.getLogger(__name__)


class NotSyncedError(Exception):
    """A verifier could not get the keys and the revocations; the text says why and holds nothing secret."""


@attrs.frozen(kw_only=True)
class KeySet:
    """The authority's public keys by `kid`, requested at *fetched* (monotonic), valid for *max_age* seconds.

    `unusable` says which further keys the authority shows, and why they verify nothing.
    """

    issuer: str = ""
    keys: Mapping[str, JwksKey] = attrs.field(factory=lambda: MappingProxyType({}))
    unusable: tuple[str, ...] = ()
    max_age: float = 0.0
    fetched: float = -math.inf


class VerifierState:
    """The keys and the revocation index. Each is replaced whole: readers need no lock. *monotonic* counts seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._failures: dict[str, Exception] = {}
        self._complete_to = -math.inf
        self._closed = False
        self.keys = KeySet()
        self.index: RevocationIndex | None = None

    def age(self) -> float:
        """Return its age in seconds, infinite before it is complete; see `Verifier.age`."""
        now, keys = self._monotonic(), self.keys
        return max(0.0, now - self._complete_to, now - keys.fetched - keys.max_age)

    @property
    def synced(self) -> bool:
        """Whether the keys and everything in force were read at least once."""
        return self.index is not None and self.keys.fetched > -math.inf

    @property
    def last_error(self) -> str:
        """The errors of the sources whose last attempt failed; empty if none did."""
        with self._changed:
            return "; ".join(f"{source}: {_describe(error)}" for source, error in self._failures.items())

    def set_keys(self, keys: KeySet) -> None:
        """Use *keys* from now on."""
        if keys.keys.keys() != self.keys.keys.keys():
            _logger.info("the authority shows the keys %s", _names(keys.keys) or "none")
        if keys.unusable and keys.unusable != self.keys.unusable:
            _logger.warning("the authority shows keys that cannot be used: %s", ", ".join(keys.unusable))
        with self._changed:
            self.keys = keys
            self._changed.notify_all()

    def confirm_index(self, index: RevocationIndex, complete_to: float) -> None:
        """Use *index* from now on, which is complete up to the monotonic moment *complete_to*."""
        with self._changed:
            self.index, self._complete_to = index, max(self._complete_to, complete_to)
            self._changed.notify_all()

    def report_success(self, source: str) -> None:
        """Note that *source* answered; log it after a failure."""
        with self._changed:
            failed = self._failures.pop(source, None)
        if failed is not None:
            _logger.info("%s works again", source)

    def report_failure(self, source: str, error: Exception) -> None:
        """Note that *source* failed; log it once, not at each of many attempts that fail alike."""
        with self._changed:
            before = self._failures.get(source)
            self._failures[source] = error
            self._changed.notify_all()
        if before is None or _describe(before) != _describe(error):
            _logger.warning("%s failed: %s", source, _describe(error))

    def wait_until_synced(self, timeout: float, max_age: float) -> None:
        """Return once everything is there, and no older than *max_age* seconds.

        Raises:
            NotSyncedError: it was not within *timeout* seconds, or will never be: the API key is wrong, it was closed.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self.age() <= max_age or self._closed or self._permanent_failure() is not None, timeout
            )
            if self.age() <= max_age and not self._closed:
                return
            cause = self._permanent_failure() or next(iter(self._failures.values()), None)
        reason = (
            "it was closed" if self._closed else self.last_error or f"no answer within {counted(timeout, 'second')}"
        )
        raise NotSyncedError(f"the verifier could not start: {reason}") from cause

    def close(self) -> None:
        """End `wait_until_synced`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _permanent_failure(self) -> Exception | None:
        return next((error for error in self._failures.values() if isinstance(error, _PERMANENT)), None)


def _names(key_ids: Iterable[str]) -> str:
    return one_line(", ".join(sorted(key_ids)), _MAX_NAMES)


def _describe(error: Exception) -> str:
    text = f"{error.code.name}: {error}" if isinstance(error, AuthorityError) else str(error)
    return one_line(text)

"""Destroy private keys that are over or that no row names, and log each of them with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

import structlog

from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.authority.remote_signing import KeyPlace
from tokenauthority.authority.sealed_ring import SealedRing
from tokenauthority.domain.key import StoredKey
from tokenauthority.domain.rotation import is_over
from tokenauthority.domain.times import Millis
from tokenauthority.signing.key_provider import KeyProviderError


EXPIRED: Final = "every token that it may have signed has expired"
NEVER_STORED: Final = "it was made and not stored"


def keys_to_destroy(
    left_out: Sequence[StoredKey], known: SealedRing, stored: Sequence[StoredKey], now: Millis
) -> Iterator[tuple[StoredKey, str]]:
    """Return the keys to destroy after a change of the ring that has *left_out* some and was stored, and why.

    A key that is left out is over, whatever its row said: no row proves that a key has never signed.

    Another server may have left out a key that was *known* here, and have ended before it destroyed it. That a row is
    absent does not prove it, so the key must be over by *now*.
    """
    for key in left_out:
        yield key, EXPIRED
    remaining = {key.key_id for key in (*stored, *left_out)}
    for key in known.keys:
        if key.key_id not in remaining and is_over(key, now):
            yield key, EXPIRED


class KeyDestruction:
    """Destroys keys at *place*. A key that is sealed in the store ends with its row; that is logged too."""

    def __init__(self, credentials: CredentialSealer, place: KeyPlace) -> None:
        self._credentials = credentials
        self._place = place
        self._logger = structlog.stdlib.get_logger(__name__)

    async def destroy(self, key: StoredKey, reason: str) -> None:
        """Have the provider destroy the key. A failure is logged."""
        try:
            await self._place.ask(partial(self.destroy_now, key, reason))
        except KeyProviderError as error:
            self._report_failure(key, error)

    def destroy_now(self, key: StoredKey, reason: str) -> None:
        """Do the same, on this thread. It blocks."""
        try:
            self._credentials.destroy_signing_key(key)
        except KeyProviderError as error:
            self._report_failure(key, error)
        else:
            self._logger.info("keys.destroyed", key_id=key.key_id, location=key.location, reason=reason)

    def _report_failure(self, key: StoredKey, error: KeyProviderError) -> None:
        self._logger.warning("keys.not_destroyed", key_id=key.key_id, problem=str(error))

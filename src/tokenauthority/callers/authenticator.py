"""Finds the caller that a credential proves."""

from __future__ import annotations

import hmac

from typing import TYPE_CHECKING, Protocol

from tokenauthority.callers.api_keys import digest, is_api_key


if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenauthority.domain.caller import Caller


class Authenticator(Protocol):
    """Finds callers by what they present."""

    async def authenticate(self, credential: str) -> Caller | None:
        """The caller whom *credential* (what follows `Bearer `) proves, or None for any cause."""


class ApiKeyAuthenticator:
    """Knows callers by the digest of their API key; *callers* maps digests (lower-case hex) to callers."""

    def __init__(self, callers: Mapping[str, Caller]) -> None:
        self._callers = tuple((known.encode(), caller) for known, caller in callers.items())

    async def authenticate(self, credential: str) -> Caller | None:
        """See `Authenticator.authenticate`."""
        if not is_api_key(credential):
            return None
        presented = digest(credential).encode()
        found = None
        # Every known key is compared, with no early way out: the time says nothing about which one was near.
        for known, caller in self._callers:
            if hmac.compare_digest(known, presented):
                found = caller
        return found

"""Callers who send `authorization: Bearer ...`: an API key, or a JWT of a configured issuer."""

from __future__ import annotations

import hashlib

from typing import TYPE_CHECKING, Final

from tokenauthority.callers.api_keys import is_api_key
from tokenauthority.callers.credential_cache import CredentialCache
from tokenauthority.callers.jwt import looks_like_jwt
from tokenauthority.domain.times import Millis, whole_seconds


if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokenauthority.callers.authenticator import PresentedCredentials
    from tokenauthority.callers.jwt import JwtVerifier
    from tokenauthority.callers.registry import CurrentCallers
    from tokenauthority.domain.caller import Caller


_SCHEME: Final = "bearer "


class BearerAuthenticator:
    """Takes exactly one `authorization` with the scheme Bearer, in any case."""

    def __init__(self, callers: CurrentCallers, jwts: JwtVerifier, clock: Callable[[], Millis]) -> None:
        self._callers = callers
        self._jwts = jwts
        self._clock = clock
        self._remembered = CredentialCache(callers)

    async def authenticate(self, presented: PresentedCredentials) -> Caller | None:
        """See `Authenticator.authenticate`."""
        credential = _bearer(presented.authorization)
        key = is_api_key(credential)
        if not key and not looks_like_jwt(credential):
            return None
        now = self._clock()
        digest = hashlib.sha256(credential.encode("utf-8", "surrogatepass")).digest()
        known = self._remembered.find(digest, now)
        if known is not None:
            return known
        if not presented.may_verify():
            return None
        return self._by_key(digest) if key else await self._by_jwt(credential, digest, now)

    def _by_key(self, digest: bytes) -> Caller | None:
        caller = self._callers.book.find_by_digest(digest.hex())
        if caller is not None:
            self._remembered.keep(digest, caller, self._callers.version)
        return caller

    async def _by_jwt(self, token: str, digest: bytes, now: Millis) -> Caller | None:
        proof = await self._jwts.verify(token, whole_seconds(now), self._callers.book.find_issuer)
        # The book may have been replaced while the issuer's keys were fetched: the one in force now decides.
        if proof is None or self._callers.book.find_issuer(proof.issuer.issuer) != proof.issuer:
            return None
        caller = self._callers.book.find(proof.identity)
        if caller is not None:
            expires = Millis(proof.expire_time * 1000)
            self._remembered.keep(digest, caller, self._callers.version, expires=expires, stands=proof.stands)
        return caller


def _bearer(values: Sequence[str | bytes]) -> str:
    if len(values) != 1:
        return ""
    value = values[0]
    if not isinstance(value, str) or value[: len(_SCHEME)].lower() != _SCHEME:
        return ""
    return value[len(_SCHEME) :]

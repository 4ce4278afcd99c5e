"""Authenticate callers who send `authorization: Bearer ...`: an API key, or a JWT of a configured issuer."""

from __future__ import annotations

import hashlib

from collections.abc import Callable, Sequence
from typing import Final

from tokenauthority.callers.api_keys import is_api_key
from tokenauthority.callers.authenticator import CredentialError, PresentedCredentials
from tokenauthority.callers.credential_cache import CredentialCache
from tokenauthority.callers.identity import ApiKeyIdentity
from tokenauthority.callers.jwt import JwtVerifier
from tokenauthority.callers.jwt_rules import looks_like_jwt, shown
from tokenauthority.callers.registry import CurrentCallers
from tokenauthority.domain.caller import Caller
from tokenauthority.domain.times import Millis, as_text, in_millis, whole_seconds


_SCHEME: Final = "bearer "


class BearerAuthenticator:
    """Accepts exactly one `authorization` value with the scheme Bearer, in upper or lower case."""

    def __init__(self, callers: CurrentCallers, jwts: JwtVerifier, clock: Callable[[], Millis]) -> None:
        self._callers = callers
        self._jwts = jwts
        self._clock = clock
        self._cache = CredentialCache(callers)

    async def authenticate(self, presented: PresentedCredentials) -> Caller:
        """Find the caller; see `Authenticator.authenticate`."""
        credential = _bearer_credential(presented.authorization)
        now = self._clock()
        digest = hashlib.sha256(credential.encode("utf-8", "surrogatepass")).digest()
        cached = self._cache.find_caller(digest, now)
        if cached is not None:
            return cached
        is_key = is_api_key(credential)
        if not is_key and not looks_like_jwt(credential):
            raise CredentialError("the bearer credential is neither an API key nor a JWT")
        if not presented.may_verify():
            raise CredentialError("the credential was not verified: too many failures from its address")
        return (
            self._find_by_key(digest, now)
            if is_key
            else await self._find_by_jwt(credential, digest, now, presented.origin)
        )

    def _find_by_key(self, digest: bytes, now: Millis) -> Caller:
        entry = self._callers.registry.find_by_digest(digest.hex())
        if entry is None:
            raise CredentialError(f"no caller has the API key {ApiKeyIdentity(digest.hex())}")
        if entry.expires is not None and now >= entry.expires:
            ended = as_text(whole_seconds(entry.expires))
            raise CredentialError(f"the API key {entry.identity} of {entry.caller.name} has expired at {ended}")
        self._cache.store_caller(digest, entry.caller, self._callers.version, expires=entry.expires)
        return entry.caller

    async def _find_by_jwt(self, token: str, digest: bytes, now: Millis, origin: str) -> Caller:
        proof = await self._jwts.verify_jwt(token, whole_seconds(now), self._callers.registry.find_issuer, origin)
        # A reload may have replaced the callers while the issuer's keys were fetched: the current ones decide.
        if self._callers.registry.find_issuer(proof.issuer.issuer) != proof.issuer:
            raise CredentialError(f"JWT: the callers file has changed its issuer {proof.issuer.issuer} meanwhile")
        caller = self._callers.registry.find_caller(proof.identity)
        if caller is None:
            raise CredentialError(
                f"JWT: no caller has the sub {shown(proof.identity.subject)} of {proof.issuer.issuer}"
            )
        expires, version = in_millis(proof.expire_time), self._callers.version
        self._cache.store_caller(digest, caller, version, expires=expires, still_trusted=proof.still_trusted)
        return caller


def _bearer_credential(values: Sequence[str | bytes]) -> str:
    if len(values) != 1:
        raise CredentialError(f"there are {len(values)} values of authorization, and must be one")
    value = values[0]
    if not isinstance(value, str) or value[: len(_SCHEME)].lower() != _SCHEME:
        raise CredentialError("authorization does not begin with Bearer and one space")
    return value[len(_SCHEME) :]

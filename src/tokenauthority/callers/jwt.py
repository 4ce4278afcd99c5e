"""Verify the JWTs of callers with the keys of their issuers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import attrs

from tokenauthority.callers.authenticator import CredentialError
from tokenauthority.callers.identity import Issuer, JwtIdentity
from tokenauthority.callers.issuer_keys import IssuerKeyCache, IssuerKeyCaches
from tokenauthority.callers.jwt_rules import check_rules, find_issuer, key_id_of, read_jwt, shown, subject_of
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token import TokenRejectedError
from tokenauthority.signing.claims import numeric_date


@attrs.frozen(kw_only=True)
class Proof:
    """What a verified JWT proves, until when, and whether the key that verified it is still the issuer's."""

    issuer: Issuer
    identity: JwtIdentity
    expire_time: Seconds
    still_trusted: Callable[[], bool] = attrs.field(repr=False, eq=False)


class JwtVerifier:
    """Verifies JWTs with the issuers' keys."""

    def __init__(self, caches: IssuerKeyCaches) -> None:
        self._caches = caches

    async def verify_jwt(
        self, token: str, now: Seconds, find: Callable[[str], Issuer | None], origin: str = ""
    ) -> Proof:
        """Return what *token* from *origin* proves. Wait a bounded time for the keys of the issuer that *find* returns.

        Raises:
            CredentialError: it proves nothing; the text says why.
        """
        try:
            jws = read_jwt(token)
            issuer = find_issuer(jws, find)
            check_rules(jws, issuer, now)
            identity, expire_time = JwtIdentity(issuer.issuer, subject_of(jws)), numeric_date(jws.payload, "exp")
            key_id = key_id_of(jws)
        except TokenRejectedError as error:
            raise CredentialError(f"JWT: {error.detail}") from None
        cache = self._caches.cache_of(issuer)
        key = await cache.find_key(key_id, origin)
        if key is None:
            _refuse_key(key_id, issuer, cache)
        # The algorithm of the key decides; the token has to agree with it.
        if not key.verifier.holds(jws):
            raise CredentialError(f"JWT: the signature is not that of kid {shown(key_id)} of {issuer.issuer}")
        return Proof(
            issuer=issuer,
            identity=identity,
            expire_time=expire_time,
            still_trusted=lambda: cache.cached_key(key_id) is key,
        )


def _refuse_key(key_id: str, issuer: Issuer, cache: IssuerKeyCache) -> NoReturn:
    count = f"usable keys: {len(cache.jwks.keys)}"
    state = f"the last fetch failed: {cache.failure}" if cache.failing else count
    raise CredentialError(f"JWT: kid {shown(key_id)} is no usable key of {issuer.issuer}; {state}")

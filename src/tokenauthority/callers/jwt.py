"""Verify the JWTs of callers, with every check that RFC 8725 asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from tokenauthority.callers.identity import MAX_SUBJECT, Issuer, JwtIdentity
from tokenauthority.callers.issuer_keys import IssuerKeyCaches
from tokenauthority.domain.times import DAY, Seconds
from tokenauthority.domain.token import TokenRejectedError
from tokenauthority.signing.claims import Json, numeric_date, short_text, text_list
from tokenauthority.signing.jose import CompactJws, parse_compact
from tokenauthority.signing.jwks_reader import MAX_KEY_ID, JwksKey
from tokenauthority.signing.results import malformed


_DOTS: Final = 2
"""Of a compact JWS, between its three segments."""

MAX_JWT: Final = 8192
"""Characters, which is also the server's limit of metadata."""

MAX_LIFETIME: Final = DAY
"""Seconds from `iat` to `exp`. A token that is valid for longer is like a key that nobody rotates."""

LEEWAY: Final = Seconds(30)
"""Seconds that the issuer's clock and ours may differ."""

_TYPES: Final = frozenset({"jwt", "at+jwt", "jose"})
"""`typ` of a caller's token. `session+jwt` is not one: a token to join a session is never a caller's credential."""


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

    async def verify_jwt(self, token: str, now: Seconds, find_issuer: Callable[[str], Issuer | None]) -> Proof | None:
        """Return what *token* proves, or None for any cause. Wait for the issuer's keys for a bounded time at most."""
        if len(token) > MAX_JWT:
            return None
        try:
            jws = parse_compact(token)
            issuer = find_issuer(short_text(jws.payload, "iss", MAX_JWT))
            if issuer is None or not _is_caller_type(jws.header) or jws.algorithm not in issuer.algorithms:
                return None
            identity, expire_time = _checked_claims(jws, issuer, now)
            key_id = short_text(jws.header, "kid", MAX_KEY_ID)
        except TokenRejectedError:
            return None
        cache = self._caches.cache_of(issuer)
        key: JwksKey | None = await cache.find_key(key_id)
        # The key's one algorithm decides; the token has to agree with it.
        if key is None or not key.verifier.holds(jws):
            return None
        return Proof(
            issuer=issuer,
            identity=identity,
            expire_time=expire_time,
            still_trusted=lambda: cache.cached_key(key_id) is key,
        )


def looks_like_jwt(credential: str) -> bool:
    """Return whether *credential* has the shape of a JWS whose header is a JSON object."""
    return credential.startswith("ey") and credential.count(".") == _DOTS


def _is_caller_type(header: Mapping[str, Json]) -> bool:
    kind = header.get("typ", "JWT")
    return isinstance(kind, str) and kind.lower().removeprefix("application/") in _TYPES


def _checked_claims(jws: CompactJws, issuer: Issuer, now: Seconds) -> tuple[JwtIdentity, Seconds]:
    """Return identity and expiry of a token that is valid now and for this authority, or raise TokenRejectedError."""
    payload = jws.payload
    identity = JwtIdentity(issuer.issuer, short_text(payload, "sub", MAX_SUBJECT))
    issued, expires = numeric_date(payload, "iat"), numeric_date(payload, "exp")
    not_before = numeric_date(payload, "nbf") if "nbf" in payload else issued
    if issuer.audience not in _audiences(payload):
        raise malformed("it is for another audience")
    if max(issued, not_before) > now + LEEWAY:
        raise malformed("it is not valid yet")
    if now >= expires + LEEWAY:
        raise malformed("it has expired")
    if not 0 < expires - issued <= MAX_LIFETIME:
        raise malformed("its lifetime is too long, or not positive")
    return identity, expires


def _audiences(payload: Mapping[str, Json]) -> tuple[str, ...]:
    audience = payload.get("aud")
    return (audience,) if isinstance(audience, str) else text_list(payload, "aud")

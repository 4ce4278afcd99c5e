"""Callers who send a JWT of a configured issuer, with every check that RFC 8725 asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from tokenauthority.callers.identity import MAX_SUBJECT, JwtIdentity
from tokenauthority.domain.times import DAY, Seconds
from tokenauthority.domain.token import TokenRejectedError
from tokenauthority.signing.claims import numeric_date, short_text, text_list
from tokenauthority.signing.codec import malformed
from tokenauthority.signing.jose import parse_compact
from tokenauthority.signing.jwk import MAX_KEY_ID


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tokenauthority.callers.issuers import Issuer
    from tokenauthority.callers.key_caches import KeyCaches
    from tokenauthority.signing.claims import Json
    from tokenauthority.signing.jose import CompactJws
    from tokenauthority.signing.jwk import JwksKey


_DOTS: Final = 2
"""Of a compact JWS, between its three segments."""

MAX_JWT: Final = 8192
"""Characters; the server takes no more metadata either."""

MAX_LIFETIME: Final = DAY
"""Seconds from `iat` to `exp`. A token that is good for longer is as good as a key that nobody changes."""

LEEWAY: Final = Seconds(30)
"""How far the issuer's clock and ours may differ."""

_TYPES: Final = frozenset({"jwt", "at+jwt", "jose"})
"""`typ` of a caller's token. `session+jwt` is no such: what people join with is never a caller's credential."""


@attrs.frozen(kw_only=True)
class Proof:
    """What a verified JWT proves, until when, and whether the key that proved it is still the issuer's."""

    issuer: Issuer
    identity: JwtIdentity
    expire_time: Seconds
    stands: Callable[[], bool] = attrs.field(repr=False, eq=False)


class JwtVerifier:
    """Verifies JWTs with the issuers' keys."""

    def __init__(self, caches: KeyCaches) -> None:
        self._caches = caches

    async def verify(self, token: str, now: Seconds, find_issuer: Callable[[str], Issuer | None]) -> Proof | None:
        """What *token* proves, or None for any cause. It may wait, for a bounded time, for the issuer's keys."""
        if len(token) > MAX_JWT:
            return None
        try:
            jws = parse_compact(token)
            issuer = find_issuer(short_text(jws.payload, "iss", MAX_JWT))
            if issuer is None or not _is_callers(jws.header) or jws.algorithm not in issuer.algorithms:
                return None
            identity, expire_time = _claims(jws, issuer, now)
            key_id = short_text(jws.header, "kid", MAX_KEY_ID)
        except TokenRejectedError:
            return None
        cache = self._caches.of(issuer)
        key: JwksKey | None = await cache.find(key_id)
        # The key's one algorithm decides; the token has to agree with it.
        if key is None or not key.verifier.holds(jws):
            return None
        return Proof(
            issuer=issuer, identity=identity, expire_time=expire_time, stands=lambda: cache.held(key_id) is key
        )


def looks_like_jwt(credential: str) -> bool:
    """Whether it is worth a closer look: a JWS whose header is a JSON object."""
    return credential.startswith("ey") and credential.count(".") == _DOTS


def _is_callers(header: Mapping[str, Json]) -> bool:
    kind = header.get("typ", "JWT")
    return isinstance(kind, str) and kind.lower().removeprefix("application/") in _TYPES


def _claims(jws: CompactJws, issuer: Issuer, now: Seconds) -> tuple[JwtIdentity, Seconds]:
    """Who it is about and until when, once it is for this authority and in force.

    Raises:
        TokenRejectedError: it is not.
    """
    payload = jws.payload
    identity = JwtIdentity(issuer.issuer, short_text(payload, "sub", MAX_SUBJECT))
    issued, expires = numeric_date(payload, "iat"), numeric_date(payload, "exp")
    not_before = numeric_date(payload, "nbf") if "nbf" in payload else issued
    if issuer.audience not in _audiences(payload):
        raise malformed("it is for somebody else")
    if max(issued, not_before) > now + LEEWAY:
        raise malformed("it is not good yet")
    if now >= expires + LEEWAY:
        raise malformed("it has expired")
    if not 0 < expires - issued <= MAX_LIFETIME:
        raise malformed("it lives too long, or never")
    return identity, expires


def _audiences(payload: Mapping[str, Json]) -> tuple[str, ...]:
    audience = payload.get("aud")
    return (audience,) if isinstance(audience, str) else text_list(payload, "aud")

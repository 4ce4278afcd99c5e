"""Decide whether a caller's JWT is for this authority and valid now: one rule for each check of RFC 8725."""

from __future__ import annotations

import json
import re

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import attrs

from tokenauthority.callers.api_keys import PREFIX
from tokenauthority.callers.identity import MAX_SUBJECT, Issuer
from tokenauthority.domain.counts import counted
from tokenauthority.domain.times import DAY, Seconds, as_text
from tokenauthority.signing.claims import Json, numeric_date, short_text, text_list
from tokenauthority.signing.jose import CompactJws, canonical_algorithm, parse_compact
from tokenauthority.signing.jwks_reader import MAX_KEY_ID
from tokenauthority.signing.results import malformed


MAX_JWT: Final = 8192
"""Characters, which is also the server's limit of metadata."""

MAX_LIFETIME: Final = DAY
"""Seconds from `iat` to `exp`. A token that is valid for longer is like a key that nobody rotates."""

LEEWAY: Final = Seconds(30)
"""Seconds that the issuer's clock and ours may differ."""

_TYPES: Final = frozenset({"jwt", "at+jwt", "jose"})
"""`typ` of a caller's token. `session+jwt` is not one: a token to join a session is never a caller's credential."""

_DOTS: Final = 2
"""Of a compact JWS, between its three segments."""

_MAX_SHOWN: Final = 200
"""Characters of a claim, and of each member of a list."""

_MAX_MEMBERS: Final = 5
"""Members of a list."""

_CREDENTIAL: Final = re.compile(rf"{PREFIX}|T1==|ey[A-L][\w-]*\.[\w-]*\.", re.ASCII)
"""Where an API key, a token of OpenTok, or a JWS begins: base64url of `{"` or `{ ` is `ey` and one of A to L."""


@attrs.frozen
class JwtRule:
    """A check of one part of a token. It returns what it found, or raises TokenRejectedError."""

    part: str
    check: Callable[[CompactJws, Issuer, Seconds], str]


def looks_like_jwt(credential: str) -> bool:
    """Return whether *credential* has the shape of a JWS whose header is a JSON object."""
    return credential.startswith("ey") and credential.count(".") == _DOTS


def read_jwt(token: str) -> CompactJws:
    """Read *token*, of at most 8192 characters, or raise TokenRejectedError."""
    if len(token) > MAX_JWT:
        raise malformed(f"it has more than {MAX_JWT} characters")
    return parse_compact(token)


def find_issuer(jws: CompactJws, find: Callable[[str], Issuer | None]) -> Issuer:
    """Return the issuer that `iss` names exactly, or raise TokenRejectedError."""
    name = short_text(jws.payload, "iss", MAX_JWT)
    issuer = find(name)
    if issuer is None:
        raise malformed(f"iss {shown(name)} is no issuer of the callers file")
    return issuer


def subject_of(jws: CompactJws) -> str:
    """Return `sub`, of 1 to 1024 characters, or raise TokenRejectedError."""
    return short_text(jws.payload, "sub", MAX_SUBJECT)


def key_id_of(jws: CompactJws) -> str:
    """Return `kid`, of 1 to 255 characters, or raise TokenRejectedError."""
    return short_text(jws.header, "kid", MAX_KEY_ID)


def shown(claim: str) -> str:
    """Return an unverified claim in quotes, in ASCII and cut off, but none that holds what looks like a credential."""
    if _CREDENTIAL.search(claim):
        return "(which looks like a credential)"
    return json.dumps(claim if len(claim) <= _MAX_SHOWN else claim[:_MAX_SHOWN] + "...")


def _shown_list(claims: Sequence[str]) -> str:
    more = [f"and {len(claims) - _MAX_MEMBERS} more"] if len(claims) > _MAX_MEMBERS else []
    return ", ".join([*map(shown, claims[:_MAX_MEMBERS]), *more])


def _check_type(jws: CompactJws, _: Issuer, __: Seconds) -> str:
    kind = jws.media_type
    if kind not in _TYPES:
        raise malformed(f"typ must be absent or one of {', '.join(sorted(_TYPES))}")
    return f"typ is {kind}" if "typ" in jws.header else "typ is absent"


def _check_algorithm(jws: CompactJws, issuer: Issuer, _: Seconds) -> str:
    if canonical_algorithm(jws.algorithm) not in issuer.algorithms:
        raise malformed(f"alg is none of the algorithms of the issuer: {', '.join(issuer.algorithms)}")
    return f"alg is {jws.algorithm}"


def _check_subject(jws: CompactJws, _: Issuer, __: Seconds) -> str:
    return f"sub is {shown(subject_of(jws))}"


def _check_audience(jws: CompactJws, issuer: Issuer, _: Seconds) -> str:
    audiences = _audiences(jws.payload)
    if issuer.audience not in audiences:
        raise malformed(f"aud is {_shown_list(audiences)} and must hold {shown(issuer.audience)}")
    return f"aud holds {shown(issuer.audience)}"


def check_begin(jws: CompactJws, now: Seconds) -> str:
    """Require that `iat` and `nbf` are not in the future, and return since when *jws* is valid."""
    issued = numeric_date(jws.payload, "iat")
    begin = max(issued, numeric_date(jws.payload, "nbf") if "nbf" in jws.payload else issued)
    if begin > now + LEEWAY:
        raise malformed(
            f"it is not valid before {as_text(begin)}, in {counted(begin - now, 'second')}: compare the clocks"
        )
    return f"it is valid since {as_text(begin)}"


def check_end(jws: CompactJws, now: Seconds) -> str:
    """Require that *jws* has not expired, and return when it does."""
    expires = numeric_date(jws.payload, "exp")
    if now >= expires + LEEWAY:
        raise malformed(f"it has expired at {as_text(expires)}, {counted(now - expires, 'second')} ago")
    return f"it expires at {as_text(expires)}"


def check_lifetime(jws: CompactJws, limit: Seconds) -> str:
    """Require at most *limit* seconds from `iat` to `exp`, and return how many they are."""
    lifetime = numeric_date(jws.payload, "exp") - numeric_date(jws.payload, "iat")
    if not 0 < lifetime <= limit:
        raise malformed(f"from iat to exp are {lifetime} seconds, and must be 1 to {limit}")
    return f"from iat to exp are {lifetime} seconds"


def _audiences(payload: Mapping[str, Json]) -> tuple[str, ...]:
    audience = payload.get("aud")
    return (audience,) if isinstance(audience, str) else text_list(payload, "aud")


RULES: Final = (
    JwtRule("typ", _check_type),
    JwtRule("alg", _check_algorithm),
    JwtRule("sub", _check_subject),
    JwtRule("aud", _check_audience),
    JwtRule("begin", lambda jws, _, now: check_begin(jws, now)),
    JwtRule("end", lambda jws, _, now: check_end(jws, now)),
    JwtRule("lifetime", lambda jws, _, __: check_lifetime(jws, MAX_LIFETIME)),
)
"""What a token of a known issuer must satisfy before its signature is looked at."""


def check_rules(jws: CompactJws, issuer: Issuer, now: Seconds) -> None:
    """Raise TokenRejectedError for the first rule that *jws* breaks."""
    for rule in RULES:
        rule.check(jws, issuer, now)

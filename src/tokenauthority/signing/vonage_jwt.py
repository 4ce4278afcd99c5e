"""VONAGE_JWT: a JWT under RS256 with the key of a Vonage application (docs/formats.md).

Written with the claims of `@vonage/video` for Node, in its order. Read as the Vonage SDKs for Python, Node
and Ruby and the OpenTok SDKs with Vonage credentials write it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tokenauthority.domain.ids import is_uuid
from tokenauthority.domain.role import DEFAULT_ROLE
from tokenauthority.domain.token import TokenClaims, TokenFormat
from tokenauthority.signing.claims import Json, not_before, numeric_date, optional_text, require, revocable_text, text
from tokenauthority.signing.codec import (
    CONNECT_SCOPE,
    MAX_TOKEN_ID,
    Encoded,
    Unverified,
    Verified,
    built_in_role,
    checked_session_id,
    key_unknown,
    malformed,
)
from tokenauthority.signing.jose import CompactJws, parse_compact
from tokenauthority.signing.keys import ProjectKeys, VonageKey
from tokenauthority.signing.opentok_jwt import layout_classes


SUBJECT: Final = "video"

_SESSION_PATHS: Final = "/session/**"
_ACL: Final[dict[str, dict[str, dict[str, str]]]] = {"paths": {_SESSION_PATHS: {}}}
_ENCODER: Final = msgspec.json.Encoder()


def encode(claims: TokenClaims, key: VonageKey) -> Encoded:
    """A token of *key*'s application that says *claims*; its id is their `token_id`.

    The format carries the session, role, times, data, layout classes and token id.
    """
    payload: dict[str, object] = {
        "scope": CONNECT_SCOPE,
        "session_id": claims.session_id,
        "role": claims.role,
        "initial_layout_class_list": " ".join(claims.initial_layout_class_list),
        "exp": claims.expire_time,
        "sub": SUBJECT,
        "acl": _ACL,
    }
    if claims.data:
        payload["connection_data"] = claims.data
    payload["jti"] = claims.token_id
    payload["iat"] = claims.issue_time
    payload["application_id"] = key.application_id
    return Encoded(key.signer.sign_claims(_ENCODER.encode(payload)), claims.token_id)


def parse(token: str) -> Unverified:
    """Read *token* without verifying it.

    Raises:
        TokenRejectedError: `MALFORMED`.
    """
    return read(parse_compact(token))


def read(jws: CompactJws) -> Unverified:
    """Read *jws* without verifying it; unknown further claims are ignored.

    Raises:
        TokenRejectedError: `MALFORMED`.
    """
    payload = jws.payload
    if jws.header.get("typ", "JWT") != "JWT":
        raise malformed("the token is of another kind")
    require(payload, "scope", CONNECT_SCOPE)
    # Python's SDKs write `subject` for `sub`, and Java's neither.
    for name in ("sub", "subject"):
        if name in payload:
            require(payload, name, SUBJECT)
    if "acl" in payload:
        _check_acl(payload["acl"])
    claims = TokenClaims(
        session_id=checked_session_id(text(payload, "session_id")),
        role=built_in_role(text(payload, "role")) if "role" in payload else DEFAULT_ROLE,
        issue_time=numeric_date(payload, "iat"),
        expire_time=numeric_date(payload, "exp"),
        application_id=_application_id(payload),
        token_id=revocable_text(payload, "jti", MAX_TOKEN_ID),
        # Ruby's SDK writes `data`.
        data=optional_text(payload, "connection_data" if "connection_data" in payload else "data"),
        initial_layout_class_list=layout_classes(payload),
        not_before=not_before(payload),
    )
    return jws.unverified(TokenFormat.VONAGE_JWT, claims)


def verify(unverified: Unverified, keys: ProjectKeys) -> Verified:
    """What the token says, once the project's Vonage key has signed it.

    Raises:
        TokenRejectedError: `SIGNATURE_INVALID`, or `KEY_UNKNOWN` if *keys* lacks the key of the token's
            application.
    """
    key = keys.vonage
    if (
        unverified.format is not TokenFormat.VONAGE_JWT
        or key is None
        or unverified.claims.application_id != key.application_id
    ):
        raise key_unknown("the project has no key of the token's Vonage application")
    key.verifier.verify(unverified)
    return Verified(claims=unverified.claims, key_id=key.key_id)


def _application_id(payload: dict[str, Json]) -> str:
    application_id = text(payload, "application_id")
    if not is_uuid(application_id):
        raise malformed("application_id is no UUID")
    return application_id.lower()


def _check_acl(acl: Json) -> None:
    paths = acl.get("paths") if isinstance(acl, dict) else None
    if not isinstance(paths, dict) or _SESSION_PATHS not in paths:
        raise malformed(f"acl does not allow {_SESSION_PATHS}")

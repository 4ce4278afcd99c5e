"""VONAGE_JWT: a JWT under RS256 with the key of a Vonage application (docs/explanation/formats.md).

Written with the claims of `@vonage/video` for Node, in its order. Read as the Vonage SDKs for Python, Node
and Ruby and the OpenTok SDKs with Vonage credentials write it.
"""

from __future__ import annotations

from typing import Final

from tokenauthority.domain.ids import MAX_SESSION_ID, is_uuid
from tokenauthority.domain.role import DEFAULT_ROLE
from tokenauthority.domain.token import GeneratedToken, TokenClaims, TokenTerms
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.claims import (
    Json,
    checked_text,
    not_before,
    numeric_date,
    optional_text,
    require,
    stored_text,
    text,
)
from tokenauthority.signing.formats.codec import (
    CONNECT_SCOPE,
    MAX_TOKEN_ID,
    Encoder,
    JwsCodec,
    TrustedKeys,
    signed_with,
)
from tokenauthority.signing.formats.json_members import json_object, member, members
from tokenauthority.signing.formats.opentok import layout_classes, require_built_in_role
from tokenauthority.signing.jose import CompactJws
from tokenauthority.signing.project_keys import VonageKey
from tokenauthority.signing.results import Unverified, Verified, key_unknown, malformed


SUBJECT: Final = "video"

_SESSION_PATHS: Final = "/session/**"
_ACL: Final[dict[str, dict[str, dict[str, str]]]] = {"paths": {_SESSION_PATHS: {}}}


def prepare_vonage_jwt(terms: TokenTerms, key: VonageKey) -> Encoder:
    """Return what makes tokens of *key*'s application. The id of each is its `jti`.

    The format carries the session, role, times, data, layout classes and token id.
    """
    begin = members(
        {
            "scope": CONNECT_SCOPE,
            "session_id": terms.session_id,
            "role": terms.role,
            "initial_layout_class_list": " ".join(terms.initial_layout_class_list),
            "exp": terms.expire_time,
            "sub": SUBJECT,
            "acl": _ACL,
        }
    )
    end = members({"iat": terms.issue_time, "application_id": key.application_id})
    sign = key.signer.sign

    def encode_vonage_jwt(data: str, subject: str, unique: str) -> GeneratedToken:
        token, _ = sign(json_object(begin, member(b',"connection_data":', data), member(b',"jti":', unique), end))
        return GeneratedToken(token, unique, subject, terms)

    return encode_vonage_jwt


def _read_vonage_jwt(jws: CompactJws) -> Unverified:
    payload = jws.payload
    require(payload, "scope", CONNECT_SCOPE)
    # Python's SDKs write `subject` for `sub`, and Java's neither.
    for name in ("sub", "subject"):
        if name in payload:
            require(payload, name, SUBJECT)
    if "acl" in payload:
        _check_acl(payload["acl"])
    claims = TokenClaims(
        session_id=stored_text(payload, "session_id", MAX_SESSION_ID),
        role=require_built_in_role(text(payload, "role")) if "role" in payload else DEFAULT_ROLE,
        issue_time=numeric_date(payload, "iat"),
        expire_time=numeric_date(payload, "exp"),
        application_id=checked_text(payload, "application_id", is_uuid, "UUID").lower(),
        token_id=stored_text(payload, "jti", MAX_TOKEN_ID),
        # Ruby's SDK writes `data`.
        data=optional_text(payload, "connection_data" if "connection_data" in payload else "data"),
        initial_layout_class_list=layout_classes(payload),
        not_before=not_before(payload),
    )
    return jws.unverified(TokenFormat.VONAGE_JWT, claims)


def _verify_vonage_jwt(unverified: Unverified, trusted: TrustedKeys) -> Verified:
    key = trusted.project.vonage
    if key is None or unverified.claims.application_id != key.application_id:
        raise key_unknown("the project has no key of the token's Vonage application")
    key.verifier.verify(unverified)
    return Verified(claims=unverified.claims, key_id=key.key_id)


def _check_acl(acl: Json) -> None:
    paths = acl.get("paths") if isinstance(acl, dict) else None
    if not isinstance(paths, dict) or _SESSION_PATHS not in paths:
        raise malformed(f"acl does not allow {_SESSION_PATHS}")


CODEC: Final = JwsCodec(
    token_format=TokenFormat.VONAGE_JWT,
    recognises=lambda jws: jws.media_type == "jwt" and "application_id" in jws.payload,
    read=_read_vonage_jwt,
    prepare=signed_with(VonageKey, prepare_vonage_jwt),
    verify=_verify_vonage_jwt,
)

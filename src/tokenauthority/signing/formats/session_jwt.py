"""SESSION_JWT, the authority's own format: a JWT with `typ: session+jwt` that anyone verifies with the JWKS.

Further claims say the same to real-time servers that know neither `session_id` nor `permissions`. They are not read.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tokenauthority.domain.ids import MAX_SESSION_ID, is_project_id, is_role_name
from tokenauthority.domain.role import Permission
from tokenauthority.domain.token import MAX_SUBJECT, TokenClaims
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.claims import (
    Json,
    checked_text,
    not_before,
    numeric_date,
    optional_text,
    require,
    short_text,
    stored_text,
    text_list,
)
from tokenauthority.signing.formats.codec import (
    CONNECT_SCOPE,
    MAX_TOKEN_ID,
    JwsCodec,
    signed_with,
    verify_with_ring,
)
from tokenauthority.signing.formats.rights import rights_claims
from tokenauthority.signing.jose import CompactJws, media_type
from tokenauthority.signing.results import Encoded, Unverified, malformed
from tokenauthority.signing.signing_key import SESSION_JWT_TYPE, SigningKey


MAX_ISSUER: Final = 2048
MAX_KEY_ID: Final = 255

_ENCODER: Final = msgspec.json.Encoder()
_PERMISSIONS: Final = frozenset(Permission)


def encode_session_jwt(claims: TokenClaims, key: SigningKey) -> Encoded:
    """Return a token that says *claims*, all but `application_id` and `nonce`; its id is their `token_id`."""
    payload: dict[str, object] = {"iss": claims.issuer, "aud": claims.project_id}
    if claims.subject:
        payload["sub"] = claims.subject
    payload["jti"] = claims.token_id
    payload["iat"] = claims.issue_time
    payload["exp"] = claims.expire_time
    payload["scope"] = CONNECT_SCOPE
    payload["session_id"] = claims.session_id
    payload["role"] = claims.role
    payload["permissions"] = claims.permissions
    if claims.data:
        payload["connection_data"] = claims.data
    if claims.initial_layout_class_list:
        payload["initial_layout_class_list"] = claims.initial_layout_class_list
    for server in claims.claims_for:
        payload |= rights_claims(server.table, claims.permissions, claims.room or claims.session_id)
    return Encoded(key.signer.sign(_ENCODER.encode(payload))[0], claims.token_id)


def _read_session_jwt(jws: CompactJws) -> Unverified:
    payload = jws.payload
    require(payload, "scope", CONNECT_SCOPE)
    claims = TokenClaims(
        issuer=short_text(payload, "iss", MAX_ISSUER),
        project_id=checked_text(payload, "aud", is_project_id, "project id"),
        subject=stored_text(payload, "sub", MAX_SUBJECT) if "sub" in payload else "",
        token_id=stored_text(payload, "jti", MAX_TOKEN_ID),
        issue_time=numeric_date(payload, "iat"),
        expire_time=numeric_date(payload, "exp"),
        session_id=stored_text(payload, "session_id", MAX_SESSION_ID),
        role=checked_text(payload, "role", is_role_name, "name of a role"),
        permissions=_permissions(payload),
        data=optional_text(payload, "connection_data"),
        initial_layout_class_list=(
            text_list(payload, "initial_layout_class_list") if "initial_layout_class_list" in payload else ()
        ),
        not_before=not_before(payload),
    )
    return jws.unverified(TokenFormat.SESSION_JWT, claims, short_text(jws.header, "kid", MAX_KEY_ID))


def _permissions(payload: dict[str, Json]) -> tuple[Permission, ...]:
    names = text_list(payload, "permissions")
    if not _PERMISSIONS.issuperset(names) or len(set(names)) != len(names):
        raise malformed("permissions names an unknown one, or one twice")
    return tuple(map(Permission, names))


CODEC: Final = JwsCodec(
    token_format=TokenFormat.SESSION_JWT,
    recognises=lambda jws: media_type(jws.header) == SESSION_JWT_TYPE,
    read=_read_session_jwt,
    encode=signed_with(SigningKey, encode_session_jwt),
    verify=verify_with_ring,
)

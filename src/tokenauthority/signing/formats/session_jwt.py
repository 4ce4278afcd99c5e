"""SESSION_JWT, the authority's own format: a JWT with `typ: session+jwt` that anyone verifies with the JWKS.

Further claims say the same to real-time servers that know neither `session_id` nor `permissions`. They are not read.
"""

from __future__ import annotations

from typing import Final

from tokenauthority.domain.ids import MAX_SESSION_ID, is_project_id, is_role_name
from tokenauthority.domain.role import Permission
from tokenauthority.domain.token import MAX_SUBJECT, GeneratedToken, TokenClaims, TokenTerms
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
    Encoder,
    JwsCodec,
    signed_with,
    verify_with_ring,
)
from tokenauthority.signing.formats.json_members import json_object, member, members
from tokenauthority.signing.formats.rights import rights_claims
from tokenauthority.signing.jose import CompactJws
from tokenauthority.signing.results import Unverified, malformed
from tokenauthority.signing.signing_key import SESSION_JWT_TYPE, SigningKey


MAX_ISSUER: Final = 2048
MAX_KEY_ID: Final = 255

_PERMISSIONS: Final = frozenset(Permission)


def prepare_session_jwt(terms: TokenTerms, key: SigningKey) -> Encoder:
    """Return what makes tokens that say the terms, all but `application_id`. The id of each is its `jti`."""
    begin = members({"iss": terms.issuer, "aud": terms.project_id})
    middle = members(
        {
            "iat": terms.issue_time,
            "exp": terms.expire_time,
            "scope": CONNECT_SCOPE,
            "session_id": terms.session_id,
            "role": terms.role,
            "permissions": terms.permissions,
        }
    )
    last: dict[str, object] = {}
    if terms.initial_layout_class_list:
        last["initial_layout_class_list"] = terms.initial_layout_class_list
    for server in terms.claims_for:
        last |= rights_claims(server.table, terms.permissions, terms.room or terms.session_id)
    end, sign = members(last), key.signer.sign

    def encode_session_jwt(data: str, subject: str, unique: str) -> GeneratedToken:
        token, _ = sign(
            json_object(
                begin,
                member(b',"sub":', subject),
                member(b',"jti":', unique),
                middle,
                member(b',"connection_data":', data),
                end,
            )
        )
        return GeneratedToken(token, unique, subject, terms)

    return encode_session_jwt


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
    recognises=lambda jws: jws.media_type == SESSION_JWT_TYPE,
    read=_read_session_jwt,
    prepare=signed_with(SigningKey, prepare_session_jwt),
    verify=verify_with_ring,
)

"""OPENTOK_JWT: a JWT under HS256 with a project secret, `ist: project` (docs/explanation/formats.md).

Written with the claims of the official Python SDK, in its order. Read as Ruby's, Python's, Node's, Java's,
PHP's and .NET's write it.
"""

from __future__ import annotations

from typing import Final

from tokenauthority.domain.ids import MAX_SESSION_ID, is_project_id
from tokenauthority.domain.token import GeneratedToken, TokenClaims, TokenTerms
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.claims import Json, not_before, numeric_date, optional_text, require, stored_text, text
from tokenauthority.signing.formats.codec import (
    CONNECT_SCOPE,
    Encoder,
    JwsCodec,
    signed_with,
    verify_with_secrets,
)
from tokenauthority.signing.formats.json_members import member, members
from tokenauthority.signing.formats.opentok import LAYOUT, day_after, layout_classes, require_built_in_role
from tokenauthority.signing.jose import CompactJws
from tokenauthority.signing.project_keys import ProjectSecret
from tokenauthority.signing.results import Unverified, malformed


def prepare_opentok_jwt(terms: TokenTerms, key: ProjectSecret) -> Encoder:
    """Return what makes tokens with the claims of the Python SDK (whose nonces are below 1000000).

    The format carries session, project, role, times, data, layout classes and nonce. Its id is the signature in hex.
    """
    before: dict[str, object] = {
        "session_id": terms.session_id,
        "role": terms.role,
        "iat": terms.issue_time,
        "exp": terms.expire_time,
        "scope": CONNECT_SCOPE,
    }
    if terms.initial_layout_class_list:
        before[LAYOUT] = " ".join(terms.initial_layout_class_list)
    begin, end = members(before), members({"iss": terms.project_id, "ist": "project"}) + b',"nonce":'
    sign = key.signer.with_prefix(b"{" + begin[1:]).sign

    def encode_opentok_jwt(data: str, subject: str, unique: str) -> GeneratedToken:
        token, signature = sign(member(b',"connection_data":', data) + end + unique.encode() + b"}")
        return GeneratedToken(token, signature.hex(), subject, terms)

    return encode_opentok_jwt


def _is_opentok_jwt(jws: CompactJws) -> bool:
    return jws.media_type == "jwt" and "ist" in jws.payload and "application_id" not in jws.payload


def _read_opentok_jwt(jws: CompactJws) -> Unverified:
    payload = jws.payload
    require(payload, "ist", "project")
    require(payload, "scope", CONNECT_SCOPE)
    issue_time = numeric_date(payload, "iat")
    claims = TokenClaims(
        session_id=stored_text(payload, "session_id", MAX_SESSION_ID),
        role=require_built_in_role(text(payload, "role")),
        issue_time=issue_time,
        expire_time=numeric_date(payload, "exp") if "exp" in payload else day_after(issue_time),
        project_id=_project_id(payload),
        token_id=jws.signature.hex(),
        data=optional_text(payload, "connection_data"),
        initial_layout_class_list=layout_classes(payload),
        not_before=not_before(payload),
    )
    return jws.unverified(TokenFormat.OPENTOK_JWT, claims)


def _project_id(payload: dict[str, Json]) -> str:
    issuer = payload.get("iss")
    # PHP's SDK takes the key as a number too, and writes what it was given.
    project_id = str(issuer) if isinstance(issuer, int) else text(payload, "iss")
    if not is_project_id(project_id):
        raise malformed("iss is no project id")
    return project_id


CODEC: Final = JwsCodec(
    token_format=TokenFormat.OPENTOK_JWT,
    recognises=_is_opentok_jwt,
    read=_read_opentok_jwt,
    prepare=signed_with(ProjectSecret, prepare_opentok_jwt),
    verify=verify_with_secrets,
)

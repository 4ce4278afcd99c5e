"""OPENTOK_JWT: a JWT under HS256 with a project secret, `ist: project` (docs/formats.md).

Written with the claims of the official Python SDK, in its order. Read as Ruby's, Python's, Node's, Java's,
PHP's and .NET's write it.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_plus

import msgspec

from tokenauthority.domain.ids import is_project_id
from tokenauthority.domain.token import TokenClaims, TokenFormat
from tokenauthority.signing.claims import Json, not_before, numeric_date, optional_text, require, text, text_list
from tokenauthority.signing.codec import (
    CONNECT_SCOPE,
    Encoded,
    Unverified,
    Verified,
    built_in_role,
    checked_session_id,
    day_after,
    malformed,
    signature_invalid,
    split_classes,
)
from tokenauthority.signing.jose import CompactJws, parse_compact
from tokenauthority.signing.keys import ProjectKeys, ProjectSecret


_ENCODER: Final = msgspec.json.Encoder()
_LAYOUT: Final = "initial_layout_class_list"
_DOTNET_LAYOUT: Final = "initial_layout_list"


def encode(claims: TokenClaims, key: ProjectSecret, nonce: int) -> Encoded:
    """A token that says *claims*, with the claims of the Python SDK; *nonce* is from 0 to 2**53 (its own: 999999).

    The format carries session, project, role, times, data and layout classes. Its id is the signature in hex.
    """
    payload: dict[str, object] = {
        "session_id": claims.session_id,
        "role": claims.role,
        "iat": claims.issue_time,
        "exp": claims.expire_time,
        "scope": CONNECT_SCOPE,
    }
    if claims.initial_layout_class_list:
        payload[_LAYOUT] = " ".join(claims.initial_layout_class_list)
    if claims.data:
        payload["connection_data"] = claims.data
    payload["iss"] = claims.project_id
    payload["ist"] = "project"
    payload["nonce"] = nonce
    token, signature = key.signer.sign(_ENCODER.encode(payload))
    return Encoded(token, signature.hex())


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
    if jws.header.get("typ", "JWT") != "JWT" or "application_id" in payload:
        raise malformed("the token is of another kind")
    require(payload, "ist", "project")
    require(payload, "scope", CONNECT_SCOPE)
    issue_time = numeric_date(payload, "iat")
    claims = TokenClaims(
        session_id=checked_session_id(text(payload, "session_id")),
        role=built_in_role(text(payload, "role")),
        issue_time=issue_time,
        expire_time=numeric_date(payload, "exp") if "exp" in payload else day_after(issue_time),
        project_id=_project_id(payload),
        token_id=jws.signature.hex(),
        data=optional_text(payload, "connection_data"),
        initial_layout_class_list=layout_classes(payload),
        not_before=not_before(payload),
    )
    return jws.unverified(TokenFormat.OPENTOK_JWT, claims)


def verify(unverified: Unverified, keys: ProjectKeys) -> Verified:
    """What the token says, once it is signed by one of the project's live secrets, all of which are tried.

    Raises:
        TokenRejectedError: `SIGNATURE_INVALID`, or `KEY_UNKNOWN` if *keys* has no secret or is another
            project's.
    """
    secrets = keys.live_secrets(unverified, TokenFormat.OPENTOK_JWT)
    fitting = [secret.secret_id for secret in secrets if secret.verifier.holds(unverified)]
    if not fitting:
        raise signature_invalid()
    return Verified(claims=unverified.claims, key_id=fitting[0])


def layout_classes(payload: dict[str, Json]) -> tuple[str, ...]:
    """The layout classes in *payload*, whichever SDK wrote it: a list, or a string joined by spaces."""
    name = _LAYOUT if _LAYOUT in payload else _DOTNET_LAYOUT
    if isinstance(payload.get(name), list):
        return text_list(payload, name)
    joined = optional_text(payload, name)
    if list(payload)[:2] == ["iss", "iat"]:
        # PHP's SDK, known by its order, escapes the list as if for a URL. Nobody else does: in a token of
        # another make the class `a+b` is what it says.
        joined = unquote_plus(joined)
    return split_classes(joined)


def _project_id(payload: dict[str, Json]) -> str:
    issuer = payload.get("iss")
    # PHP's SDK takes the key as a number too, and writes what it was given.
    project_id = str(issuer) if isinstance(issuer, int) else text(payload, "iss")
    if not is_project_id(project_id):
        raise malformed("iss is no project id")
    return project_id

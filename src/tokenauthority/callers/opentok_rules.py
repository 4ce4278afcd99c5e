"""Decide whether the JWT of an official OpenTok or Vonage SDK is for a REST call and valid now, and whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from tokenauthority.callers.jwt_rules import check_begin, check_end, check_lifetime, read_jwt
from tokenauthority.domain.credential import CredentialKind
from tokenauthority.domain.ids import is_project_id, is_uuid
from tokenauthority.domain.times import Seconds
from tokenauthority.signing.claims import Json, checked_text
from tokenauthority.signing.jose import CompactJws
from tokenauthority.signing.results import malformed


MAX_OPENTOK_LIFETIME: Final = Seconds(300)
"""Seconds from `iat` to `exp` in `X-OPENTOK-AUTH`. The platform has the same limit, and no SDK uses more."""

MAX_VONAGE_LIFETIME: Final = Seconds(900)
"""Seconds from `iat` to `exp` of a Vonage application's JWT: what every SDK uses by itself."""

_OF_PARTICIPANTS: Final = ("scope", "session_id", "role", "sub", "acl")
"""Claims of what the same key signs for people, and what is therefore no credential: tokens to join a session, and the
JWT of a user of Vonage's other APIs."""


@attrs.frozen(kw_only=True)
class SdkJwt:
    """A JWT whose claims allow a REST call now, and whose signature nobody has checked.

    Attributes:
        owner: A project id, or the id of a Vonage application in lower case.
        kind: What of the owner signs it.
    """

    jws: CompactJws = attrs.field(repr=False)
    owner: str
    kind: CredentialKind


def read_opentok_auth(token: str, now: Seconds) -> SdkJwt:
    """Return the value of `X-OPENTOK-AUTH`, or raise TokenRejectedError.

    `ist` must be `project`, in the claims or, as Ruby's SDK sends it, in the header. `jti` may be absent.
    """
    jws = _read(token, now, MAX_OPENTOK_LIFETIME)
    kinds = [where["ist"] for where in (jws.payload, jws.header) if "ist" in where]
    if not kinds or any(kind != "project" for kind in kinds):
        raise malformed("ist must be 'project', in the claims or in the header")
    return SdkJwt(jws=jws, owner=_project_id(jws.payload), kind=CredentialKind.SECRET)


def read_vonage_bearer(token: str, now: Seconds) -> SdkJwt:
    """Return a JWT of a Vonage application, or raise TokenRejectedError."""
    jws = _read(token, now, MAX_VONAGE_LIFETIME)
    owner = checked_text(jws.payload, "application_id", is_uuid, "UUID")
    return SdkJwt(jws=jws, owner=owner.lower(), kind=CredentialKind.VONAGE_KEY)


def _read(token: str, now: Seconds, limit: Seconds) -> CompactJws:
    jws = read_jwt(token)
    if jws.media_type != "jwt":
        raise malformed("typ must be absent or JWT")
    for name in _OF_PARTICIPANTS:
        if name in jws.payload:
            raise malformed(f"it has {name}: a token to join a session, or of a user, is no credential")
    check_lifetime(jws, limit)
    check_begin(jws, now)
    check_end(jws, now)
    return jws


def _project_id(payload: Mapping[str, Json]) -> str:
    issuer = payload.get("iss")
    # .NET's SDK holds the API key as a number.
    project_id = str(issuer) if isinstance(issuer, int) else issuer
    if not isinstance(project_id, str) or not is_project_id(project_id):
        raise malformed("iss is missing or no project id")
    return project_id

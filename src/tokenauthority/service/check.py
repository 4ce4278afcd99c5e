"""Ask VerifyToken what a proxy or a media server asks: may the bearer of a token do this in that session?"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

import attrs

from tokenauthority.domain.errors import FieldViolation, require_valid
from tokenauthority.domain.ids import MAX_SESSION_ID
from tokenauthority.domain.role import Permission
from tokenauthority.domain.token import InactiveReason
from tokenauthority.service.mapping import PERMISSIONS_OUT
from tokenauthority.v1.token_pb2 import InactiveReason as WireReason
from tokenauthority.v1.token_pb2 import VerifyTokenRequest, VerifyTokenResponse


VERIFY_TOKEN: Final = "/tokenauthority.v1.TokenService/VerifyToken"  # noqa: S105 - the name of an RPC

_NO_TOKEN: Final = "-"  # noqa: S105 - no token of any format
"""What is verified if there is no token. VerifyToken refuses an empty one as a mistake of its caller; here the end user
has left it out, which is an invalid token as others are."""

NO_SESSION: Final = "/"
"""What is no session's id or name. A path that names no session is asked about as this one: 403, and no mistake of the
asker, for it is the end user who chose the path."""

_ELSEWHERE: Final = frozenset({InactiveReason.SESSION_MISMATCH.value, InactiveReason.PERMISSION_MISSING.value})
"""Reasons that say nothing against the token itself."""


@attrs.frozen
class CheckResult:
    """What to answer: 204, 401 for a token that is not valid, 403 for a valid one that does not permit this.

    `reason` is empty, or the name of an `InactiveReason`; `detail` is for a person, without anything secret.
    """

    status: HTTPStatus
    reason: str = ""
    detail: str = ""

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """Return what an end user's client reads of the answer (RFC 6750, section 3)."""
        challenge = ("www-authenticate", 'Bearer error="invalid_token"')
        return (challenge,) if self.status is HTTPStatus.UNAUTHORIZED else ()


def check_request(token: str, session: str, permission: str) -> VerifyTokenRequest:
    """Return the question whether *token* gives *permission* in *session*, an id or a name.

    Without a session every token of a project would pass, so it is required, and so is the permission.

    Raises:
        InvalidRequestError: session or permission is missing, or there is no such permission.
    """
    known = {each.value: each for each in Permission}
    problems = []
    if not session:
        problems.append(FieldViolation("session_id", "is required"))
    if permission not in known:
        problems.append(FieldViolation("permission", "must be one of " + ", ".join(known)))
    require_valid(problems)
    wanted = PERMISSIONS_OUT[known[permission]]
    asked = session if len(session) <= MAX_SESSION_ID else NO_SESSION
    return VerifyTokenRequest(token=token or _NO_TOKEN, session_id=asked, required_permissions=[wanted])


def bearer_token(authorization: str) -> str:
    """Return the token in the value of an `Authorization` header; empty if there is none.

    A proxy that copies the token from a query passes it percent-encoded. Of all tokens, only those for Janus can have a
    percent sign themselves, and only they have commas.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        return ""
    token = token.strip()
    return token if "," in token else unquote(token)


def verdict_of(answer: VerifyTokenResponse) -> CheckResult:
    """Return the verdict that VerifyToken's *answer* means."""
    if answer.active:
        return CheckResult(HTTPStatus.NO_CONTENT)
    reason = WireReason.Name(answer.reason).removeprefix("INACTIVE_REASON_")
    status = HTTPStatus.FORBIDDEN if reason in _ELSEWHERE else HTTPStatus.UNAUTHORIZED
    return CheckResult(status, reason, answer.reason_detail)

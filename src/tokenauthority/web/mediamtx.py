"""Turn what MediaMTX asks by its HTTP authentication into a VerifyToken request.

See https://mediamtx.org/docs/features/authentication, "External HTTP server". MediaMTX lets a person in on any 2xx.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

import msgspec

from tokenauthority.domain.errors import FieldViolation, InvalidRequestError
from tokenauthority.domain.role import Permission
from tokenauthority.service.check import check_request
from tokenauthority.v1.token_pb2 import VerifyTokenRequest


MAX_BODY: Final = 16 * 1024
"""Bytes of what MediaMTX sends; it has the token once or twice, as the token, the password or in the query."""

_MAX_QUERY_FIELDS: Final = 32

_PERMISSIONS: Final = {
    "publish": Permission.PUBLISH.value,
    "read": Permission.SUBSCRIBE.value,
    "playback": Permission.SUBSCRIBE.value,
}
"""What a person needs for an action. `api`, `metrics` and `pprof` are for operators, and no token permits them."""


class _Hook(msgspec.Struct):
    """The members that count here. MediaMTX also sends `user`, `ip`, `protocol` and `id`, and perhaps more."""

    action: str = ""
    path: str = ""
    query: str = ""
    token: str = ""
    password: str = ""


def mediamtx_request(body: bytes) -> VerifyTokenRequest:
    """Return the question in *body*, about the path as a session's id or name.

    The token is `token`, else `password` (RTSP, SRT, browsers), else `jwt` or `token` of the query (RTSP, RTMP).

    Raises:
        InvalidRequestError: *body* is not what MediaMTX sends, or asks for an action that no token permits.
    """
    try:
        hook = msgspec.json.decode(body, type=_Hook)
    except (ValueError, RecursionError):
        # The error itself can contain a part of the token.
        raise InvalidRequestError([FieldViolation("body", "must be the JSON that MediaMTX sends")]) from None
    if hook.action not in _PERMISSIONS:
        raise InvalidRequestError([FieldViolation("action", "must be one of " + ", ".join(_PERMISSIONS))])
    token = hook.token or hook.password or _token_in(hook.query)
    return check_request(token, hook.path, _PERMISSIONS[hook.action])


def _token_in(query: str) -> str:
    """Return the only token of *query*; empty if there is none, or if it is in doubt which one counts."""
    try:
        fields = parse_qs(query, max_num_fields=_MAX_QUERY_FIELDS)
    except ValueError:
        return ""
    found = [*fields.get("jwt", ()), *fields.get("token", ())]
    return found[0] if len(found) == 1 else ""

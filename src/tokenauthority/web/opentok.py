"""The HTTP routes of official OpenTok SDKs: `POST /session/create`, and 404 for what needs a media server.

An SDK of which only the URL was changed creates sessions here. Its call is CreateSession, through the same interceptors
as every other call; the project's secret is its credential.
"""

from __future__ import annotations

import math

from collections.abc import Iterable, Mapping
from typing import Final

import grpc

from starlette.datastructures import Headers
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tokenauthority.callers.opentok import SCHEME
from tokenauthority.domain.errors import FieldViolation, InvalidRequestError
from tokenauthority.interceptors.direct import ClientLeftError, DirectAnswer, DirectCall, DirectCalls, peer_of
from tokenauthority.v1.session_pb2 import CreateSessionResponse
from tokenauthority.web.bodies import ApiAnswer, Body
from tokenauthority.web.opentok_answers import error_answer, session_answer, wants_json
from tokenauthority.web.opentok_form import MAX_FORM, create_session_request
from tokenauthority.web.single_headers import require_single


_METHOD: Final = "/tokenauthority.v1.SessionService/CreateSession"
_FORM: Final = "application/x-www-form-urlencoded"

_CREDENTIAL: Final = (
    "invalid credentials: X-OPENTOK-AUTH must be a JWT of the last minutes, signed with a live secret of a project "
    "that the callers file names as an opentok_project"
)
"""One text for every cause, so that it is no oracle. The audit record says why."""

_NO_MEDIA_SERVER: Final = (
    "this authority has no media server: it creates sessions and verifies tokens, and knows no connections, streams "
    "and archives; send this call to the API of your media server"
)

_STATUSES: Final[Mapping[grpc.StatusCode, int]] = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 403,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
"""Every other code is 500. Python's SDK can make sense of 403 alone for a credential."""


def opentok_routes(calls: DirectCalls) -> list[Route]:
    """Return the routes, at the root and below any path: an SDK whose URL ends with a slash doubles the slash.

    The authenticator of *calls* is an `OpentokAuthenticator`.
    """
    create = _CreateSession(calls)
    return [
        *(Route(path + "/session/create", create, methods=["POST"]) for path in ("", "/{prefix:path}")),
        *(Route(path + "/v2/project/{rest:path}", _NoMediaServer()) for path in ("", "/{prefix:path}")),
    ]


class _CreateSession:
    """Answers `POST /session/create`."""

    def __init__(self, calls: DirectCalls) -> None:
        self._calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        body = Body(receive, "POST /session/create", MAX_FORM, headers.get("content-length"))

        async def message() -> bytes:
            _require_form(headers)
            return create_session_request(await body.read()).SerializeToString()

        call = DirectCall(
            method=_METHOD,
            transport="opentok",
            metadata=_metadata(headers, self._calls.headers),
            peer=peer_of(*(scope["client"] or ("", 0))),
            receive=message,
            left=body.left,
        )
        as_json = wants_json(headers.get("accept", ""))
        try:
            async with self._calls.answer(call) as found:
                await _answer(found, as_json=as_json).send(scope, receive, send)
        except ClientLeftError:
            return


class _NoMediaServer:
    """Answers every other call of the platform's REST API: 404, which each SDK shows as a failure.

    With 200, SDKs let a moderator believe that somebody was muted; with 501, some do.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await error_answer(404, _NO_MEDIA_SERVER, [], as_json=True).send(scope, receive, send)


def _metadata(headers: Headers, more: Iterable[str]) -> list[tuple[str, str]]:
    found = [("authorization", f"{SCHEME} {value}") for value in headers.getlist("x-opentok-auth")]
    return found + [(name, value) for name in ("authorization", *more) for value in headers.getlist(name)]


def _require_form(headers: Headers) -> None:
    require_single(headers, "content-type")
    kind = headers.get("content-type", _FORM).partition(";")[0].strip().lower()
    if kind != _FORM:
        raise InvalidRequestError([FieldViolation("body", f"must be {_FORM}")])


def _answer(found: DirectAnswer, *, as_json: bool) -> ApiAnswer:
    headers = [("cache-control", "no-store"), ("x-request-id", found.request_id)]
    if found.error is None:
        created = CreateSessionResponse.FromString(bytes(found.message))
        return session_answer(created.session, headers, as_json=as_json)
    if found.retry_after is not None:
        headers.append(("retry-after", str(math.ceil(found.retry_after))))
    message = _CREDENTIAL if found.code is grpc.StatusCode.UNAUTHENTICATED else found.error.message
    return error_answer(_STATUSES.get(found.code, 500), message, headers, as_json=as_json)

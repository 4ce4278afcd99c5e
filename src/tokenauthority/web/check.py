"""Answer over HTTP whether a token is valid for a session and a permission, to proxies and media servers.

The call is VerifyToken, through the same interceptors as every other call. The status is about the end user's token
alone: 204, 401 or 403. Whatever is wrong with the asker is 400, 429 or 503, at which a proxy lets nobody in.
"""

from __future__ import annotations

import base64
import math

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final, TypeAlias
from urllib.parse import parse_qsl

import attrs
import grpc
import msgspec

from starlette.datastructures import Headers
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tokenauthority.domain.errors import FieldViolation, InvalidRequestError
from tokenauthority.interceptors.direct import ClientLeftError, DirectAnswer, DirectCall, DirectCalls, peer_of
from tokenauthority.service.check import VERIFY_TOKEN, bearer_token, check_request, verdict_of
from tokenauthority.v1.token_pb2 import VerifyTokenRequest, VerifyTokenResponse
from tokenauthority.web.bodies import ApiAnswer, Body
from tokenauthority.web.connect import HTTP_STATUS
from tokenauthority.web.mediamtx import MAX_BODY, mediamtx_request


_Question: TypeAlias = "Callable[[Scope, bytes], VerifyTokenRequest]"

_KEY: Final = "x-api-key"
"""The header with the asker's credential: `authorization` has the end user's token."""

_PARAMETERS: Final = ("session_id", "permission")

_STATUSES: Final[Mapping[grpc.StatusCode, int]] = {
    **HTTP_STATUS,
    # 401 and 403 would say something about the token.
    grpc.StatusCode.UNAUTHENTICATED: 400,
    grpc.StatusCode.PERMISSION_DENIED: 400,
}

_CREDENTIAL: Final = "no valid credential of the asker: send `x-api-key: <API key or JWT>`"


@attrs.frozen
class _WayToAsk:
    """One way to ask: how audit and metrics name it, and where the question and the asker's credential are."""

    transport: str
    question: _Question
    credentials: Callable[[Headers], Sequence[str]]
    max_body: int = 0


def check_routes(calls: DirectCalls) -> list[Route]:
    """Return the routes; the authenticator of *calls* takes API keys and JWTs."""
    of_query = _WayToAsk("check", _asked_by_query, lambda headers: headers.getlist(_KEY))
    of_mediamtx = _WayToAsk("mediamtx", lambda _, body: mediamtx_request(body), _any_credential, MAX_BODY)
    return [
        Route("/check", _CheckEndpoint(calls, of_query), methods=["GET"]),
        Route("/check/mediamtx", _CheckEndpoint(calls, of_mediamtx), methods=["POST"]),
    ]


class _CheckEndpoint:
    """An ASGI application."""

    def __init__(self, calls: DirectCalls, way: _WayToAsk) -> None:
        self._calls = calls
        self._way = way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, way = Headers(scope=scope), self._way
        body = Body(receive, "a check", way.max_body, headers.get("content-length"))

        async def message() -> bytes:
            return way.question(scope, await body.read()).SerializeToString()

        presented = [("authorization", f"Bearer {credential}") for credential in way.credentials(headers)]
        call = DirectCall(
            method=VERIFY_TOKEN,
            transport=way.transport,
            metadata=presented + [(name, value) for name in self._calls.headers for value in headers.getlist(name)],
            peer=peer_of(*(scope["client"] or ("", 0))),
            receive=message,
            left=body.left,
        )
        try:
            async with self._calls.answer(call) as found:
                await _answer(found).send(scope, receive, send)
        except ClientLeftError:
            return


def _asked_by_query(scope: Scope, _: bytes) -> VerifyTokenRequest:
    try:
        fields = parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise InvalidRequestError([FieldViolation("query", "must be of UTF-8 in percent-encoding")]) from None
    asked = dict(fields)
    if len(fields) != len(asked) or not asked.keys() <= set(_PARAMETERS):
        # A session's name that somebody else chose could else bring a parameter along.
        raise InvalidRequestError([FieldViolation("query", "must be session_id and permission, each once")])
    tokens = Headers(scope=scope).getlist("authorization")
    # With several, it is in doubt which one the proxy's upstream would take.
    token = bearer_token(tokens[0]) if len(tokens) == 1 else ""
    return check_request(token, *(asked.get(name, "") for name in _PARAMETERS))


def _any_credential(headers: Headers) -> Sequence[str]:
    """Return what proves MediaMTX, which can send no header but the user and password of its URL."""
    return [*headers.getlist(_KEY), *map(_password, headers.getlist("authorization"))]


def _password(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return bearer_token(authorization)
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _answer(found: DirectAnswer) -> ApiAnswer:
    headers = [("cache-control", "no-store"), ("x-request-id", found.request_id)]
    if found.error is not None:
        code = found.code.name.lower()
        if found.retry_after is not None:
            headers.append(("retry-after", str(math.ceil(found.retry_after))))
        message = _CREDENTIAL if found.code is grpc.StatusCode.UNAUTHENTICATED else found.error.message
        return _json(_STATUSES[found.code], {"code": code, "message": message}, headers)
    verdict = verdict_of(VerifyTokenResponse.FromString(bytes(found.message)))
    if verdict.status is HTTPStatus.NO_CONTENT:
        return ApiAnswer(verdict.status, headers, b"")
    headers += verdict.headers
    return _json(verdict.status, {"reason": verdict.reason, "message": verdict.detail}, headers)


def _json(status: int, content: Mapping[str, str], headers: Sequence[tuple[str, str]]) -> ApiAnswer:
    return ApiAnswer(status, [("content-type", "application/json"), *headers], msgspec.json.encode(content))

"""Answer the unary RPCs of the contract over HTTP with JSON, in the form of the Connect protocol.

See https://connectrpc.com/docs/protocol, "Unary-Request". There is no CORS header on purpose: an API key must not be in
a browser.
"""

from __future__ import annotations

import base64
import json
import math
import re

from collections.abc import Mapping
from typing import Any, Final

import grpc

from google.protobuf import descriptor_pool
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass
from starlette.datastructures import Headers
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tokenauthority.contract import METHODS
from tokenauthority.domain.errors import FieldViolation, InvalidRequestError, UnimplementedError
from tokenauthority.interceptors.direct import ClientLeftError, DirectAnswer, DirectCall, DirectCalls, peer_of
from tokenauthority.web.bodies import ApiAnswer, Body
from tokenauthority.web.json_messages import json_messages
from tokenauthority.web.single_headers import require_single


TRANSPORT: Final = "connect"
"""How audit and metrics name these calls."""

HTTP_STATUS: Final[Mapping[grpc.StatusCode, int]] = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}
"""The status of HTTP for each code, as the protocol says."""

_VERSION: Final = "connect-protocol-version"
_TIMEOUT: Final = "connect-timeout-ms"
_MILLISECONDS: Final = re.compile(r"[0-9]{1,10}", re.ASCII)
_STREAM: Final = re.compile(r"application/connect\+(?:json|proto)", re.ASCII)
"""What a client sends for a method whose answer is a stream; it reads errors at the end of a stream alone."""

_JSON: Final = re.compile(r'application/json(?:[ \t]*;[ \t]*charset="?utf-8"?)?', re.ASCII | re.IGNORECASE)


def connect_routes(calls: DirectCalls) -> list[Route]:
    """Return the route of all RPCs, which *calls* answers."""
    return [Route("/{service}/{method}", _ConnectEndpoint(calls), methods=["POST"])]


class _ConnectEndpoint:
    """An ASGI application."""

    def __init__(self, calls: DirectCalls) -> None:
        self._calls = calls
        self._json = json_messages()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # As it is written: what is between a caller and this server need not decode a path to know the method.
        headers, method = Headers(scope=scope), METHODS.get(scope["raw_path"].decode("latin-1"))
        if method is None:
            # Not recorded: whoever looks for pages of other programs is none of our callers.
            answer = ApiAnswer(404, _headers(""), _error("unimplemented", "there is no such method", []))
            await answer.send(scope, receive, send)
            return
        kinds = headers.getlist("content-type")
        kind = kinds[0] if kinds else ""
        in_stream = method.descriptor.server_streaming and _STREAM.fullmatch(kind) is not None
        # `content` refuses several.
        if not in_stream and len(kinds) <= 1 and not _JSON.fullmatch(kind):
            text = _error("unknown", "the content-type must be application/json", [])
            answer = ApiAnswer(415, [("accept-post", "application/json"), *_headers("")], text)
            await answer.send(scope, receive, send)
            return
        body = Body(receive, method.path, method.max_request_bytes, headers.get("content-length"))

        async def content() -> bytes:
            _require_valid(headers)
            return await body.read()

        call = DirectCall(
            method=method.path,
            transport=TRANSPORT,
            metadata=[
                (name, value) for name in ("authorization", *self._calls.headers) for value in headers.getlist(name)
            ],
            peer=peer_of(*(scope["client"] or ("", 0))),
            receive=content,
            left=body.left,
            timeout=_timeout(headers),
            coding=self._json.get(method.path),
        )
        try:
            async with self._calls.answer(call) as found:
                answer = _answer(found)
                await (_in_stream(answer, kind) if in_stream else answer).send(scope, receive, send)
        except ClientLeftError:
            return


def _require_valid(headers: Headers) -> None:
    """Raise the error of a header that this server does not follow.

    The authenticator refuses several values of `authorization`.
    """
    require_single(headers, "content-type", "content-encoding", _VERSION, _TIMEOUT)
    if headers.get("content-encoding", "identity") != "identity":
        # A compressed request could take a thousand times its bytes.
        raise UnimplementedError("content-encoding other than identity")
    if headers.get(_VERSION, "1") != "1":
        raise InvalidRequestError([FieldViolation(_VERSION, "must be 1")])
    if _TIMEOUT in headers and _timeout(headers) is None:
        raise InvalidRequestError([FieldViolation(_TIMEOUT, "must be a number of milliseconds of at most 10 digits")])


def _timeout(headers: Headers) -> float | None:
    given = headers.getlist(_TIMEOUT)
    return int(given[0]) / 1000 if len(given) == 1 and _MILLISECONDS.fullmatch(given[0]) else None


def _answer(found: DirectAnswer) -> ApiAnswer:
    headers = _headers(found.request_id)
    if found.error is None:
        return ApiAnswer(200, headers, found.message)
    if found.retry_after is not None:
        headers.append(("retry-after", str(math.ceil(found.retry_after))))
    if found.code is grpc.StatusCode.UNAUTHENTICATED:
        headers.append(("www-authenticate", "Bearer"))
    # The protocol writes this one word with one l.
    code = found.code.name.lower().replace("cancelled", "canceled")
    text = _error(code, found.error.message, [_detail(each) for each in found.error.details])
    return ApiAnswer(HTTP_STATUS[found.code], headers, text)


def _in_stream(answer: ApiAnswer, kind: str) -> ApiAnswer:
    """Return *answer*, an error, as the last message of a stream without others: a flag, a length, a text."""
    text = b'{"error":' + answer.body + b"}"
    headers = [(name, kind if name == "content-type" else value) for name, value in answer.headers]
    return ApiAnswer(200, headers, b"\x02" + len(text).to_bytes(4, "big") + text)


def _headers(request_id: str) -> list[tuple[str, str]]:
    identified = [("x-request-id", request_id)] if request_id else []
    # An answer can hold a token, and a proxy must not keep it.
    return [("content-type", "application/json"), ("cache-control", "no-store"), *identified]


def _error(code: str, message: str, details: list[dict[str, Any]]) -> bytes:
    error: dict[str, object] = {"code": code, "message": message}
    if details:
        error["details"] = details
    return json.dumps(error, ensure_ascii=False, separators=(",", ":")).encode()


def _detail(packed: AnyMessage) -> dict[str, Any]:
    name = packed.TypeName()
    message = GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name)).FromString(packed.value)
    return {
        "type": name,
        "value": base64.b64encode(packed.value).decode().rstrip("="),
        "debug": MessageToDict(message),
    }

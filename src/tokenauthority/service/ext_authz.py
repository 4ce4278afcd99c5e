"""Answer Envoy's external authorization: a CheckRequest becomes a VerifyToken request, its answer a CheckResponse.

See envoy/service/auth/v3/external_auth.proto and attribute_context.proto of Envoy's API. Only the fields that count
here are described, under names of our own: on the wire there are numbers alone, and whoever loads Envoy's own stubs in
the same process has no clash. The package `xds-protos` has them all, in 1800 files without types.
"""

from __future__ import annotations

import re

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import grpc

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from tokenauthority.domain.errors import FieldViolation, InvalidRequestError
from tokenauthority.service.check import NO_SESSION, bearer_token, check_request, verdict_of
from tokenauthority.v1.token_pb2 import VerifyTokenResponse


CHECK: Final = "/envoy.service.auth.v3.Authorization/Check"

_Fields: TypeAlias = "Mapping[str, tuple[int, str]]"

_MANY: Final = "repeated "
_SCALARS: Final = {"string": FieldDescriptorProto.TYPE_STRING, "int32": FieldDescriptorProto.TYPE_INT32}
_PACKAGE: Final = "tokenauthority.ext_authz"
_MESSAGES: Final[Mapping[str, _Fields]] = {
    # An entry of a map has the form of a HeaderValue.
    "Entry": {"key": (1, "string"), "value": (2, "string")},
    "HttpRequest": {"headers": (3, _MANY + "Entry"), "path": (4, "string")},
    "Request": {"http": (2, "HttpRequest")},
    "AttributeContext": {"request": (4, "Request"), "context_extensions": (10, _MANY + "Entry")},
    "CheckRequest": {"attributes": (1, "AttributeContext")},
    "Status": {"code": (1, "int32")},
    "HeaderValueOption": {"header": (1, "Entry")},
    "DeniedHttpResponse": {"status": (1, "Status"), "headers": (2, _MANY + "HeaderValueOption")},
    "CheckResponse": {"status": (1, "Status"), "denied_response": (2, "DeniedHttpResponse")},
}
"""Each message with its fields: number and type. google.rpc.Status and HttpStatus both begin with a code."""

_ROUTE: Final = frozenset({"permission", "session_id", "path_prefix"})
"""The `context_extensions` of a route: the permission, and the session or what comes before it in the path."""

_IN_DOUBT: Final = re.compile(r"%(?:2e|2f|5c)|\\|//|/\.{1,2}(?:[/;]|\Z)", re.ASCII | re.IGNORECASE)
"""In a path, what the server behind Envoy may read as another path."""

_CODES: Final = {
    HTTPStatus.UNAUTHORIZED: grpc.StatusCode.UNAUTHENTICATED,
    HTTPStatus.FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
}


class EnvoyCoding:
    """The coding of a call that comes from Envoy. What an end user can cause is a denial, and never an error.

    Envoy can be set to let a request pass after an error.
    """

    async def decode(self, message: bytes) -> bytes:
        """Return the VerifyToken request; raise InvalidRequestError for a route without permission or session."""
        try:
            request: Any = CheckRequest.FromString(message)
        except DecodeError:
            raise InvalidRequestError([FieldViolation("", "the bytes are no CheckRequest")]) from None
        http = request.attributes.request.http
        route = {entry.key: entry.value for entry in request.attributes.context_extensions}
        if unknown := route.keys() - _ROUTE:
            raise InvalidRequestError(
                [FieldViolation(f"context_extensions.{name}", "is not known") for name in unknown]
            )
        session = route.get("session_id", "")
        if prefix := route.get("path_prefix", ""):
            if session:
                raise InvalidRequestError([FieldViolation("context_extensions", "name session_id or path_prefix")])
            session = _session_in(http.path, prefix)
        # Envoy has joined several values with a comma: several tokens are none.
        headers = {entry.key: entry.value for entry in http.headers}
        token = bearer_token(headers.get("authorization", ""))
        return check_request(token, session, route.get("permission", "")).SerializeToString()

    async def encode(self, message: bytes) -> bytes:
        """Return the CheckResponse; one without fields lets the request pass."""
        verdict = verdict_of(VerifyTokenResponse.FromString(message))
        if verdict.status is HTTPStatus.NO_CONTENT:
            return b""
        response: Any = CheckResponse()
        response.status.code = _CODES[verdict.status].value[0]
        response.denied_response.status.code = verdict.status
        for key, value in verdict.headers:
            response.denied_response.headers.add().header.MergeFrom(Entry(key=key, value=value))
        return bytes(response.SerializeToString())


def _session_in(target: str, prefix: str) -> str:
    """Return the segment after *prefix* in the path of *target*; NO_SESSION if there is none beyond doubt."""
    path = target.partition("?")[0]
    if not path.startswith(prefix) or _IN_DOUBT.search(path):
        return NO_SESSION
    return path.removeprefix(prefix).partition("/")[0] or NO_SESSION


def _described() -> Mapping[str, type[Message]]:
    file = FileDescriptorProto(name=f"{_PACKAGE}.proto", package=_PACKAGE, syntax="proto3")
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            single = kind.removeprefix(_MANY)
            field = described.field.add(name=name, number=number)
            field.label = field.LABEL_OPTIONAL if single == kind else field.LABEL_REPEATED
            if single in _SCALARS:
                field.type = _SCALARS[single]
            else:
                field.type, field.type_name = field.TYPE_MESSAGE, f".{_PACKAGE}.{single}"
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {message: GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{message}")) for message in _MESSAGES}


_TYPES: Final = _described()
Entry: Final = _TYPES["Entry"]
CheckRequest: Final = _TYPES["CheckRequest"]
CheckResponse: Final = _TYPES["CheckResponse"]

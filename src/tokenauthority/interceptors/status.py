"""Domain errors as gRPC statuses: the one table, and the details that every error carries (design: section 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import (
    BadRequest,
    ErrorInfo,
    PreconditionFailure,
    QuotaFailure,
    ResourceInfo,
    RetryInfo,
)
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from tokenauthority.domain.errors import (
    AlreadyExistsError,
    InvalidRequestError,
    NotFoundError,
    NotImplementedYetError,
    OverloadedError,
    PermissionDeniedError,
    PreconditionError,
    TokenAuthorityError,
    UnauthenticatedError,
    UnavailableError,
)


if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message


DOMAIN: Final = "tokenauthority"

CODES: Final[Mapping[type[TokenAuthorityError], grpc.StatusCode]] = {
    InvalidRequestError: grpc.StatusCode.INVALID_ARGUMENT,
    UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    PreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
    NotImplementedYetError: grpc.StatusCode.UNIMPLEMENTED,
}


class StatusError(Exception):
    """An RPC ends with this status. Raised by the errors interceptor, sent by the chain once it is recorded."""

    def __init__(self, code: grpc.StatusCode, reason: str, status: grpc.Status) -> None:
        super().__init__(code.name, reason)
        self.code = code
        self.reason = reason
        self.status = status


class _WithPushback(grpc.Status):
    """A status with one more piece of trailing metadata: gRFC A6's server push-back."""

    def __init__(self, status: grpc.Status, milliseconds: int) -> None:
        self.code = status.code
        self.details = status.details
        self.trailing_metadata = (*status.trailing_metadata, ("grpc-retry-pushback-ms", str(milliseconds)))


def of_error(error: TokenAuthorityError, request_id: str) -> StatusError:
    """The status of a domain error, with its details."""
    code = CODES[type(error)]
    info = ErrorInfo(domain=DOMAIN, reason=error.reason.value, metadata={"request_id": request_id})
    if isinstance(error, PermissionDeniedError):
        info.metadata["limit"] = error.limit
        if error.field:
            info.metadata["field"] = error.field
    status = _status(code, str(error), info, *_details(error))
    retry_after = getattr(error, "retry_after", None)
    if isinstance(error, OverloadedError) and retry_after is not None:
        status = _WithPushback(status, int(retry_after * 1000))
    return StatusError(code, error.reason.value, status)


def plain(code: grpc.StatusCode, reason: str, message: str, request_id: str) -> StatusError:
    """A status that no domain error stands behind: a bug, or a deadline that passed."""
    info = ErrorInfo(domain=DOMAIN, reason=reason, metadata={"request_id": request_id})
    return StatusError(code, reason, _status(code, message, info))


def _details(error: TokenAuthorityError) -> list[Message]:
    details: list[Message] = []
    if isinstance(error, InvalidRequestError):
        details.append(
            BadRequest(
                field_violations=[
                    BadRequest.FieldViolation(field=v.field, description=v.problem) for v in error.violations
                ]
            )
        )
    if isinstance(error, NotFoundError | AlreadyExistsError):
        details.append(
            ResourceInfo(resource_type=error.kind, resource_name=error.name, description=str(error))
        )
    if isinstance(error, PreconditionError):
        violation = PreconditionFailure.Violation(
            type=error.reason.value, subject=error.subject, description=str(error)
        )
        details.append(PreconditionFailure(violations=[violation]))
    if isinstance(error, OverloadedError):
        details.append(
            QuotaFailure(violations=[QuotaFailure.Violation(subject="server", description=str(error))])
        )
    if isinstance(error, OverloadedError | UnavailableError):
        delay = Duration()
        delay.FromMilliseconds(int(error.retry_after * 1000))
        details.append(RetryInfo(retry_delay=delay))
    return details


def _status(code: grpc.StatusCode, message: str, *details: Message) -> grpc.Status:
    packed = []
    for detail in details:
        any_message = AnyMessage()
        any_message.Pack(detail)
        packed.append(any_message)
    return rpc_status.to_status(Status(code=Code.Value(code.name), message=message, details=packed))

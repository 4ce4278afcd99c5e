"""Map domain errors to gRPC statuses, with the details that every error carries."""

from __future__ import annotations

import math
import re

from collections.abc import Mapping, Sequence
from typing import Final

import attrs
import grpc

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
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

from tokenauthority.domain import errors
from tokenauthority.domain.counts import counted


DOMAIN: Final = "tokenauthority"

REQUEST_ID: Final = "x-request-id"
"""The metadata key of an RPC's id, both ways."""

PUSHBACK: Final = "grpc-retry-pushback-ms"
"""The metadata key by which a client's own retry learns how long to wait (gRFC A6)."""

_MAX_VIOLATIONS: Final = 3072
"""Characters of violations that are sent one by one. They travel in the trailers, of which most gRPC clients take 8 KiB
with everything else in it; a larger answer would reach them as another error."""

_ITEM: Final = re.compile(r"requests\[([0-9]+)\]")

CODES: Final[Mapping[type[errors.TokenAuthorityError], grpc.StatusCode]] = {
    errors.InvalidRequestError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    errors.PreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.RateLimitError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.ExhaustedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.UnavailableError: grpc.StatusCode.UNAVAILABLE,
    errors.UnimplementedError: grpc.StatusCode.UNIMPLEMENTED,
}

_WITH_DELAY: Final = (errors.OverloadedError, errors.RateLimitError, errors.UnavailableError)
_ATTEMPTED_HERE: Final = frozenset({errors.Reason.PLATFORM_UNAVAILABLE})


class StatusError(Exception):
    """The status that an RPC ends with: raised by the errors interceptor, and sent by the chain once it is recorded."""

    def __init__(self, code: grpc.StatusCode, reason: str, status: grpc.Status) -> None:
        super().__init__(code.name, reason)
        self.code = code
        self.reason = reason
        self.status = status


@attrs.frozen
class _Status(grpc.Status):
    """A status with its trailing metadata, which takes the place of any that was set before."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def of_error(error: errors.TokenAuthorityError, request_id: str, patience: float = math.inf) -> StatusError:
    """Return the status of a domain error, with its details; *patience* is how many seconds its caller still waits."""
    code = CODES[type(error)]
    info = ErrorInfo(domain=DOMAIN, reason=error.reason.value, metadata={"request_id": request_id})
    if isinstance(error, errors.PermissionDeniedError):
        info.metadata["limit"] = error.limit
        if error.field:
            info.metadata["field"] = error.field
    if isinstance(error, errors.RateLimitError):
        info.metadata["limit"] = error.limit
    trailing = [(REQUEST_ID, request_id)]
    # The server has asked the platform several times: the attempts of clients would multiply that.
    is_paced = code is grpc.StatusCode.RESOURCE_EXHAUSTED or error.reason in _ATTEMPTED_HERE
    if is_paced and isinstance(error, _WITH_DELAY):
        trailing.append((PUSHBACK, _pushback(error.retry_after, patience)))
    return StatusError(code, error.reason.value, _status(code, str(error), trailing, info, *_details(error)))


def plain(code: grpc.StatusCode, reason: str, message: str, request_id: str) -> StatusError:
    """Return a status without a domain error: of a bug, or of a deadline that passed."""
    info = ErrorInfo(domain=DOMAIN, reason=reason, metadata={"request_id": request_id})
    return StatusError(code, reason, _status(code, message, [(REQUEST_ID, request_id)], info))


def _details(error: errors.TokenAuthorityError) -> list[Message]:
    details: list[Message] = []
    if isinstance(error, errors.InvalidRequestError):
        details.append(_bad_request(error.violations))
    if isinstance(error, errors.NotFoundError | errors.AlreadyExistsError):
        details.append(ResourceInfo(resource_type=error.kind, resource_name=error.name, description=str(error)))
    if isinstance(error, errors.PreconditionError):
        violation = PreconditionFailure.Violation(
            type=error.reason.value, subject=error.subject, description=str(error)
        )
        details.append(PreconditionFailure(violations=[violation]))
    if isinstance(error, errors.OverloadedError | errors.RateLimitError):
        subject = "server" if isinstance(error, errors.OverloadedError) else error.subject
        details.append(QuotaFailure(violations=[QuotaFailure.Violation(subject=subject, description=str(error))]))
    if isinstance(error, _WITH_DELAY) and error.retry_after is not None:
        delay = Duration()
        delay.FromMilliseconds(round(error.retry_after * 1000))
        details.append(RetryInfo(retry_delay=delay))
    return details


def _pushback(retry_after: float | None, patience: float) -> str:
    """Return how long a client is to wait; -1 for a wait beyond its deadline, which would hide the limit it met."""
    return "-1" if retry_after is None or retry_after > patience else str(round(retry_after * 1000))


def _bad_request(violations: Sequence[errors.FieldViolation]) -> BadRequest:
    """Return every violation while there is room, then a last one that names the items of a batch with the others."""
    details = BadRequest()
    room = _MAX_VIOLATIONS
    for index, violation in enumerate(violations):
        room -= len(violation.field) + len(violation.problem)
        if room < 0:
            rest = violations[index:]
            items = _ranges({int(match[1]) for v in rest if (match := _ITEM.match(v.field))})
            problem = counted(len(rest), "more violation") + (f", of the items {items}" if items else "")
            details.field_violations.add(field="requests" if items else violation.field, description=problem)
            break
        details.field_violations.add(field=violation.field, description=violation.problem)
    return details


def _ranges(numbers: set[int]) -> str:
    """Return *numbers* in order, as in `3, 5-9`."""
    ordered = sorted(numbers)
    starts = [n for n in ordered if n - 1 not in numbers]
    ends = [n for n in ordered if n + 1 not in numbers]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))


def _status(code: grpc.StatusCode, message: str, trailing: Sequence[tuple[str, str]], *details: Message) -> grpc.Status:
    packed = []
    for detail in details:
        any_message = AnyMessage()
        any_message.Pack(detail)
        packed.append(any_message)
    rich = rpc_status.to_status(Status(code=Code.Value(code.name), message=message, details=packed))
    return _Status(code, message, (*rich.trailing_metadata, *trailing))

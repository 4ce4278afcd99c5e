"""Raise an exception of one class for each gRPC status that a call can fail with.

Any other status is an AuthorityError itself. Messages hold neither a token nor an API key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeVar, cast

import grpc

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status


Detail = TypeVar("Detail", BadRequest, ErrorInfo, RetryInfo)


@dataclass(frozen=True, slots=True)
class Violation:
    """One invalid field of a request."""

    field: str
    """Its path, such as `requests[17].role`."""

    problem: str
    """What is wrong with it, with the limit; for a person."""


class AuthorityError(Exception):
    """A failed call. `str(error)` is for a person, `code` and `reason` are for programs."""

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode,
        reason: str = "",
        violations: tuple[Violation, ...] = (),
        retry_after: float | None = None,
        request_id: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code: Final = code
        """The gRPC status."""
        self.reason: Final = reason
        """The contract's `ErrorReason`, such as "ROLE_NOT_GRANTED"; empty if no authority answered."""
        self.violations: Final = violations
        """The invalid fields of the request."""
        self.retry_after: Final = retry_after
        """Seconds to wait before a retry; None if the authority did not say."""
        self.request_id: Final = request_id
        """The id of the call in the authority's logs; name it in a report to its operators."""
        self.metadata: Final = MappingProxyType(dict(metadata or {}))
        """Facts beside the reason, such as the limit that the call is beyond."""


class InvalidArgument(AuthorityError):
    """A field of the request is missing, malformed or beyond its limit."""


class Unauthenticated(AuthorityError):
    """The API key is missing or invalid."""


class PermissionDenied(AuthorityError):
    """The grant of the API key does not allow the call."""


class NotFound(AuthorityError):
    """The object does not exist."""


class AlreadyExists(AuthorityError):
    """The object exists already, or the request id was used with another body."""


class FailedPrecondition(AuthorityError):
    """The object is not in the state that the call needs."""


class ResourceExhausted(AuthorityError):
    """Too many calls or too large messages at once, or too many within some time; `reason` says which."""


class Unavailable(AuthorityError):
    """The authority cannot be reached, or cannot serve the call now."""


class DeadlineExceeded(AuthorityError):
    """No answer came in time. The call may have taken effect."""


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise AuthorityErrors for gRPC's errors within it: for calls of the stubs, blocking or awaited."""
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc_error(error) from error


def from_rpc_error(error: grpc.RpcError) -> AuthorityError:
    """Return the AuthorityError that says what *error* says."""
    # The errors of blocking and asyncio calls both have its methods.
    call = cast("grpc.Call", error)
    trailers = dict(call.trailing_metadata() or ())
    details = _read_status(trailers.get("grpc-status-details-bin"))
    info = _find_detail(details, ErrorInfo)
    return _CLASSES.get(call.code(), AuthorityError)(
        call.details() or call.code().name,
        code=call.code(),
        reason=info.reason,
        violations=tuple(Violation(v.field, v.description) for v in _find_detail(details, BadRequest).field_violations),
        retry_after=_retry_after(details),
        request_id=_decode_text(trailers.get("x-request-id")) or info.metadata.get("request_id", ""),
        metadata=info.metadata,
    )


def invalid_answer(problem: str) -> AuthorityError:
    """Return the error for an answer that the contract does not allow: a broken authority, or another server."""
    return AuthorityError(f"the authority sent {problem}", code=grpc.StatusCode.DATA_LOSS)


def next_page_token(asked: str, answered: str, items: Sized) -> str:
    """Return the token of the page after *items*; AuthorityError if the list would have no end.

    Each page but the last one has items, and another token than the page before.
    """
    if answered and not items:
        raise invalid_answer("a list without an end: an empty page that is not the last one")
    if asked and asked == answered:
        raise invalid_answer("a list without an end: the same page_token twice")
    return answered


_CLASSES: Final[Mapping[grpc.StatusCode, type[AuthorityError]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


def _read_status(trailer: str | bytes | None) -> Status:
    """Return the `google.rpc.Status` of a failed call; empty if it has none, or a proxy garbled it."""
    if not isinstance(trailer, bytes):
        return Status()
    try:
        return Status.FromString(trailer)
    except DecodeError:
        return Status()


def _find_detail(status: Status, kind: type[Detail]) -> Detail:
    """Return the first detail of *kind*; an empty one if there is none."""
    found = kind()
    try:
        any(packed.Unpack(found) for packed in status.details)
    except DecodeError:
        return kind()
    return found


def _retry_after(status: Status) -> float | None:
    info = _find_detail(status, RetryInfo)
    if not info.HasField("retry_delay"):
        return None
    # Without the conversion to a timedelta, which raises for what a broken server may send.
    return max(0.0, info.retry_delay.seconds + info.retry_delay.nanos / 1e9)


def _decode_text(value: str | bytes | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""

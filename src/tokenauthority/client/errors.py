"""What a call raises when the authority refuses it or cannot be reached: a class for each gRPC status.

AuthorityError
    InvalidArgument       a field is bad; `violations` names each
    Unauthenticated       no API key, or one that is not good
    PermissionDenied      the key's grant lacks it; `metadata` names the limit
    NotFound              no such project, session, role or key
    AlreadyExists         it exists, or a request id was used with another body
    FailedPrecondition    the session has ended, the project has no key for the format, ...
    ResourceExhausted     too much at once; `retry_after` says when to come back
    Unavailable           the authority cannot be reached, or cannot write; it was retried where that is safe
    DeadlineExceeded      no answer in time

Any other status is an AuthorityError itself. Messages hold neither a token nor an API key.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, cast

import grpc

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


Detail = TypeVar("Detail", BadRequest, ErrorInfo, RetryInfo)


@dataclass(frozen=True, slots=True)
class Violation:
    """One bad field of a request: its path, such as `requests[17].role`, and what is wrong with it."""

    field: str
    problem: str


class AuthorityError(Exception):
    """A call failed. `str(error)` is for a person, `code` and `reason` are for programs."""

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
        self.reason: Final = reason
        """The contract's `ErrorReason`, such as "ROLE_NOT_GRANTED"; empty where no authority answered."""
        self.violations: Final = violations
        self.retry_after: Final = retry_after
        """Seconds after which another try makes sense; None where the authority did not say."""
        self.request_id: Final = request_id
        """What to name to those who run the authority."""
        self.metadata: Final = MappingProxyType(dict(metadata or {}))


class InvalidArgument(AuthorityError):
    """A field of the request is missing, malformed or beyond its limit."""


class Unauthenticated(AuthorityError):
    """There is no API key, or it is not good."""


class PermissionDenied(AuthorityError):
    """The API key's grant lacks what the call needs."""


class NotFound(AuthorityError):
    """The object does not exist."""


class AlreadyExists(AuthorityError):
    """The object exists already, or the request id was used with another body."""


class FailedPrecondition(AuthorityError):
    """The object is not in the state that the call needs."""


class ResourceExhausted(AuthorityError):
    """Too many calls at once, or in a time."""


class Unavailable(AuthorityError):
    """The authority cannot be reached, or cannot do its duty now."""


class DeadlineExceeded(AuthorityError):
    """There was no answer in time; whether the call was done is not known."""


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn gRPC's errors into AuthorityErrors: for calls on the stubs themselves, blocking or awaited."""
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc_error(error) from error


def from_rpc_error(error: grpc.RpcError) -> AuthorityError:
    """The AuthorityError that says what *error* says."""
    call = cast("_FailedCall", error)
    trailers = dict(call.trailing_metadata() or ())
    details = _details(trailers.get("grpc-status-details-bin"))
    info = _detail(details, ErrorInfo)
    return _CLASSES.get(call.code(), AuthorityError)(
        call.details() or call.code().name,
        code=call.code(),
        reason=info.reason,
        violations=tuple(Violation(v.field, v.description) for v in _detail(details, BadRequest).field_violations),
        retry_after=_retry_after(details),
        request_id=_text(trailers.get("x-request-id")) or info.metadata.get("request_id", ""),
        metadata=info.metadata,
    )


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


class _FailedCall(Protocol):
    """What the errors of blocking and of asyncio calls have in common; gRPC has no name for it."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


def _details(trailer: str | bytes | None) -> Status:
    """The `google.rpc.Status` of a failed call; empty where there is none, or a proxy garbled it."""
    if not isinstance(trailer, bytes):
        return Status()
    try:
        return Status.FromString(trailer)
    except DecodeError:
        return Status()


def _detail(status: Status, kind: type[Detail]) -> Detail:
    """The first detail of *kind*; an empty one where there is none."""
    found = kind()
    try:
        any(packed.Unpack(found) for packed in status.details)
    except DecodeError:
        return kind()
    return found


def _retry_after(status: Status) -> float | None:
    info = _detail(status, RetryInfo)
    return info.retry_delay.ToTimedelta().total_seconds() if info.HasField("retry_delay") else None


def _text(value: str | bytes | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""

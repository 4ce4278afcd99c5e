"""Client interceptors that give every call a deadline and, on a plaintext channel, the API key.

A stream gets the key but no deadline: WatchRevocations is meant to stay open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import grpc


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


Pairs = tuple[tuple[str, str | bytes], ...]
Request = TypeVar("Request")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class _CallDetails(grpc.ClientCallDetails):
    """What gRPC reads of a call; its own class for it is private."""

    method: str
    timeout: float | None
    metadata: Pairs
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class Defaults(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Completes blocking calls. *timeout* in seconds; *metadata* is added to each call's own."""

    def __init__(self, timeout: float, metadata: Pairs) -> None:
        self._timeout = timeout
        self._metadata = metadata

    def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.ClientCallDetails, Request], grpc._CallFuture[Answer]],
        client_call_details: grpc.ClientCallDetails,
        request: Request,
    ) -> grpc._CallFuture[Answer]:
        """Make the call with the deadline and the key; see gRPC."""
        return continuation(self._completed(client_call_details, self._timeout), request)

    def intercept_unary_stream(
        self,
        continuation: Callable[[grpc.ClientCallDetails, Request], grpc._CallIterator[Answer]],
        client_call_details: grpc.ClientCallDetails,
        request: Request,
    ) -> grpc._CallIterator[Answer]:
        """Make the call with the key and, since it may stay open, no deadline; see gRPC."""
        return continuation(self._completed(client_call_details, None), request)

    def _completed(self, details: grpc.ClientCallDetails, timeout: float | None) -> _CallDetails:
        return _CallDetails(
            method=details.method,
            timeout=timeout if details.timeout is None else details.timeout,
            metadata=(*(details.metadata or ()), *self._metadata),
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
            compression=details.compression,
        )


def async_defaults(timeout: float, metadata: Pairs) -> Sequence[grpc.aio.ClientInterceptor]:
    """The same for asyncio, where gRPC wants an interceptor for each kind of call."""
    return (_UnaryDefaults(timeout, metadata), _StreamDefaults(None, metadata))


class _AsyncDefaults:
    def __init__(self, timeout: float | None, metadata: Pairs) -> None:
        self._timeout = timeout
        self._metadata = metadata

    def _completed(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        return grpc.aio.ClientCallDetails(
            details.method,
            self._timeout if details.timeout is None else details.timeout,
            grpc.aio.Metadata(*(details.metadata or ()), *self._metadata),
            details.credentials,
            details.wait_for_ready,
        )


class _UnaryDefaults(_AsyncDefaults, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self,
        continuation: Callable[
            [grpc.aio.ClientCallDetails, Request], Awaitable[grpc.aio.UnaryUnaryCall[Request, Answer]]
        ],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Request,
    ) -> grpc.aio.UnaryUnaryCall[Request, Answer]:
        return await continuation(self._completed(client_call_details), request)


class _StreamDefaults(_AsyncDefaults, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self,
        continuation: Callable[
            [grpc.aio.ClientCallDetails, Request], Awaitable[grpc.aio.UnaryStreamCall[Request, Answer]]
        ],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Request,
    ) -> grpc.aio.UnaryStreamCall[Request, Answer]:
        return await continuation(self._completed(client_call_details), request)

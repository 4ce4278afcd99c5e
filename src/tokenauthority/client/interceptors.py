"""Give every call of a channel its deadline and, on a plaintext channel, the API key.

A stream gets the key but no deadline: WatchRevocations is meant to stay open.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import grpc


Pairs = tuple[tuple[str, str | bytes], ...]
Details = TypeVar("Details", grpc.ClientCallDetails, grpc.aio.ClientCallDetails)
Request = TypeVar("Request")
Result = TypeVar("Result")


class _CallDefaults:
    """What the call itself does not say: *timeout* in seconds, and *metadata* that is added to the call's own.

    The methods below only pass on what gRPC's continuation returns, be that a call or an awaitable of one. So one class
    serves blocking and asyncio channels.
    """

    def __init__(self, timeout: float | None, metadata: Pairs) -> None:
        self._timeout = timeout
        self._metadata = metadata

    def _complete(self, details: Details) -> Details:
        # At run time the asyncio class is a grpc.ClientCallDetails too, which has no constructor of its own.
        return grpc.aio.ClientCallDetails(  # type: ignore[return-value]  # the stub files do not know that
            details.method,
            self._timeout if details.timeout is None else details.timeout,
            grpc.aio.Metadata(*(details.metadata or ()), *self._metadata),
            details.credentials,
            details.wait_for_ready,
        )


class UnaryDefaults(_CallDefaults, grpc.UnaryUnaryClientInterceptor, grpc.aio.UnaryUnaryClientInterceptor):
    """Completes calls with one answer."""

    def intercept_unary_unary(  # type: ignore[override]  # gRPC awaits what the asyncio continuation returns, which need not be a coroutine
        self, continuation: Callable[[Details, Request], Result], client_call_details: Details, request: Request
    ) -> Result:
        """Make the call with the deadline and the key."""
        return continuation(self._complete(client_call_details), request)


class StreamDefaults(_CallDefaults, grpc.UnaryStreamClientInterceptor, grpc.aio.UnaryStreamClientInterceptor):
    """Completes calls with a stream of answers."""

    def intercept_unary_stream(  # type: ignore[override]  # gRPC awaits what the asyncio continuation returns, which need not be a coroutine
        self, continuation: Callable[[Details, Request], Result], client_call_details: Details, request: Request
    ) -> Result:
        """Make the call with the key."""
        return continuation(self._complete(client_call_details), request)

"""Give every call of a channel its deadline and its bearer credential.

A stream gets the credential but no deadline: WatchRevocations is meant to stay open.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import grpc


Details = TypeVar("Details", grpc.ClientCallDetails, grpc.aio.ClientCallDetails)
Request = TypeVar("Request")
Result = TypeVar("Result")


class _CallDefaults:
    """What the call itself does not say: *timeout* in seconds, and what *bearer* returns for this call; empty: none.

    The methods below only pass on what gRPC's continuation returns, be that a call or an awaitable of one. So one class
    serves blocking and asyncio channels.
    """

    def __init__(self, timeout: float | None, bearer: Callable[[], str]) -> None:
        self._timeout = timeout
        self._bearer = bearer

    def _complete(self, details: Details) -> Details:
        credential = self._bearer()
        metadata = (("authorization", f"Bearer {credential}"),) if credential else ()
        # grpc.ClientCallDetails has no constructor, so the asyncio class serves both clients.
        return grpc.aio.ClientCallDetails(  # type: ignore[return-value]  # in types-grpcio the asyncio class is no subclass of grpc.ClientCallDetails; at run time it is
            details.method,
            self._timeout if details.timeout is None else details.timeout,
            grpc.aio.Metadata(*(details.metadata or ()), *metadata),
            details.credentials,
            details.wait_for_ready,
        )


class UnaryDefaults(_CallDefaults, grpc.UnaryUnaryClientInterceptor, grpc.aio.UnaryUnaryClientInterceptor):
    """Completes calls with one answer."""

    def intercept_unary_unary(  # type: ignore[override]  # types-grpcio declares a coroutine; one method serves both clients and returns what the continuation returns, which grpc.aio awaits
        self, continuation: Callable[[Details, Request], Result], client_call_details: Details, request: Request
    ) -> Result:
        """Make the call with the deadline and the credential."""
        return continuation(self._complete(client_call_details), request)


class StreamDefaults(_CallDefaults, grpc.UnaryStreamClientInterceptor, grpc.aio.UnaryStreamClientInterceptor):
    """Completes calls with a stream of answers."""

    def intercept_unary_stream(  # type: ignore[override]  # types-grpcio declares a coroutine; one method serves both clients and returns what the continuation returns, which grpc.aio awaits
        self, continuation: Callable[[Details, Request], Result], client_call_details: Details, request: Request
    ) -> Result:
        """Make the call with the credential."""
        return continuation(self._complete(client_call_details), request)

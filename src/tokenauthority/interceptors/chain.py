"""One grpc.aio interceptor that runs all of ours around every RPC, also around those of unknown methods.

grpc.aio builds a handler anew for each interceptor and RPC; here the chain of a method is composed once, so that an
interceptor costs a function call. Request bytes are decoded inside the chain, so that a caller is known and limits are
checked before anything from outside is parsed, and malformed bytes are a recorded, ordinary error.
"""

from __future__ import annotations

import inspect

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

import grpc
import grpc.aio

from google.protobuf.message import DecodeError, Message

from tokenauthority.domain.errors import InvalidRequestError, NotImplementedYetError, Violation
from tokenauthority.interceptors.status import StatusError


if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenauthority.context import AuditRecord


class Context(Protocol):
    """What the interceptors use of grpc.aio's ServicerContext, whose own types leave the messages open."""

    async def abort_with_status(self, status: grpc.Status) -> None: ...
    async def write(self, message: object) -> None: ...
    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]] | None: ...
    def set_trailing_metadata(self, metadata: Sequence[tuple[str, str]]) -> None: ...
    def time_remaining(self) -> float | None: ...
    def peer(self) -> str: ...


class Call:
    """One RPC on its way through the chain. `metadata` has lower-case keys; of a repeated key it holds all values."""

    __slots__ = ("context", "deadline", "metadata", "method", "record", "request", "streaming")

    def __init__(self, method: str, request: object, context: Context, *, streaming: bool) -> None:
        self.method = method
        self.request = request
        self.context = context
        self.streaming = streaming
        self.metadata: dict[str, list[str | bytes]] = {}
        self.deadline = 0.0
        self.record: AuditRecord


Proceed: TypeAlias = Callable[[Call], Awaitable[object]]


class Interceptor(Protocol):
    """One step around an RPC."""

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Do what is to be done around `await proceed(call)` and return its answer, or raise."""


class Chain(grpc.aio.ServerInterceptor):  # type: ignore[misc] - grpc.aio's class is untyped at run time
    """Runs *interceptors*, outermost first, around every RPC of the server."""

    def __init__(self, interceptors: Sequence[Interceptor]) -> None:
        self._interceptors = tuple(interceptors)
        self._handlers: dict[str, grpc.RpcMethodHandler[object, object]] = {}

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[object, object] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[object, object]:
        """The handler of the method, wrapped; composed at its first RPC."""
        method = handler_call_details.method
        wrapped = self._handlers.get(method)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return self._unary(method, _unknown_method)
            wrapped = self._handlers[method] = self._wrap(method, handler)
        return wrapped

    def _wrap(
        self, method: str, handler: grpc.RpcMethodHandler[object, object]
    ) -> grpc.RpcMethodHandler[object, object]:
        if not handler.request_streaming and not handler.response_streaming:
            return self._unary(method, partial(_answer, handler))
        return self._stream(method, handler)

    def _unary(self, method: str, innermost: Proceed) -> grpc.RpcMethodHandler[object, object]:
        chain = self._compose(innermost)

        async def run(request: object, context: Context) -> object:
            try:
                return await chain(Call(method, request, context, streaming=False))
            except StatusError as error:
                await context.abort_with_status(error.status)

        return grpc.unary_unary_rpc_method_handler(run)  # type: ignore[arg-type] - bytes in, bytes out

    def _stream(
        self, method: str, handler: grpc.RpcMethodHandler[object, object]
    ) -> grpc.RpcMethodHandler[object, object]:
        behavior = handler.stream_stream or handler.stream_unary or handler.unary_stream
        chain = self._compose(partial(_answer_stream, behavior))

        async def run(request: object, context: Context) -> object:
            try:
                return await chain(Call(method, request, context, streaming=True))
            except StatusError as error:
                await context.abort_with_status(error.status)

        make = {
            (True, True): grpc.stream_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
        }[handler.request_streaming, handler.response_streaming]
        return make(run, handler.request_deserializer, handler.response_serializer)  # type: ignore[operator] - one shape for three kinds

    def _compose(self, innermost: Proceed) -> Proceed:
        proceed = innermost
        for interceptor in reversed(self._interceptors):
            proceed = partial(interceptor.intercept, proceed=proceed)
        return proceed


async def _answer(handler: grpc.RpcMethodHandler[Message, Message], call: Call) -> object:
    try:
        request = handler.request_deserializer(cast("bytes", call.request))  # type: ignore[misc] - set for every unary method
    except DecodeError:
        raise InvalidRequestError([Violation("", "the bytes are not a message of this method")]) from None
    response = await handler.unary_unary(request, call.context)  # type: ignore[misc, arg-type] - an async servicer's method
    return handler.response_serializer(response)  # type: ignore[misc] - set for every unary method


async def _answer_stream(behavior: Callable[[object, object], object], call: Call) -> object:
    result = behavior(call.request, call.context)
    if inspect.isawaitable(result):
        return await result
    async for message in cast("AsyncIterator[object]", result):
        await call.context.write(message)
    return None


async def _unknown_method(call: Call) -> object:
    raise NotImplementedYetError("this method")

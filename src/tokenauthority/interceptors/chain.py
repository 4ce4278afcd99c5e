"""Run all interceptors around every RPC, also around those of unknown methods: one interceptor of grpc.aio.

grpc.aio builds a handler anew for each interceptor and RPC; here the interceptors of a method are composed once, so
that each costs a function call. The innermost step receives and decodes the request: the caller is authenticated and
limits are checked before anything is waited for or parsed, and malformed bytes are an ordinary, recorded error.
"""

from __future__ import annotations

import asyncio
import inspect

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Protocol, TypeAlias, cast

import grpc
import grpc.aio
import msgspec

from google.protobuf.message import DecodeError, Message

from tokenauthority.audit.record import AuditRecord
from tokenauthority.domain.caller import Caller
from tokenauthority.domain.errors import ExhaustedError, FieldViolation, InvalidRequestError, UnimplementedError
from tokenauthority.interceptors.status import StatusError
from tokenauthority.service.rpc import ServedMethod


_SEND_TIMEOUT: Final = 20.0
"""Seconds that a message of a stream may wait for its reader."""


Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"


class Handler(Protocol):
    """A method as a servicer registers it; grpc's own type is generic over messages that differ for each method."""

    request_streaming: bool
    response_streaming: bool
    request_deserializer: Callable[[bytes], object]
    response_serializer: Callable[[object], bytes]
    unary_unary: Callable[[object, Context], Awaitable[object]] | None
    unary_stream: Callable[[object, Context], object] | None
    stream_unary: Callable[[object, Context], object] | None
    stream_stream: Callable[[object, Context], object] | None


class Call(msgspec.Struct, eq=False):
    """One RPC as the interceptors see it. Its `repr` does not show the metadata, which contain credentials.

    Attributes:
        requests: Its messages: one, if the method takes one. A message that has not been read has cost nothing yet.
        metadata: Of the caller, with lower-case keys; a repeated key has all its values.
        deadline: On the event loop's clock.
        capped: Whether the server enforces `deadline`. gRPC enforces the caller's own: it cancels the RPC.
        finishing: Whether it is finished even if its caller leaves.
        abandoned: Whether its caller has left.
        caller: Set once it is authenticated.
        opening: Awaited before the first message of a stream leaves.
        record: Set by the outermost interceptor.
    """

    method: str
    requests: AsyncIterator[object]
    context: Context
    streaming: bool
    metadata: dict[str, list[str | bytes]] = msgspec.field(default_factory=dict)
    deadline: float = 0.0
    capped: bool = True
    finishing: bool = False
    abandoned: bool = False
    caller: Caller | None = None
    opening: Callable[[], Awaitable[None]] | None = None
    record: AuditRecord = cast("AuditRecord", None)

    def __repr__(self) -> str:
        return f"Call(method={self.method!r}, caller={self.caller!r})"


Proceed: TypeAlias = Callable[[Call], Awaitable[object]]


class Interceptor(Protocol):
    """One step around an RPC."""

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Do what is to be done around `await proceed(call)` and return its answer, or raise."""


class InterceptorChain(grpc.aio.ServerInterceptor):
    """Runs *interceptors*, outermost first, around every RPC of the server.

    The methods of *served* are answered from here, by path; those of other services, such as health, by what is
    registered on the server.
    """

    def __init__(self, interceptors: Sequence[Interceptor], served: Mapping[str, ServedMethod] | None = None) -> None:
        self._interceptors = tuple(interceptors)
        self._handlers = {path: self._serve(path, method) for path, method in (served or {}).items()}

    async def intercept_service(  # type: ignore[override]  # typed for handlers of any message; the stubs are generic over one
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Return the handler of the method, wrapped; one of another service is composed at its first RPC."""
        method = handler_call_details.method
        wrapped = self._handlers.get(method)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return self._handler(method, _unknown_method)
            wrapped = self._handlers[method] = self._wrap(method, handler)
        return wrapped

    def _serve(self, path: str, method: ServedMethod) -> Handler:
        give = method.stream if method.streaming else method.answer

        def behave(request: object, call: Call) -> object:
            return give(cast("Message", request), call.caller, call.record)

        innermost = partial(_answer, behave, method.decode)
        encode = method.encode if method.streaming else None
        return self._handler(path, innermost, streaming=method.streaming, answers=method.streaming, encode=encode)

    def _wrap(self, method: str, handler: Handler) -> Handler:
        behavior = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        if behavior is None:
            raise LookupError(f"{method} has no behavior")

        def behave(request: object, call: Call) -> object:
            return behavior(request, call.context)

        return self._handler(
            method,
            partial(_answer, behave, None if handler.request_streaming else handler.request_deserializer),
            streaming=handler.unary_unary is None,
            answers=handler.response_streaming,
            decode=handler.request_deserializer if handler.request_streaming else None,
            encode=handler.response_serializer,
        )

    def _handler(
        self,
        method: str,
        innermost: Proceed,
        *,
        streaming: bool = False,
        answers: bool = False,
        decode: Callable[[bytes], object] | None = None,
        encode: Callable[..., bytes] | None = None,
    ) -> Handler:
        outermost = innermost
        for interceptor in reversed(self._interceptors):
            outermost = partial(interceptor.intercept, proceed=outermost)

        async def run(requests: AsyncIterator[object], context: Context) -> object:
            try:
                return await outermost(Call(method, requests, context, streaming=streaming))
            except StatusError as error:
                await _ended(context, error.status, streaming=streaming)
                return None

        # Requests come as a stream, of which the innermost step reads one: gRPC would else wait for the message before
        # it calls anything of ours, for as long as a stranger likes.
        make = grpc.stream_stream_rpc_method_handler if answers else grpc.stream_unary_rpc_method_handler
        return cast("Handler", make(run, decode, encode))


async def _answer(
    behave: Callable[[object, Call], object], decode: Callable[[bytes], object] | None, call: Call
) -> object:
    """Answer as *behave* does; without *decode* it reads the requests itself."""
    receive = _received_in_time if call.streaming or call.finishing else _received
    request = call.requests if decode is None else await receive(decode, call)
    try:
        result = behave(request, call)
    except NotImplementedError:
        # What the stubs generate for a method that a servicer lacks, such as that of health's List.
        raise UnimplementedError from None
    if inspect.isawaitable(result):
        return await result
    messages = cast("AsyncGenerator[object]", result)
    try:
        async for message in messages:
            if call.opening is not None:
                opening, call.opening = call.opening, None
                await opening()
            await _sent(message, call)
    finally:
        await messages.aclose()
    return None


async def _ended(context: Context, status: grpc.Status, *, streaming: bool) -> None:
    """End the RPC with *status*, which is sent after the messages that a stream has sent before.

    A reader that reads nothing keeps it from being sent. gRPC then holds it until the reader reads on or the connection
    ends; the server does not wait for that.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(_SEND_TIMEOUT if streaming else None):
            await context.abort_with_status(status)


async def _sent(message: object, call: Call) -> None:
    """Send one message in time: a reader that reads nothing could else hold its stream for as long as it likes."""
    try:
        async with asyncio.timeout(_SEND_TIMEOUT):
            await call.context.write(message)
    except TimeoutError:
        raise ExhaustedError.slow_reader() from None


async def _received_in_time(decode: Callable[[bytes], object], call: Call) -> object:
    """Receive the request in time, of a call that has no deadline as a whole."""
    try:
        async with asyncio.timeout_at(call.deadline):
            return await _received(decode, call)
    except TimeoutError:
        raise InvalidRequestError([FieldViolation("", "the message of the request did not come in time")]) from None


async def _received(decode: Callable[[bytes], object], call: Call) -> object:
    async for message in call.requests:
        try:
            return decode(cast("bytes", message))
        except DecodeError:
            raise InvalidRequestError([FieldViolation("", "the bytes are not a message of this method")]) from None
    raise InvalidRequestError([FieldViolation("", "the request has no message")])


async def _unknown_method(_: Call) -> object:
    raise UnimplementedError

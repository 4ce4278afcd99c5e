"""Run all interceptors around every RPC, also around those of unknown methods: one interceptor of grpc.aio.

A call that does not come through gRPC takes the same way, by `InterceptorChain.answer`.

grpc.aio builds a handler anew for each interceptor and RPC; here the interceptors of a method are composed once, so
that each costs a function call. One of them receives the message, once the caller is authenticated and its limits are
checked, and the innermost step decodes it: malformed bytes are an ordinary, recorded error.
"""

from __future__ import annotations

import asyncio
import inspect

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol, cast

import attrs
import grpc
import grpc.aio

from google.protobuf.message import DecodeError

from tokenauthority.authority.waiting import Waiting
from tokenauthority.domain.errors import ExhaustedError, FieldViolation, InvalidRequestError, UnimplementedError
from tokenauthority.interceptors.call import Call, Context, Interceptor, MessageCoding, Proceed
from tokenauthority.interceptors.status import StatusError
from tokenauthority.service.rpc import ServedMethod


_SEND_TIMEOUT: Final = 20.0
"""Seconds that a message of a stream may wait for its reader."""


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


class Delivering(Protocol):
    """What sees answers and refusals out of the server; see `deliveries`."""

    def begin(self, call: Call) -> None:
        """Give the answer of *call*, which leaves now, its time."""

    async def refuse(self, call: Call, status: grpc.Status) -> None:
        """End *call* with *status*."""


@attrs.frozen
class Translation:
    """What answers a method of another program's contract: the unary *method* of ours, by way of *coding*.

    `transport` is how audit and metrics name such calls.
    """

    method: str
    transport: str
    coding: MessageCoding


class InterceptorChain(grpc.aio.ServerInterceptor):
    """Runs *interceptors*, outermost first, around every RPC of the server.

    The methods of *served* are answered from here, by path; those of other services, such as health, by what is
    registered on the server. *deliveries* ends calls whose answer nobody reads. *translations* has methods of other
    contracts by path.
    """

    def __init__(
        self,
        interceptors: Sequence[Interceptor],
        deliveries: Delivering,
        served: Mapping[str, ServedMethod] | None = None,
        translations: Mapping[str, Translation] | None = None,
    ) -> None:
        self._interceptors = tuple(interceptors)
        self._deliveries = deliveries
        self._handlers: dict[str, Handler] = {}
        self._answers: dict[str, Proceed] = {}
        for path, method in (served or {}).items():
            self._serve(path, method)
        for path, translation in (translations or {}).items():
            innermost = _answering((served or {})[translation.method])
            self._handlers[path] = self._handler(translation.method, innermost, translation=translation)
        self._unknown = self._around(_unknown_method)

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

    async def answer(self, call: Call) -> bytes | bytearray:
        """Return the encoded answer of a *call* that does not come through gRPC; raise StatusError.

        A method whose answer is a stream is UNIMPLEMENTED.
        """
        return cast("bytes", await self._answers.get(call.method, self._unknown)(call))

    def _serve(self, path: str, method: ServedMethod) -> None:
        innermost = _answering(method)
        encode = method.encode if method.streaming else None
        self._handlers[path] = self._handler(
            path, innermost, streaming=method.streaming, answers=method.streaming, encode=encode
        )
        self._answers[path] = self._around(partial(_no_stream, path) if method.streaming else innermost)

    def _wrap(self, method: str, handler: Handler) -> Handler:
        behavior = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        if behavior is None:
            raise LookupError(f"{method} has no behavior")
        return self._handler(
            method,
            partial(_answer_as, behavior, handler.request_deserializer),
            streaming=handler.unary_unary is None,
            reads_requests=handler.request_streaming,
            answers=handler.response_streaming,
            encode=handler.response_serializer,
        )

    def _handler(
        self,
        method: str,
        innermost: Proceed,
        *,
        streaming: bool = False,
        reads_requests: bool = False,
        answers: bool = False,
        encode: Callable[..., bytes] | None = None,
        translation: Translation | None = None,
    ) -> Handler:
        outermost, deliveries = self._around(innermost), self._deliveries

        async def run(requests: AsyncIterator[object], context: Context) -> object:
            task = cast("asyncio.Task[object]", asyncio.current_task())
            call = Call(method, requests, context, streaming, reads_requests, task)
            if translation is not None:
                call.transport, call.coding = translation.transport, translation.coding
            try:
                answer = await outermost(call)
            except StatusError as error:
                status = error.status
            else:
                deliveries.begin(call)
                return answer
            # Here, because the error refers to the message, and gRPC's error would refer to that error.
            await deliveries.refuse(call, status)
            return None

        # Requests come as a stream, of which an interceptor reads one message: gRPC would else wait for the message
        # before it calls anything of ours, for as long as a stranger likes.
        make = grpc.stream_stream_rpc_method_handler if answers else grpc.stream_unary_rpc_method_handler
        return cast("Handler", make(run, None, encode))

    def _around(self, innermost: Proceed) -> Proceed:
        """Return *innermost* with all interceptors around it."""
        outermost = innermost
        for interceptor in reversed(self._interceptors):
            outermost = _step(interceptor, outermost)
        return outermost


def _step(interceptor: Interceptor, proceed: Proceed) -> Proceed:
    # A partial object with a keyword takes three times as long to call.
    intercept = interceptor.intercept
    return lambda call: intercept(call, proceed)


def _answering(method: ServedMethod) -> Proceed:
    """Return the innermost step of a method of the contract."""
    if method.streaming:
        return partial(_stream, method)
    return partial(_answer, method)


async def _answer(method: ServedMethod, call: Call) -> object:
    if call.coding is not None:
        call.message = await call.coding.decode(call.message)
    request = _decoded(method.decode, call.message)
    call.message = b""
    answer = await method.answer(request, call.caller, call.record, Waiting(call.deadline, call.aside))
    return answer if call.coding is None else await call.coding.encode(answer)


async def _stream(method: ServedMethod, call: Call) -> object:
    request = _decoded(method.decode, call.message)
    call.message = b""
    messages = method.stream(request, call.caller, call.record, Waiting(call.deadline, call.aside))
    await _send_all(messages, call)
    return None


async def _answer_as(
    behavior: Callable[[object, Context], object], decode: Callable[[bytes], object], call: Call
) -> object:
    """Answer as a servicer of gRPC does, such as that of health."""
    request = _decoded_each(decode, call.requests) if call.reads_requests else _decoded(decode, call.message)
    call.message = b""
    try:
        result = behavior(request, call.context)
    except NotImplementedError:
        # What the stubs generate for a method that a servicer lacks, such as that of health's List.
        raise UnimplementedError from None
    if inspect.isawaitable(result):
        return await result
    await _send_all(cast("AsyncGenerator[object]", result), call)
    return None


async def _send_all(messages: AsyncGenerator[object], call: Call) -> None:
    try:
        async for message in messages:
            if call.opening is not None:
                opening, call.opening = call.opening, None
                await opening(call)
            await _sent(message, call)
    finally:
        await messages.aclose()


async def _sent(message: object, call: Call) -> None:
    """Send one message in time: a reader that reads nothing could else hold its stream for as long as it likes."""
    try:
        async with asyncio.timeout(_SEND_TIMEOUT):
            await call.context.write(message)
    except TimeoutError:
        raise ExhaustedError.slow_reader() from None


def _decoded(decode: Callable[[bytes], object], message: bytes) -> object:
    try:
        return decode(message)
    except DecodeError:
        raise InvalidRequestError([FieldViolation("", "the bytes are not a message of this method")]) from None


async def _decoded_each(decode: Callable[[bytes], object], messages: AsyncIterator[object]) -> AsyncIterator[object]:
    async for message in messages:
        yield _decoded(decode, cast("bytes", message))


async def _unknown_method(_: Call) -> object:
    raise UnimplementedError


async def _no_stream(path: str, _: Call) -> object:
    raise UnimplementedError(f"{path} outside of gRPC: its answer is a stream")

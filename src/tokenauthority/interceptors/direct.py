"""Run one unary call of the contract through the interceptor chain that does not come through gRPC.

Whatever speaks to the client hands over what gRPC would: method, metadata, peer, deadline, and a way to receive the
message. So limits, authentication, audit and metrics are those of gRPC, and in the same order.
"""

from __future__ import annotations

import asyncio

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, cast

import attrs
import grpc

from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from tokenauthority.audit.record import AuditRecord
from tokenauthority.interceptors import status
from tokenauthority.interceptors.call import Call, Context, MessageCoding
from tokenauthority.interceptors.chain import InterceptorChain
from tokenauthority.interceptors.status import REQUEST_ID, StatusError


DIRECT_TASK: Final = "direct_call"
"""The name of the task of such a call, which ends once the call is answered and recorded."""

_DETAILS: Final = "grpc-status-details-bin"
"""The trailing metadata of gRPC that holds a status with its details."""

_BEYOND: Final = 0.005
"""Seconds after a deadline at which its call is ended: by then the deadline has passed on every clock."""


class ClientLeftError(Exception):
    """The client has closed its connection: nobody reads an answer."""


@attrs.frozen(kw_only=True)
class DirectCall:
    """One call, as whatever speaks to the client describes it.

    Attributes:
        method: The full name of the RPC, such as `/tokenauthority.v1.SessionService/CreateSession`.
        transport: How it comes, for audit and metrics, such as `connect`.
        metadata: Keys in lower case. `authorization` is what the authenticator of the chain gets.
        peer: The address of the client; see `peer_of`.
        receive: Returns the message. It is called once, when the caller is authenticated and may make the call. It may
            raise every domain error, and ClientLeftError.
        left: Returns once the client has left; it is called when `receive` has returned. None: nobody can say so.
        timeout: Seconds that the client waits; None if it says nothing. The server has a longest deadline of its own.
        coding: Of the messages, where they are not protobuf's own encoding.
    """

    method: str
    transport: str
    metadata: Sequence[tuple[str, str]] = attrs.field(repr=False)
    peer: str
    receive: Callable[[], Awaitable[bytes]] = attrs.field(repr=False)
    left: Callable[[], Awaitable[object]] | None = attrs.field(default=None, repr=False)
    timeout: float | None = None
    coding: MessageCoding | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class DirectAnswer:
    """How a call has ended.

    Attributes:
        request_id: The id of the call.
        code: OK, or the status.
        message: The answer; empty unless `code` is OK.
        error: The status with its details, as clients of gRPC get it; None if `code` is OK.
    """

    request_id: str
    code: grpc.StatusCode = grpc.StatusCode.OK
    message: bytes | bytearray = attrs.field(default=b"", repr=False)
    error: Status | None = None

    @property
    def retry_after(self) -> float | None:
        """Return the seconds after which the client may try again; None where nothing is said."""
        for detail in self.error.details if self.error is not None else ():
            info = RetryInfo()
            if detail.Unpack(info):
                return info.retry_delay.ToMilliseconds() / 1000
        return None


class DirectCalls:
    """Answers calls by *chain*, whose authenticator says who calls.

    `headers` are those of a request, beside its credential, that the interceptors read: *more* are among them.
    """

    def __init__(self, chain: InterceptorChain, more: Sequence[str] = ()) -> None:
        self._chain = chain
        self.headers: Final = ("user-agent", REQUEST_ID, *more)

    @asynccontextmanager
    async def answer(self, direct: DirectCall) -> AsyncIterator[DirectAnswer]:
        """Yield how *direct* ends. It holds its place and its memory until the block ends, which writes the answer.

        A call that changes something is finished and recorded even if its deadline passes or its client leaves, unless
        its message has not come by then.

        Raises:
            ClientLeftError: the client has left, and nothing of the call goes on any more.
        """
        loop = asyncio.get_running_loop()
        context = _DirectContext(direct, None if direct.timeout is None else loop.time() + direct.timeout)
        ended: asyncio.Future[object] = loop.create_future()
        call = _call_of(direct, context, ended)
        work = loop.create_task(_run(self._chain, call), name=DIRECT_TASK)
        leaving = loop.create_task(context.wait_until_left())
        try:
            await asyncio.wait([work, leaving], timeout=context.patience(), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                context.give_up(call.reading)
                if leaving.done():
                    raise ClientLeftError
                yield _expired(call)
            else:
                yield work.result()
        finally:
            leaving.cancel()
            context.give_up(call.reading)
            if not work.done():
                if not work.cancelling():
                    work.cancel()
                await asyncio.wait([work])
            ended.set_result(None)


def peer_of(host: str, port: int) -> str:
    """Return the address of a client in the form that gRPC gives it."""
    return f"ipv6:%5B{host}%5D:{port}" if ":" in host else f"ipv4:{host}:{port}"


class _DirectContext:
    """What the interceptors ask of the context of a gRPC call."""

    def __init__(self, direct: DirectCall, deadline: float | None) -> None:
        self._direct = direct
        self._deadline = deadline
        self._received = asyncio.Event()
        self._left = False
        self._given_up = False

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        return self._direct.metadata

    def time_remaining(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - asyncio.get_running_loop().time())

    def peer(self) -> str:
        return self._direct.peer

    def auth_context(self) -> Mapping[str, Sequence[bytes]]:
        """Return no certificate: the listeners of these calls ask for none."""
        return {}

    def set_trailing_metadata(self, _: object) -> None:
        """Do nothing: `DirectAnswer` has the request id."""

    async def read(self) -> bytes:
        """Return the message; wait until the call is given up if the client has left instead."""
        if self._given_up:
            raise asyncio.CancelledError
        try:
            message = await self._direct.receive()
        except ClientLeftError:
            self._left = True
            self._received.set()
            message = await _forever()
        self._received.set()
        return message

    def give_up(self, reading: asyncio.Task[bytes | None] | None) -> None:
        """Receive no message any more: also a call that is finished once it has begun would wait for it."""
        self._given_up = True
        if reading is not None:
            reading.cancel()

    def patience(self) -> float | None:
        """Return the seconds until the deadline has passed for certain."""
        remaining = self.time_remaining()
        return None if remaining is None else remaining + _BEYOND

    async def wait_until_left(self) -> None:
        await self._received.wait()
        if not self._left:
            await (_forever() if self._direct.left is None else self._direct.left())


def _call_of(direct: DirectCall, context: _DirectContext, task: asyncio.Future[object]) -> Call:
    return Call(
        direct.method,
        _no_messages(),
        cast("Context", context),
        streaming=False,
        task=task,
        transport=direct.transport,
        coding=direct.coding,
    )


async def _run(chain: InterceptorChain, call: Call) -> DirectAnswer:
    try:
        message = await chain.answer(call)
    except StatusError as error:
        # Its traceback refers to the message, so the error itself must not live as long as the answer.
        return _refused(error, call.record.request_id)
    return DirectAnswer(request_id=call.record.request_id, message=message)


def _refused(error: StatusError, request_id: str) -> DirectAnswer:
    trailing = dict(cast("Sequence[tuple[str, bytes]]", error.status.trailing_metadata))
    return DirectAnswer(request_id=request_id, code=error.code, error=Status.FromString(trailing[_DETAILS]))


def _expired(call: Call) -> DirectAnswer:
    record = cast("AuditRecord | None", call.record)
    request_id = "" if record is None else record.request_id
    code = grpc.StatusCode.DEADLINE_EXCEEDED
    return _refused(status.plain(code, code.name, "the deadline passed", request_id), request_id)


async def _forever() -> bytes:
    forever: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    return await forever


async def _no_messages() -> AsyncIterator[object]:
    return
    yield

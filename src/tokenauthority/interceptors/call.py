"""Define what the interceptors see of one RPC, and what an interceptor is."""

from __future__ import annotations

import asyncio

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol, TypeAlias, cast

import grpc.aio
import msgspec

from tokenauthority.audit.record import AuditRecord
from tokenauthority.domain.caller import Caller


Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"


class MessageCoding(Protocol):
    """How the messages of a call are written where they are not protobuf's own encoding."""

    async def decode(self, message: bytes) -> bytes:
        """Return the bytes of the request; raise InvalidRequestError."""

    async def encode(self, message: bytes) -> bytes | bytearray:
        """Return how the bytes of the answer are written."""


class Call(msgspec.Struct, eq=False):
    """One RPC as the interceptors see it. Its `repr` does not show the metadata, which contain credentials.

    Attributes:
        requests: Its messages, as bytes, for a method that reads them itself.
        reads_requests: Whether it is such a method.
        message: The bytes of the only message of every other method, once it is received.
        task: The task of its handler. For a call outside of gRPC, what is done once its answer is written.
        reading: The read of a message that is not over. It ends with the call at the latest; see `read_pool`.
        memory: Bytes that are counted for its messages; see `message_memory`.
        metadata: Of the caller, with lower-case keys; a repeated key has all its values.
        deadline: On the event loop's clock.
        aside: Entered while the call waits for somebody outside; it then holds no place among changes of the store.
        capped: Whether the server enforces `deadline`. gRPC enforces the caller's own: it cancels the RPC.
        finishing: Whether it is finished even if its caller leaves.
        abandoned: Whether its caller has left.
        caller: Set once it is authenticated.
        opening: Awaited, with the call, before the first message of a stream leaves.
        record: Set by the outermost interceptor.
        transport: How it comes, such as `connect`; empty for gRPC.
        coding: Of its messages, where they are not protobuf's own encoding.
    """

    method: str
    requests: AsyncIterator[object]
    context: Context
    streaming: bool
    reads_requests: bool = False
    task: asyncio.Future[object] = cast("asyncio.Future[object]", None)
    message: bytes = b""
    reading: asyncio.Task[bytes | None] | None = None
    memory: int = 0
    metadata: dict[str, list[str | bytes]] = msgspec.field(default_factory=dict)
    deadline: float = 0.0
    aside: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    capped: bool = True
    finishing: bool = False
    abandoned: bool = False
    caller: Caller | None = None
    opening: Callable[[Call], Awaitable[None]] | None = None
    record: AuditRecord = cast("AuditRecord", None)
    transport: str = ""
    coding: MessageCoding | None = None
    _releases: list[Callable[[], object]] = msgspec.field(default_factory=list)

    def at_end(self, release: Callable[[], object]) -> None:
        """Call *release* once gRPC has written the answer to the connection, or the call has ended otherwise."""
        if not self._releases:
            # The context has callbacks, too, but they would make it refer to itself: it would live on after its call.
            self.task.add_done_callback(self._end)
        self._releases.append(release)

    def _end(self, _: object) -> None:
        # What refers to the call must not stay: gRPC ends a call that nothing refers to.
        releases, self._releases = self._releases, []
        for release in releases:
            release()

    def __repr__(self) -> str:
        return f"Call(method={self.method!r}, caller={self.caller!r})"


Proceed: TypeAlias = Callable[[Call], Awaitable[object]]


class Interceptor(Protocol):
    """One step around an RPC."""

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Do what is to be done around `await proceed(call)` and return its answer, or raise."""

"""Both clients for one test, and a small real gRPC server whose answers a test scripts."""

from __future__ import annotations

import contextlib
import inspect
import threading

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar, cast

import attrs
import grpc
import pytest

from google.protobuf.message import Message

from tests.support.authority import WAIT, RunningAuthority
from tokenauthority.client import (
    AsyncAuthority,
    AsyncRevocationWatch,
    AsyncSession,
    Authority,
)
from tokenauthority.v1 import session_pb2


Result = TypeVar("Result")
Client = AsyncAuthority
Watch = AsyncRevocationWatch
"""The types of both clients in tests: the blocking one has the same methods, and `done` awaits for it."""

Entered = TypeVar("Entered", Client, Watch)

CLIENTS: dict[str, type[Client]] = {"blocking": cast("type[Client]", Authority), "asyncio": AsyncAuthority}
Answer = Callable[[bytes, grpc.ServicerContext], Message]


@attrs.define
class ScriptedServer(grpc.GenericRpcHandler):
    """Answers each call by the next of `answers`, by the last one for ever; records what it was sent.

    With `streamed` it answers by these messages instead, and leaves the stream open.
    """

    answers: list[Answer] = attrs.field(factory=list)
    streamed: list[Message] = attrs.field(factory=list)
    requests: list[bytes] = attrs.field(factory=list)
    metadata: list[dict[str, str | bytes]] = attrs.field(factory=list)
    address: str = ""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """gRPC's: every method is answered."""
        self.metadata.append(dict(details.invocation_metadata))
        if self.streamed:
            return grpc.unary_stream_rpc_method_handler(self._stream)
        return grpc.unary_unary_rpc_method_handler(self._answer)

    def _stream(self, _: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        over = threading.Event()
        context.add_callback(over.set)
        yield from (message.SerializeToString() for message in self.streamed)
        over.wait(WAIT)

    def _answer(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(request, context).SerializeToString()


def failing(code: grpc.StatusCode, *trailers: tuple[str, str | bytes]) -> Answer:
    """An answer that is an error."""

    def answer(_: bytes, context: grpc.ServicerContext) -> Message:
        context.set_trailing_metadata(trailers)
        context.abort(code, f"it is {code.name}")

    return answer


def giving(message: Message) -> Answer:
    """An answer that is *message*."""
    return lambda _request, _context: message


SESSION_ANSWER: Final = giving(session_pb2.GetSessionResponse(session=session_pb2.Session(session_id="2_abc")))


@pytest.fixture
def scripted_server() -> Iterator[ScriptedServer]:
    """The server, on loopback in plaintext."""
    script = ScriptedServer()
    server = grpc.server(ThreadPoolExecutor(4), handlers=[script])
    script.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield script
    server.stop(0).wait(10)


@pytest.fixture
def scripted(scripted_server: ScriptedServer) -> Iterator[Authority]:
    """A client of the scripted server."""
    with Authority(scripted_server.address, api_key="tak_scripted", plaintext=True) as authority:
        yield authority


@pytest.fixture
def authority(running_authority: RunningAuthority) -> Iterator[Authority]:
    """A client of a real authority, whose key may do everything."""
    with Authority.from_environment(running_authority.environment) as client:
        yield client


async def done(result: Awaitable[Result]) -> Result:
    """What a call of either client returns."""
    either: object = result
    return await result if inspect.isawaitable(either) else cast("Result", either)


async def collected(items: AsyncIterable[Result]) -> list[Result]:
    """All items of an iterator of either client."""
    either: object = items
    if isinstance(either, AsyncIterable):
        return [item async for item in items]
    return list(cast("Iterable[Result]", either))


@contextlib.asynccontextmanager
async def entered(opened: Entered) -> AsyncIterator[Entered]:
    """A client or watch of either kind in its own `with` or `async with`."""
    either: object = opened
    if isinstance(either, contextlib.AbstractAsyncContextManager):
        async with opened:
            yield opened
    else:
        with cast("contextlib.AbstractContextManager[object]", either):
            yield opened


@pytest.fixture(params=CLIENTS)
def kind(request: pytest.FixtureRequest) -> type[Client]:
    """Each of the two clients: what one promises, the other must too."""
    return CLIENTS[request.param]


@pytest.fixture
async def client(kind: type[Client], running_authority: RunningAuthority) -> AsyncIterator[Client]:
    """Each client of a real authority, whose API key may do everything."""
    async with entered(kind.from_environment(running_authority.environment)) as opened:
        yield opened


@pytest.fixture
async def scripted_client(kind: type[Client], scripted_server: ScriptedServer) -> AsyncIterator[Client]:
    """Each client of the scripted server."""
    async with entered(kind(scripted_server.address, api_key="tak_scripted", plaintext=True)) as opened:
        yield opened


async def new_session(client: Client) -> AsyncSession:
    """A session with the defaults."""
    return await done(client.create_session())


async def reasons_of(client: Client, *tokens: object) -> list[str]:
    """Why each token is invalid; empty for a valid one."""
    return [(await done(client.verify_token(str(token)))).reason for token in tokens]

"""A small real gRPC server whose answers a test scripts, for what a healthy authority never does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import attrs
import grpc
import pytest

from google.protobuf.message import Message

from tests.support.authority import RunningAuthority
from tokenauthority.client import Authority


Answer = Callable[[bytes, grpc.ServicerContext], Message]


@attrs.define
class ScriptedServer(grpc.GenericRpcHandler):
    """Answers each call by the next of `answers`, by the last one for ever; keeps what it was sent."""

    answers: list[Answer] = attrs.field(factory=list)
    requests: list[bytes] = attrs.field(factory=list)
    metadata: list[dict[str, str | bytes]] = attrs.field(factory=list)
    address: str = ""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """gRPC's: every method is answered."""
        self.metadata.append(dict(details.invocation_metadata))
        return grpc.unary_unary_rpc_method_handler(self._answer)

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

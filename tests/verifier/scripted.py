"""A small real gRPC server that shows keys and tells revocations as a test says, for what no healthy authority does."""

from __future__ import annotations

import contextlib
import queue

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import attrs
import grpc
import pytest

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from tests.signing.builders import ISSUER, NOW, PROJECT, ring
from tests.support.authority import WAIT
from tokenauthority.client.backoff import Backoff
from tokenauthority.client.connection import Connection
from tokenauthority.signing.keyring import JsonWebKeySet
from tokenauthority.v1 import key_pb2, token_pb2
from tokenauthority.verifier import Verifier


Message = token_pb2.WatchRevocationsResponse


class Hours:
    """A monotonic clock that a test puts forward."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return 1000.0 + self.passed


def snapshot_end(resume_token: str = "1.1", second: int = NOW) -> Message:
    """The end of what was in force, at *second* by the authority's clock."""
    return Message(resume_token=resume_token, snapshot_end=token_pb2.SnapshotEnd(time=Timestamp(seconds=second)))


def heartbeat(resume_token: str = "1.1", second: int = NOW) -> Message:
    """A heartbeat, at *second* by the authority's clock."""
    return Message(resume_token=resume_token, heartbeat=token_pb2.Heartbeat(time=Timestamp(seconds=second)))


def revocation(resume_token: str = "", *, token_id: str = "", subject: str = "", issued_before: int = NOW) -> Message:
    """A revocation; within what is in force it has no resume token."""
    told = token_pb2.Revocation(revocation_id="r", project_id=PROJECT, issued_before=Timestamp(seconds=issued_before))
    if token_id:
        told.token_id = token_id
    else:
        told.subject = subject
    return Message(resume_token=resume_token, revocation=told)


class Asked(Backoff):
    """Pauses for no time, and tells of each pause the how manieth in a row it is, and what was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: queue.Queue[tuple[int, float | None]] = queue.Queue()

    def pause(self, asked: float | None = None) -> float:
        """See `Backoff`."""
        super().pause(asked)
        self.pauses.put((self._attempts, asked))
        return 0.0


@attrs.define(eq=False)
class Stream:
    """One WatchRevocations: what was asked, and what is still to be told."""

    request: token_pb2.WatchRevocationsRequest
    told: queue.Queue[Message | grpc.StatusCode | None] = attrs.field(factory=queue.Queue)

    def tell(self, *messages: Message) -> None:
        """Send them."""
        for message in messages:
            self.told.put(message)

    def end(self, status: grpc.StatusCode | None = None) -> None:
        """End it, with an error if *status* is one."""
        self.told.put(status)


class ScriptedAuthority:
    """Shows the keys of `tests.signing.builders`. Each stream begins with `greeting`, and goes on as the test says."""

    def __init__(self) -> None:
        self.address = ""
        self.greeting: list[Message] = [snapshot_end()]
        self.keys = key_pb2.GetJsonWebKeySetResponse(
            json=JsonWebKeySet.from_ring(ring()).body.decode(), max_age=Duration(seconds=300), issuer=ISSUER
        )
        self.failure: grpc.StatusCode | None = None
        self.asks_for: int | None = None
        self.fetches: queue.Queue[None] = queue.Queue()
        self.opened: queue.Queue[Stream] = queue.Queue()
        self.streams: list[Stream] = []

    def next_stream(self) -> Stream:
        """The next stream that is asked for."""
        return self.opened.get(timeout=WAIT)

    def key_set(
        self, request: key_pb2.GetJsonWebKeySetRequest, context: grpc.ServicerContext
    ) -> key_pb2.GetJsonWebKeySetResponse:
        """GetJsonWebKeySet."""
        self.fetches.put(None)
        if self.failure is not None:
            self._abort(context, self.failure)
        return self.keys

    def watch(self, request: token_pb2.WatchRevocationsRequest, context: grpc.ServicerContext) -> Iterator[Message]:
        """WatchRevocations."""
        stream = Stream(request)
        context.add_callback(stream.end)
        self.streams.append(stream)
        self.opened.put(stream)
        yield from self.greeting
        while isinstance(told := stream.told.get(timeout=WAIT), Message):
            yield told
        if told is not None:
            self._abort(context, told)

    def _abort(self, context: grpc.ServicerContext, code: grpc.StatusCode) -> NoReturn:
        # With how many seconds to stay away, where it asks for that.
        if self.asks_for is not None:
            status = Status(code=code.value[0], message="scripted")
            status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=self.asks_for)))
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(code, "scripted")


@pytest.fixture
def scripted() -> Iterator[ScriptedAuthority]:
    """The server, on loopback in plaintext."""
    authority = ScriptedAuthority()
    with ThreadPoolExecutor(16) as pool:
        server = grpc.server(pool, handlers=_handlers(authority))
        authority.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        yield authority
        for stream in authority.streams:
            stream.end()
        server.stop(0).wait(WAIT)


def _handlers(authority: ScriptedAuthority) -> list[grpc.GenericRpcHandler]:
    keys = grpc.unary_unary_rpc_method_handler(
        authority.key_set,
        request_deserializer=key_pb2.GetJsonWebKeySetRequest.FromString,
        response_serializer=key_pb2.GetJsonWebKeySetResponse.SerializeToString,
    )
    stream = grpc.unary_stream_rpc_method_handler(
        authority.watch,
        request_deserializer=token_pb2.WatchRevocationsRequest.FromString,
        response_serializer=Message.SerializeToString,
    )
    return [
        grpc.method_handlers_generic_handler("tokenauthority.v1.KeyService", {"GetJsonWebKeySet": keys}),
        grpc.method_handlers_generic_handler("tokenauthority.v1.TokenService", {"WatchRevocations": stream}),
    ]


@contextlib.contextmanager
def follow(authority: ScriptedAuthority, **options: Any) -> Iterator[Verifier]:
    """A verifier of it, whose clock stands still and whose watchdog never bites, unless *options* say otherwise."""
    given: dict[str, Any] = {
        "project_ids": [PROJECT],
        "clock": lambda: NOW * 1000,
        "max_silence": 1e6,
        "sync_timeout": WAIT,
        **options,
    }
    with Verifier(Connection(address=authority.address, api_key="tak_scripted", plaintext=True), **given) as verifier:
        yield verifier

"""Every call has its deadline and the API key."""

from __future__ import annotations

import threading

import grpc
import pytest

from tests.client.conftest import Client, ScriptedServer, collected, done, entered, new_session
from tests.support.authority import WAIT
from tokenauthority.client import (
    DeadlineExceeded,
)
from tokenauthority.v1 import session_pb2, token_pb2


async def test_a_call_has_a_deadline_and_a_stream_has_none(kind: type[Client], scripted_server: ScriptedServer) -> None:
    """And both have the API key, beside what the call itself sends."""
    left: list[float | None] = []

    def note(_: bytes, context: grpc.ServicerContext) -> session_pb2.GetSessionResponse:
        left.append(context.time_remaining())
        return session_pb2.GetSessionResponse()

    scripted_server.answers = [note]
    async with entered(kind(scripted_server.address, api_key="tak_x", plaintext=True, timeout=7)) as client:
        await done(client.sessions.GetSession(session_pb2.GetSessionRequest(), metadata=(("x-request-id", "mine"),)))
        stream = client.tokens.WatchRevocations(token_pb2.WatchRevocationsRequest())
        assert 1 == len(await collected(stream))

    assert left[0] is not None
    assert left[0] < 1e6
    # grpcio says "no deadline" as a time beyond all calendars, or as None.
    assert left[1] is None or left[1] > 1e6
    assert ["Bearer tak_x"] * 2 == [metadata["authorization"] for metadata in scripted_server.metadata]
    assert "mine" == scripted_server.metadata[0]["x-request-id"]


async def test_gives_up_at_the_deadline(kind: type[Client], scripted_server: ScriptedServer) -> None:
    """A server that does not answer does not hold its caller for ever."""
    release = threading.Event()

    def hang(_: bytes, context: grpc.ServicerContext) -> session_pb2.CreateSessionResponse:
        context.add_callback(release.set)
        release.wait(WAIT)
        return session_pb2.CreateSessionResponse()

    scripted_server.answers = [hang]
    async with entered(kind(scripted_server.address, api_key="tak_x", plaintext=True, timeout=0.2)) as client:
        with pytest.raises(DeadlineExceeded):
            await new_session(client)

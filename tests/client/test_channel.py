"""A closed client, and an asyncio client in another event loop, say so and do nothing else."""

from __future__ import annotations

import asyncio

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from tests.client.conftest import SESSION_ANSWER, Client, ScriptedServer, done
from tokenauthority.client import AsyncAuthority
from tokenauthority.client.connection import Connection
from tokenauthority.v1 import session_pb2
from tokenauthority.v1.session_pb2_grpc import SessionServiceStub


def test_a_client_is_not_made_without_an_event_loop() -> None:
    """The message says where to make it."""
    with pytest.raises(RuntimeError, match=r"needs a running event loop: make the client in the event loop that uses"):
        AsyncAuthority("127.0.0.1:1", api_key="tak_x", plaintext=True)


def test_a_call_in_another_loop_is_refused_at_once(scripted_server: ScriptedServer) -> None:
    """Methods, stubs and watches: their futures would belong to the other loop. The first loop still works."""
    scripted_server.answers = [SESSION_ANSWER]

    async def make() -> AsyncAuthority:
        return AsyncAuthority(scripted_server.address, api_key="tak_x", plaintext=True)

    async def misuse(client: AsyncAuthority) -> None:
        with pytest.raises(RuntimeError, match="belongs to another event loop: make the client in the event loop"):
            await client.get_session("2_abc")
        with pytest.raises(RuntimeError, match="belongs to another event loop"):
            await client.sessions.GetSession(session_pb2.GetSessionRequest(session_id="2_abc"))
        with pytest.raises(RuntimeError, match="belongs to another event loop"):
            await anext(client.watch_revocations())

    with asyncio.Runner() as first:
        client = first.run(make())
        with asyncio.Runner() as second:
            second.run(misuse(client))
        assert [] == scripted_server.metadata
        assert "2_abc" == first.run(client.get_session("2_abc")).session_id
        first.run(client.close())


async def test_a_closed_client_says_so(kind: type[Client]) -> None:
    """Methods, stubs and watches, those that were made before too. To close it twice changes nothing."""
    client = kind("127.0.0.1:1", api_key="tak_x", plaintext=True)
    watch = client.watch_revocations()
    await done(client.close())
    await done(client.close())
    request = session_pb2.GetSessionRequest(session_id="2_abc")
    calls: list[Callable[[], Any]] = [
        lambda: client.get_session("2_abc"),
        lambda: client.sessions.GetSession(request),
        watch.next_message,
    ]

    for call in calls:
        with pytest.raises(RuntimeError, match="this client is closed: make another one"):
            await done(call())


def test_a_call_beside_the_close_of_another_thread_is_an_error() -> None:
    """GRPC would end the process where the channel was closed after the client had looked."""
    connection = Connection(address="127.0.0.1:1", api_key="tak_x", plaintext=True)
    channel = connection.open()
    stub = SessionServiceStub(channel)
    channel._channel.close()  # type: ignore[attr-defined]  # what stands behind the guard
    request = session_pb2.GetSessionRequest()

    for call in (stub.GetSession, stub.GetSession.with_call):
        with pytest.raises(ValueError, match="closed channel"):
            call(request)


def test_a_client_is_closed_in_another_loop_once_its_own_has_stopped() -> None:
    """Its calls are its own loop's to cancel; but no channel stays open because that loop is gone."""

    async def make() -> AsyncAuthority:
        return AsyncAuthority("127.0.0.1:1", api_key="tak_x", plaintext=True)

    async def misuse() -> None:
        client = await make()
        with pytest.raises(RuntimeError, match="belongs to another event loop"):
            await asyncio.to_thread(asyncio.run, client.close())
        await client.close()

    async def state(client: AsyncAuthority) -> grpc.ChannelConnectivity:
        await client.close()
        found: grpc.ChannelConnectivity = client._channel._channel.get_state()  # type: ignore[attr-defined]  # what stands behind the guard
        return found

    asyncio.run(misuse())
    client = asyncio.run(make())

    assert grpc.ChannelConnectivity.SHUTDOWN == asyncio.run(state(client))

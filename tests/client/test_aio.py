"""The asyncio client against a real authority; what it shares with the blocking one is tested there."""

from __future__ import annotations

import asyncio

from collections.abc import AsyncIterator

import grpc
import pytest

from tests.client.conftest import ScriptedServer, failing, giving
from tests.support.authority import RunningAuthority
from tokenauthority.client import (
    AsyncAuthority,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    TokenRequest,
    Unauthenticated,
    translated_errors,
)
from tokenauthority.v1 import project_pb2, session_pb2, token_pb2


@pytest.fixture
async def authority(running_authority: RunningAuthority) -> AsyncIterator[AsyncAuthority]:
    """A client of a real authority, whose key may do everything."""
    async with AsyncAuthority.from_environment(running_authority.environment) as client:
        yield client


async def test_a_session_lets_people_in(authority: AsyncAuthority) -> None:
    """Made, read, and with tokens that verify."""
    session = await authority.create_session(media_mode="routed")
    token = await session.generate_token(role="moderator", data="username=bob")

    verdict = await authority.verify_token(token, session_id=session.session_id)

    assert verdict
    assert verdict.claims is not None
    assert ("moderator", "username=bob") == (verdict.claims.role, verdict.claims.data)
    assert session == await authority.get_session(session.session_id)
    assert "authority" not in repr(session)


async def test_lists_sessions_over_all_pages(authority: AsyncAuthority) -> None:
    """Newest first, each once."""
    made = [(await authority.create_session()).session_id for _ in range(5)]

    assert made[::-1] == [session.session_id async for session in authority.list_sessions(page_size=2)]


async def test_calls_run_side_by_side(authority: AsyncAuthority) -> None:
    """One client serves all tasks of its loop."""
    session = await authority.create_session()

    tokens = await asyncio.gather(*(session.generate_token() for _ in range(50)))

    assert 50 == len({token.token_id for token in tokens})


async def test_a_batch_is_in_the_order_asked_for(authority: AsyncAuthority) -> None:
    """All or none."""
    session = await authority.create_session()
    roles = ["subscriber", "moderator", "publisher"]

    tokens = await authority.generate_tokens(TokenRequest(session.session_id, role=role) for role in roles)

    assert roles == [token.role for token in tokens]


async def test_an_ended_session_makes_tokens_bad(authority: AsyncAuthority) -> None:
    """At once."""
    session = await authority.create_session()
    token = await session.generate_token()

    ended = await authority.end_session(session.session_id)

    assert "ended" == ended.state
    assert "SESSION_ENDED" == (await authority.verify_token(token)).reason


async def test_errors_are_the_same(authority: AsyncAuthority, running_authority: RunningAuthority) -> None:
    """The same classes, with the same facts."""
    session = await authority.create_session()
    with pytest.raises(InvalidArgument) as caught:
        await session.generate_token(ttl=0)
    with pytest.raises(NotFound):
        await authority.get_session(session.session_id[:-8] + "AAAAAAAA")
    with pytest.raises(NotFound), translated_errors():
        await authority.projects.GetProject(project_pb2.GetProjectRequest(project_id="1"))
    async with AsyncAuthority(running_authority.address, api_key="tak_x", plaintext=True) as stranger:
        with pytest.raises(Unauthenticated):
            await stranger.create_session()

    assert ["request.ttl"] == [violation.field for violation in caught.value.violations]
    assert caught.value.request_id


async def test_repeats_the_same_request_until_it_is_answered(scripted_server: ScriptedServer) -> None:
    """The service config counts here too."""
    answer = session_pb2.CreateSessionResponse(session=session_pb2.Session(session_id="2_abc"))
    scripted_server.answers = [
        failing(grpc.StatusCode.UNAVAILABLE),
        failing(grpc.StatusCode.CANCELLED),
        giving(answer),
    ]
    async with AsyncAuthority(scripted_server.address, api_key="tak_x", plaintext=True) as authority:
        session = await authority.create_session()

    assert "2_abc" == session.session_id
    assert 1 == len(set(scripted_server.requests))
    assert 3 == len(scripted_server.requests)


async def test_a_call_has_a_deadline_and_a_stream_has_none(scripted_server: ScriptedServer) -> None:
    """And both have the key."""
    left: list[float | None] = []

    def note(_: bytes, context: grpc.ServicerContext) -> session_pb2.GetSessionResponse:
        left.append(context.time_remaining())
        return session_pb2.GetSessionResponse()

    scripted_server.answers = [note]
    async with AsyncAuthority(scripted_server.address, api_key="tak_x", plaintext=True, timeout=7) as authority:
        await authority.sessions.GetSession(session_pb2.GetSessionRequest())
        async for _ in authority.tokens.WatchRevocations(token_pb2.WatchRevocationsRequest()):
            pass

    assert left[0] is not None
    assert left[0] < 1e6
    assert left[1] is None or left[1] > 1e6
    assert ["Bearer tak_x"] * 2 == [metadata["authorization"] for metadata in scripted_server.metadata]


async def test_gives_up_at_the_deadline(scripted_server: ScriptedServer) -> None:
    """A server that does not answer does not hold its caller for ever."""
    scripted_server.answers = [failing(grpc.StatusCode.UNAVAILABLE)]
    async with AsyncAuthority(scripted_server.address, api_key="tak_x", plaintext=True, timeout=0.001) as authority:
        with pytest.raises(DeadlineExceeded):
            await authority.create_session()

"""What both clients promise, each against a real authority; the blocking one is generated from the other."""

from __future__ import annotations

import asyncio

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from tests.client.conftest import (
    Client,
    ScriptedServer,
    collected,
    done,
    entered,
    failing,
    giving,
    new_session,
    reasons_of,
)
from tests.support.authority import RunningAuthority, absent_session
from tokenauthority.client import (
    AsyncAuthority,
    AsyncSession,
    Authority,
    InvalidArgument,
    NotFound,
    Revocation,
    TokenRequest,
    Unauthenticated,
    translated_errors,
)
from tokenauthority.v1 import project_pb2, role_pb2, session_pb2


async def listed(sessions: AsyncIterator[AsyncSession]) -> list[str]:
    """The ids of all sessions of a list."""
    return [session.session_id for session in await collected(sessions)]


async def test_a_session_is_as_it_was_requested(client: Client, running_authority: RunningAuthority) -> None:
    """Every option counts, and the session can be read again."""
    made = await done(
        client.create_session(
            media_mode="routed",
            archive_mode="always",
            location="12.34.56.78",
            archive_name="daily",
            archive_resolution="1280x720",
            name="standup",
        )
    )

    assert made == await done(client.get_session(made.session_id))
    assert running_authority.project_id == made.project_id
    assert ("routed", "always", "active") == (made.media_mode, made.archive_mode, made.state)
    assert ("12.34.56.78", "daily", "1280x720") == (made.location, made.archive_name, made.archive_resolution)
    assert "standup" == made.name
    assert made.create_time.tzinfo is UTC
    assert made.end_time is None


async def test_end_to_end_encryption_is_stored(client: Client) -> None:
    """It needs a routed session."""
    assert (await done(client.create_session(media_mode="routed", e2ee=True))).e2ee


async def test_the_defaults_are_opentoks(client: Client) -> None:
    """A relayed session recorded by hand; a publisher's token for 24 hours."""
    session = await new_session(client)
    token = await done(session.generate_token())

    assert ("relayed", "manual", False) == (session.media_mode, session.archive_mode, session.e2ee)
    assert "publisher" == token.role
    assert timedelta(hours=24) == token.expire_time - token.issue_time


async def test_the_same_request_id_gives_the_same_session(client: Client) -> None:
    """A caller that stores its own ids can repeat a call of last hour."""
    request_id = "3f0e4e5a-8a53-4b8e-9d0a-0a0a0a0a0a0a"

    first = await done(client.create_session(request_id=request_id))

    assert first == await done(client.create_session(request_id=request_id))
    assert first != await new_session(client)


async def test_lists_sessions_over_all_pages(client: Client) -> None:
    """Newest first, each once, and only in the state asked for."""
    made = [(await new_session(client)).session_id for _ in range(5)]
    await done(client.end_session(made[1]))

    assert made[::-1] == await listed(client.list_sessions(page_size=2))
    assert [made[1]] == await listed(client.list_sessions(state="ended"))
    assert 4 == len(await listed(client.list_sessions(state="active", page_size=3)))


async def test_an_ended_session_says_when(client: Client) -> None:
    """It can end itself; to end it again changes nothing, and its tokens are invalid at once."""
    session = await new_session(client)
    token = await done(session.generate_token())

    ended = await done(session.end())

    assert "ended" == ended.state
    assert ended.end_time is not None
    assert (
        ended == await done(client.end_session(session.session_id)) == await done(client.get_session(ended.session_id))
    )
    assert ["SESSION_ENDED"] == await reasons_of(client, token)


async def test_a_session_that_does_not_exist_is_not_found(client: Client) -> None:
    """Its id has the right shape and the right project."""
    project_id = (await new_session(client)).project_id

    with pytest.raises(NotFound):
        await done(client.get_session(absent_session(project_id)))


async def test_a_token_says_what_was_requested(client: Client) -> None:
    """Every option comes back from the verification."""
    session = await new_session(client)
    token = await done(
        session.generate_token(
            role="moderator",
            data="username=bob\r\n\u00fc",
            ttl=timedelta(minutes=5),
            format="session_jwt",
            initial_layout_class_list=["focus", "small"],
            subject="bob",
        )
    )

    claims = (await done(client.verify_token(token, session_id=session.session_id))).claims

    assert claims is not None
    assert ("moderator", "username=bob\r\n\u00fc", "bob") == (claims.role, claims.data, claims.subject)
    assert ("focus", "small") == claims.initial_layout_class_list
    assert (token.token_id, token.format, token.key_id) == (claims.token_id, claims.format, claims.key_id)
    assert (token.issue_time, token.expire_time) == (claims.issue_time, claims.expire_time)
    assert timedelta(minutes=5) == token.expire_time - token.issue_time
    assert "force_mute" in claims.permissions


@pytest.mark.parametrize("token_format", ["session_jwt", "opentok_t1", "opentok_jwt"])
async def test_a_token_of_each_format_is_valid(client: Client, token_format: str) -> None:
    """The format asked for is the format given."""
    token = await done((await new_session(client)).generate_token(format=token_format))

    assert token_format == token.format
    assert await done(client.verify_token(str(token)))


async def test_an_expiry_may_be_a_datetime_or_a_number(client: Client) -> None:
    """All three are the same second."""
    session = await new_session(client)
    at = datetime.now(UTC) + timedelta(hours=1)

    tokens = [
        await done(session.generate_token(expire_time=when)) for when in (at, at.timestamp(), int(at.timestamp()))
    ]

    assert {at.replace(microsecond=0)} == {token.expire_time for token in tokens}


async def test_a_batch_is_in_the_order_of_the_requests(client: Client) -> None:
    """Whatever the formats and sessions."""
    sessions = [(await new_session(client)).session_id for _ in range(2)]
    wanted = [
        TokenRequest(sessions[number % 2], role=role, ttl=60 + number)
        for number, role in enumerate(["subscriber", "publisher", "moderator"] * 3)
    ]

    tokens = await done(client.generate_tokens(wanted))

    assert [(request.session_id, request.role) for request in wanted] == [
        (token.session_id, token.role) for token in tokens
    ]


async def test_a_batch_with_one_invalid_request_makes_no_token(client: Client) -> None:
    """The error names the item."""
    session_id = (await new_session(client)).session_id

    with pytest.raises(InvalidArgument) as caught:
        await done(client.generate_tokens([TokenRequest(session_id), TokenRequest(session_id, ttl=0)]))

    assert ["requests[1].ttl"] == [violation.field for violation in caught.value.violations]


async def test_the_stubs_have_the_rest(client: Client) -> None:
    """With the same API key, and typed."""
    with translated_errors():
        answer = await done(client.roles.ListRoles(role_pb2.ListRolesRequest(project_id=client.project_id)))

    assert ["subscriber", "publisher", "publisheronly", "moderator"] == [role.name for role in answer.roles]


async def test_a_session_shows_itself_without_its_client(client: Client) -> None:
    """The repr is of the room."""
    session = await new_session(client)

    assert repr(session).startswith(f"{type(session).__name__}(session_id='2_")
    assert "authority" not in repr(session)


async def test_errors_are_the_same(client: Client, running_authority: RunningAuthority) -> None:
    """The same classes, with the same facts."""
    session = await new_session(client)
    with pytest.raises(InvalidArgument) as caught:
        await done(session.generate_token(ttl=0))
    with pytest.raises(NotFound), translated_errors():
        await done(client.projects.GetProject(project_pb2.GetProjectRequest(project_id="1")))
    async with entered(type(client)(running_authority.address, api_key="tak_x", plaintext=True)) as stranger:
        with pytest.raises(Unauthenticated):
            await new_session(stranger)

    assert ["request.ttl"] == [violation.field for violation in caught.value.violations]
    assert caught.value.request_id


async def test_tasks_share_an_asyncio_client(running_authority: RunningAuthority) -> None:
    """One client serves all tasks of its loop."""
    async with AsyncAuthority.from_environment(running_authority.environment) as client:
        session = await client.create_session()
        tokens = await asyncio.gather(*(session.generate_token() for _ in range(50)))

    assert 50 == len({token.token_id for token in tokens})


def test_threads_share_a_blocking_client(authority: Authority) -> None:
    """One client serves all threads of a process."""
    session = authority.create_session()
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda _: session.generate_token(), range(50)))

    assert 50 == len({token.token_id for token in tokens})


async def test_revokes_one_token(client: Client) -> None:
    """By itself or by its id; the others of the session stay valid."""
    session = await new_session(client)
    by_token, by_id, other = [await done(session.generate_token()) for _ in range(3)]

    first = await done(client.revoke_tokens(token=by_token, comment="lost phone"))
    second = await done(client.revoke_tokens(token_id=by_id.token_id))

    assert isinstance(first, Revocation)
    assert ["REVOKED", "REVOKED", ""] == await reasons_of(client, by_token, by_id, other)
    assert (by_token.token_id, "", "") == (first.token_id, first.session_id, first.subject)
    assert (session.project_id, "lost phone") == (first.project_id, first.comment)
    assert by_id.token_id == second.token_id


async def test_revokes_the_tokens_of_a_session(client: Client) -> None:
    """The session stays open."""
    session = await new_session(client)
    token, other = await done(session.generate_token()), await done((await new_session(client)).generate_token())

    revocation = await done(session.revoke_tokens(comment="leaked link"))

    assert (session.session_id, "leaked link") == (revocation.session_id, revocation.comment)
    assert ["REVOKED", ""] == await reasons_of(client, token, other)
    assert "active" == (await done(client.get_session(session.session_id))).state


async def test_revokes_the_tokens_of_an_end_user(client: Client) -> None:
    """In whatever session of the project."""
    tokens = [
        await done((await new_session(client)).generate_token(subject=subject, format="session_jwt"))
        for subject in ("bob", "bob", "eve")
    ]

    revocation = await done(client.revoke_tokens(subject="bob"))

    assert "bob" == revocation.subject
    assert ["REVOKED", "REVOKED", ""] == await reasons_of(client, *tokens)


async def test_revokes_only_tokens_up_to_the_moment(client: Client) -> None:
    """Those issued in that second are, later ones are not."""
    session = await new_session(client)
    token = await done(session.generate_token())

    before = await done(session.revoke_tokens(issued_before=token.issue_time - timedelta(seconds=1)))
    still = await reasons_of(client, token)
    await done(session.revoke_tokens(issued_before=token.issue_time.timestamp()))

    assert token.issue_time - timedelta(seconds=1) == before.issued_before
    assert ([""], ["REVOKED"]) == (still, await reasons_of(client, token))


async def test_what_cannot_be_revoked_is_an_error(client: Client) -> None:
    """No token, a project that does not exist, a moment in the future."""
    with pytest.raises(InvalidArgument, match="token"):
        await done(client.revoke_tokens(token="x"))
    with pytest.raises(NotFound):
        await done(client.revoke_tokens(subject="bob", project_id="2147483647"))
    with pytest.raises(InvalidArgument, match="future"):
        await done(client.revoke_tokens(subject="bob", issued_before=datetime.now(UTC) + timedelta(hours=1)))


async def test_repeats_the_same_request_until_it_is_answered(
    scripted_client: Client, scripted_server: ScriptedServer
) -> None:
    """The service config counts for both."""
    answer = session_pb2.CreateSessionResponse(session=session_pb2.Session(session_id="2_abc"))
    scripted_server.answers = [
        failing(grpc.StatusCode.UNAVAILABLE),
        failing(grpc.StatusCode.CANCELLED),
        giving(answer),
    ]

    session = await new_session(scripted_client)

    assert "2_abc" == session.session_id
    assert 1 == len(set(scripted_server.requests))
    assert 3 == len(scripted_server.requests)

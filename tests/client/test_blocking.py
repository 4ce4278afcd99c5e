"""The blocking client against a real authority."""

from __future__ import annotations

import dataclasses

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.authority import RunningAuthority
from tokenauthority.client import Authority, InvalidArgument, NotFound, TokenRequest, translated_errors
from tokenauthority.v1 import role_pb2


def test_a_session_is_as_it_was_asked_for(authority: Authority, running_authority: RunningAuthority) -> None:
    """Every option counts, and the session can be read again."""
    made = authority.create_session(
        media_mode="routed",
        archive_mode="always",
        location="12.34.56.78",
        archive_name="daily",
        archive_resolution="1280x720",
    )

    assert made == authority.get_session(made.session_id)
    assert running_authority.project_id == made.project_id
    assert ("routed", "always", "active") == (made.media_mode, made.archive_mode, made.state)
    assert ("12.34.56.78", "daily", "1280x720") == (
        made.location,
        made.archive_name,
        made.archive_resolution,
    )
    assert made.create_time.tzinfo is UTC
    assert made.end_time is None


def test_end_to_end_encryption_is_kept(authority: Authority) -> None:
    """It needs a routed session."""
    assert authority.create_session(media_mode="routed", e2ee=True).e2ee


def test_the_defaults_are_opentoks(authority: Authority) -> None:
    """A relayed session recorded by hand; a publisher's token for 24 hours."""
    session = authority.create_session()
    token = session.generate_token()

    assert ("relayed", "manual", False) == (session.media_mode, session.archive_mode, session.e2ee)
    assert "publisher" == token.role
    assert timedelta(hours=24) == token.expire_time - token.issue_time


def test_the_same_request_id_gives_the_same_session(authority: Authority) -> None:
    """A caller that keeps its own ids can repeat a call of last hour."""
    request_id = "3f0e4e5a-8a53-4b8e-9d0a-0a0a0a0a0a0a"

    first = authority.create_session(request_id=request_id)

    assert first == authority.create_session(request_id=request_id)
    assert first != authority.create_session()


def test_lists_sessions_over_all_pages(authority: Authority) -> None:
    """Newest first, each once, and only in the state asked for."""
    made = [authority.create_session().session_id for _ in range(5)]
    authority.end_session(made[1])

    assert made[::-1] == [session.session_id for session in authority.list_sessions(page_size=2)]
    assert [made[1]] == [session.session_id for session in authority.list_sessions(state="ended")]
    assert 4 == len(list(authority.list_sessions(state="active", page_size=3)))


def test_an_ended_session_says_when(authority: Authority) -> None:
    """Ending it again changes nothing."""
    session_id = authority.create_session().session_id

    ended = authority.end_session(session_id)

    assert "ended" == ended.state
    assert ended.end_time is not None
    assert ended == authority.end_session(session_id)


def test_a_session_that_does_not_exist_is_not_found(authority: Authority) -> None:
    """Its id has the right shape and the right project."""
    session_id = authority.create_session().session_id
    other = session_id[:-8] + "AAAAAAAA"

    with pytest.raises(NotFound):
        authority.get_session(other)


def test_a_token_says_what_was_asked_for(authority: Authority) -> None:
    """Every option comes back from the verification."""
    session = authority.create_session()
    token = session.generate_token(
        role="moderator",
        data="username=bob\r\n\u00fc",
        ttl=timedelta(minutes=5),
        format="session_jwt",
        initial_layout_class_list=["focus", "small"],
        subject="bob",
    )

    claims = authority.verify_token(token, session_id=session.session_id).claims

    assert claims is not None
    assert ("moderator", "username=bob\r\n\u00fc", "bob") == (claims.role, claims.data, claims.subject)
    assert ("focus", "small") == claims.initial_layout_class_list
    assert (token.token_id, token.format, token.key_id) == (claims.token_id, claims.format, claims.key_id)
    assert (token.issue_time, token.expire_time) == (claims.issue_time, claims.expire_time)
    assert timedelta(minutes=5) == token.expire_time - token.issue_time
    assert "force_mute" in claims.permissions


@pytest.mark.parametrize("token_format", ["session_jwt", "opentok_t1", "opentok_jwt"])
def test_a_token_of_each_format_is_good(authority: Authority, token_format: str) -> None:
    """The format asked for is the format given."""
    token = authority.create_session().generate_token(format=token_format)

    assert token_format == token.format
    assert authority.verify_token(str(token))


def test_an_expiry_may_be_a_datetime_or_a_number(authority: Authority) -> None:
    """All three are the same second."""
    session = authority.create_session()
    at = datetime.now(UTC) + timedelta(hours=1)

    tokens = [session.generate_token(expire_time=when) for when in (at, at.timestamp(), int(at.timestamp()))]

    assert {at.replace(microsecond=0)} == {token.expire_time for token in tokens}


def test_a_token_is_its_text_and_hides_it(authority: Authority) -> None:
    """A back end hands `str(token)` to its client; a log gets the repr."""
    token = authority.create_session().generate_token()

    assert token.token == str(token) == f"{token}"
    assert token.token not in repr(token)
    with pytest.raises(dataclasses.FrozenInstanceError):
        token.role = "moderator"  # type: ignore[misc]  # what a frozen value refuses


def test_a_batch_is_in_the_order_asked_for(authority: Authority) -> None:
    """Whatever the formats and sessions."""
    sessions = [authority.create_session().session_id for _ in range(2)]
    wanted = [
        TokenRequest(sessions[number % 2], role=role, ttl=60 + number)
        for number, role in enumerate(["subscriber", "publisher", "moderator"] * 3)
    ]

    tokens = authority.generate_tokens(wanted)

    assert [(request.session_id, request.role) for request in wanted] == [
        (token.session_id, token.role) for token in tokens
    ]


def test_a_batch_with_one_bad_request_makes_no_token(authority: Authority) -> None:
    """The error names the item."""
    session_id = authority.create_session().session_id

    with pytest.raises(InvalidArgument) as caught:
        authority.generate_tokens([TokenRequest(session_id), TokenRequest(session_id, ttl=0)])

    assert ["requests[1].ttl"] == [violation.field for violation in caught.value.violations]


def test_a_token_that_is_not_good_is_false_and_says_why(authority: Authority) -> None:
    """Never an exception: that a token is bad is an answer."""
    session = authority.create_session()
    token = session.generate_token(role="subscriber")

    malformed = authority.verify_token("x")
    missing = authority.verify_token(token, required_permissions=["publish"])

    assert not malformed
    assert ("MALFORMED", None) == (malformed.reason, malformed.claims)
    assert not missing
    assert "PERMISSION_MISSING" == missing.reason
    assert missing.reason_detail
    assert missing.claims is not None
    assert authority.verify_token(token, required_permissions=["subscribe"])
    assert "" == authority.verify_token(token).reason


def test_connection_data_is_not_in_a_repr(authority: Authority) -> None:
    """It may be about a person."""
    token = authority.create_session().generate_token(data="username=bob")

    assert "username" not in repr(authority.verify_token(token))
    assert "username" not in repr(TokenRequest("2_abc", data="username=bob"))


def test_the_stubs_have_the_rest(authority: Authority) -> None:
    """With the same credential, and typed."""
    with translated_errors():
        roles = authority.roles.ListRoles(role_pb2.ListRolesRequest(project_id=authority.project_id)).roles

    assert ["subscriber", "publisher", "publisheronly", "moderator"] == [role.name for role in roles]


def test_a_session_shows_itself_without_its_client(authority: Authority) -> None:
    """The repr is of the room."""
    text = repr(authority.create_session())

    assert text.startswith("Session(session_id='2_")
    assert "authority" not in text

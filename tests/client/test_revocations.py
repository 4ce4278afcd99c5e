"""Taking tokens back with the two clients, against a real authority."""

from __future__ import annotations

import dataclasses

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.authority import RunningAuthority
from tokenauthority.client import (
    AsyncAuthority,
    Authority,
    InvalidArgument,
    NotFound,
    Revocation,
    RevokeOptions,
    requests,
)


@pytest.fixture
async def async_authority(running_authority: RunningAuthority) -> AsyncIterator[AsyncAuthority]:
    """A client of a real authority, whose key may do everything."""
    async with AsyncAuthority.from_environment(running_authority.environment) as client:
        yield client


def test_takes_one_token_back(authority: Authority) -> None:
    """By itself or by its id; the others of the session stay good."""
    session = authority.create_session()
    by_token, by_id, other = (session.generate_token() for _ in range(3))

    first = authority.revoke_tokens(token=by_token, comment="lost phone")
    second = authority.revoke_tokens(token_id=by_id.token_id)

    assert ["REVOKED", "REVOKED", ""] == [authority.verify_token(token).reason for token in (by_token, by_id, other)]
    assert (by_token.token_id, "", "") == (first.token_id, first.session_id, first.subject)
    assert (session.project_id, "lost phone") == (first.project_id, first.comment)
    assert by_id.token_id == second.token_id


def test_takes_the_tokens_of_a_session_back(authority: Authority) -> None:
    """The session stays open."""
    session = authority.create_session()
    token, other = session.generate_token(), authority.create_session().generate_token()

    revocation = session.revoke_tokens(comment="leaked link")

    assert (session.session_id, "leaked link") == (revocation.session_id, revocation.comment)
    assert ["REVOKED", ""] == [authority.verify_token(each).reason for each in (token, other)]
    assert "active" == authority.get_session(session.session_id).state


def test_takes_the_tokens_of_an_end_user_back(authority: Authority) -> None:
    """In whatever session of the project."""
    tokens = [
        authority.create_session().generate_token(subject=subject, format="session_jwt")
        for subject in ("bob", "bob", "eve")
    ]

    revocation = authority.revoke_tokens(subject="bob")

    assert "bob" == revocation.subject
    assert ["REVOKED", "REVOKED", ""] == [authority.verify_token(token).reason for token in tokens]


def test_only_tokens_up_to_the_moment_are_taken_back(authority: Authority) -> None:
    """Those issued in that second are, later ones are not."""
    session = authority.create_session()
    token = session.generate_token()

    before = session.revoke_tokens(issued_before=token.issue_time - timedelta(seconds=1))
    good = authority.verify_token(token).active
    session.revoke_tokens(issued_before=token.issue_time.timestamp())

    assert token.issue_time - timedelta(seconds=1) == before.issued_before
    assert good
    assert "REVOKED" == authority.verify_token(token).reason


def test_a_revocation_is_frozen_and_hides_its_comment(authority: Authority) -> None:
    """It may be about a person; times are in UTC."""
    revocation = authority.revoke_tokens(token_id="abc", comment="bob's phone")

    assert "phone" not in repr(revocation)
    assert UTC is revocation.create_time.tzinfo
    assert revocation.create_time < revocation.issued_before < revocation.expire_time
    with pytest.raises(dataclasses.FrozenInstanceError):
        revocation.comment = ""  # type: ignore[misc]  # what a frozen value refuses


def test_what_cannot_be_taken_back_is_an_error(authority: Authority) -> None:
    """No token, a project that is not there, a moment in the future."""
    with pytest.raises(InvalidArgument, match="token"):
        authority.revoke_tokens(token="x")
    with pytest.raises(NotFound):
        authority.revoke_tokens(subject="bob", project_id="2147483647")
    with pytest.raises(InvalidArgument, match="future"):
        authority.revoke_tokens(subject="bob", issued_before=datetime.now(UTC) + timedelta(hours=1))


def test_the_project_goes_only_with_what_does_not_name_it() -> None:
    """The client's, unless another one is given."""
    assert "47" == requests.revoke_tokens_request("47", token_id="a").project_id
    assert "47" == requests.revoke_tokens_request("47", subject="a").project_id
    assert "48" == requests.revoke_tokens_request("47", subject="a", project_id="48").project_id
    assert "" == requests.revoke_tokens_request("47", token="a").project_id
    assert "" == requests.revoke_tokens_request("47", session_id="a").project_id


def test_refuses_no_target_and_two() -> None:
    """Before anything is asked."""
    wanted: list[RevokeOptions] = [{}, {"token": "a", "subject": "b"}, {"token": ""}]
    for options in wanted:
        with pytest.raises(ValueError, match="exactly one of token, token_id, session_id and subject"):
            requests.revoke_tokens_request("47", **options)
    with pytest.raises(ValueError, match="issued_before has no time zone"):
        requests.revoke_tokens_request("47", subject="a", issued_before=datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused


def test_a_session_can_end_itself(authority: Authority) -> None:
    """The same as end_session."""
    session = authority.create_session()

    ended = session.end()

    assert "ended" == ended.state
    assert ended == authority.get_session(session.session_id)


async def test_the_asyncio_client_does_the_same(async_authority: AsyncAuthority) -> None:
    """Awaited."""
    session = await async_authority.create_session()
    token, other = await session.generate_token(), await session.generate_token()

    revocation = await async_authority.revoke_tokens(token=token)
    reasons = [(await async_authority.verify_token(each)).reason for each in (token, other)]
    await session.revoke_tokens()
    after = (await async_authority.verify_token(other)).reason
    ended = await session.end()

    assert isinstance(revocation, Revocation)
    assert token.token_id == revocation.token_id
    assert (["REVOKED", ""], "REVOKED", "ended") == (reasons, after, ended.state)

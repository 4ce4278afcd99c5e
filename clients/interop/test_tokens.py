"""Sessions and tokens, in each language the same: create, generate, verify, revoke, end."""

from __future__ import annotations

import pytest

from clients.interop.client import Client


@pytest.fixture
def session_id(client: Client) -> str:
    """A session of the client's project."""
    return str(client.driver().ok("create_session", options={"media_mode": "routed"})["session_id"])


@pytest.mark.parametrize("via", ["authority", "session"])
def test_a_token_says_what_was_asked_for(client: Client, session_id: str, via: str) -> None:
    """Both ways of the OpenTok SDKs make the same token."""
    driver = client.driver()

    token = driver.ok("generate_token", session_id=session_id, via=via, options={"role": "moderator", "data": "a=b"})
    found = driver.ok("verify_token", token=token["token"], session_id=session_id)

    assert {"active": True, "reason": "", "role": "moderator", "data": "a=b"} == found


def test_a_revoked_token_is_refused(client: Client, session_id: str) -> None:
    """By the server that revoked it, at once."""
    driver = client.driver()
    token = driver.ok("generate_token", session_id=session_id, via="authority", options={})

    driver.ok("revoke_tokens", token=token["token"], comment="lost")

    assert "REVOKED" == driver.ok("verify_token", token=token["token"])["reason"]


def test_the_tokens_of_a_session_are_revoked_by_the_session(client: Client, session_id: str) -> None:
    """It stays open."""
    driver = client.driver()
    token = driver.ok("generate_token", session_id=session_id, via="session", options={})

    driver.ok("revoke_tokens", session_id=session_id, via="session", comment="leaked link")

    assert "REVOKED" == driver.ok("verify_token", token=token["token"])["reason"]
    assert driver.ok("end_session", session_id=session_id)


@pytest.mark.parametrize("target", ["token", "token_id", "session_id", "subject"])
def test_an_empty_target_is_refused_before_the_call(client: Client, target: str) -> None:
    """It comes of a variable that is not set. The error has no reason, so it is not the authority's."""
    failure = client.driver().failure("revoke_tokens", **{target: ""})

    assert failure.code in {"CLIENT", "INVALID_ARGUMENT"}
    assert "" == failure.reason
    assert "must not be empty" in failure.message


def test_sessions_are_listed_page_after_page(client: Client) -> None:
    """All of them, in the same order, and the ended ones apart from the active ones."""
    driver = client.driver()
    made = [driver.ok("create_session", options={})["session_id"] for _ in range(5)]
    driver.ok("end_session", session_id=made[2])

    def listed(**options: object) -> list[str]:
        return [found for found in driver.ok("list_sessions", **options)["session_ids"] if found in made]

    assert sorted(made) == sorted(listed())
    assert listed() == listed(page_size=2)
    assert [made[2]] == listed(state="ended", page_size=1)
    assert sorted({*made} - {made[2]}) == sorted(listed(state="active", page_size=2))


def test_an_ended_session_gets_no_more_tokens(client: Client, session_id: str) -> None:
    """And its tokens are refused."""
    driver = client.driver()
    token = driver.ok("generate_token", session_id=session_id, via="authority", options={})

    ended = driver.ok("end_session", session_id=session_id)
    failure = driver.failure("generate_token", session_id=session_id, via="authority", options={})

    assert {"state": "ended"} == ended
    assert ("FAILED_PRECONDITION", "SESSION_ENDED") == (failure.code, failure.reason)
    assert "SESSION_ENDED" == driver.ok("verify_token", token=token["token"])["reason"]


def test_a_driver_ends_well(client: Client) -> None:
    """At the end of its standard input."""
    with client.started(client.world.environment(PROJECT_ID=client.project_id)) as driver:
        driver.ok("create_session", options={})

        assert 0 == driver.close()

"""What VerifyToken says of tokens that are not active: an answer in each language, never an error."""

from __future__ import annotations

import pytest

from clients.interop.client import Client
from clients.interop.rpcs import new_session
from tests.support.authority import absent_session


def test_a_token_of_another_session_is_refused(client: Client) -> None:
    """Where the client names the session."""
    driver, session_id, other_id = client.driver(), new_session(client).session_id, new_session(client).session_id
    token = driver.ok("generate_token", session_id=session_id, via="authority", options={})["token"]

    found = driver.ok("verify_token", token=token, session_id=other_id)

    assert (False, "SESSION_MISMATCH") == (found["active"], found["reason"])
    assert driver.ok("verify_token", token=token, session_id=session_id)["active"]


@pytest.mark.parametrize("text", ["x", "a.b.c", "T1==", "tak_" + "a" * 43, "é\0😀"])
def test_a_text_that_is_no_token_is_malformed(client: Client, text: str) -> None:
    """Whatever it is."""
    found = client.driver().ok("verify_token", token=text)

    assert {"active": False, "reason": "MALFORMED", "role": "", "data": ""} == found


@pytest.mark.parametrize("token_format", ["session_jwt", "opentok_t1", "opentok_jwt"])
def test_a_changed_token_is_refused(client: Client, token_format: str) -> None:
    """With no claims: nobody vouches for them."""
    driver, session_id = client.driver(), new_session(client).session_id
    options = {"format": token_format, "data": "a"}
    token = driver.ok("generate_token", session_id=session_id, via="authority", options=options)["token"]
    middle = len(token) - 30

    found = driver.ok(
        "verify_token", token=token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
    )

    assert (False, "", "") == (found["active"], found["role"], found["data"])
    assert found["reason"] in {"SIGNATURE_INVALID", "MALFORMED"}


def test_a_session_of_nobody_gets_no_token(client: Client) -> None:
    """NOT_FOUND by both ways."""
    driver, session_id = client.driver(), absent_session(client.project_id)

    failures = [
        driver.failure("generate_token", session_id=session_id, via=via, options={}) for via in ("authority", "session")
    ]

    assert [("NOT_FOUND", "SESSION_NOT_FOUND")] * 2 == [(failure.code, failure.reason) for failure in failures]

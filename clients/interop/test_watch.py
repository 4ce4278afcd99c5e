"""Revocations and ended sessions on the stream, in each language."""

from __future__ import annotations

from clients.interop.client import Client
from clients.interop.rpcs import new_session
from clients.interop.world import FOREIGN_PROJECT
from tests.support.authority import WAIT


def test_a_revocation_is_seen_on_the_stream(client: Client) -> None:
    """Of a token, of a session, of an end user; and the end of a session."""
    driver = client.driver()
    sessions = [new_session(client).session_id for _ in range(2)]
    token = driver.ok("generate_token", session_id=sessions[0], via="authority", options={"format": "session_jwt"})
    subject = client.new_name("Zoë ")

    driver.ok("watch")
    driver.ok("revoke_tokens", token=token["token"], comment="lost → ä")
    driver.ok("revoke_tokens", session_id=sessions[0])
    driver.ok("revoke_tokens", subject=subject)
    driver.ok("end_session", session_id=sessions[1])

    wanted = [
        {"token_id": token["token_id"]},
        {"session_id": sessions[0]},
        {"subject": subject},
        {"session_id": sessions[1]},
    ]
    kinds = [driver.ok("watched", **names, within=WAIT)["kind"] for names in wanted]
    assert ["revocation"] * 3 + ["ended_session"] == kinds


def test_a_watch_begins_with_what_is_in_force(client: Client) -> None:
    """Whoever comes late misses nothing."""
    driver, token_id = client.driver(), client.new_name(f"late-{client.name}-")
    driver.ok("revoke_tokens", token_id=token_id)

    driver.ok("watch")

    assert "revocation" == driver.ok("watched", token_id=token_id, within=WAIT)["kind"]


def test_a_watch_resumes_after_an_event(client: Client) -> None:
    """With the resume token of another watch: what came before is not repeated."""
    driver = client.driver()
    second = client.new_name(f"resume-{client.name}-")
    driver.ok("watch")
    resume_token = ""
    # An event that comes while everything in force is being sent has none yet.
    while not resume_token:
        first = client.new_name(f"resume-{client.name}-")
        driver.ok("revoke_tokens", token_id=first)
        resume_token = driver.ok("watched", token_id=first, within=WAIT)["resume_token"]

    driver.ok("watch", resume_token=resume_token)
    driver.ok("revoke_tokens", token_id=second)

    assert "revocation" == driver.ok("watched", token_id=second, within=WAIT)["kind"]
    assert "CLIENT" == driver.failure("watched", token_id=first, within=0).code


def test_a_watch_is_of_the_project_of_the_client(client: Client) -> None:
    """Though its caller may see others."""
    driver = client.driver()
    foreign, own = (client.new_name(f"project-{client.name}-") for _ in range(2))
    driver.ok("watch")
    with client.world.authority(FOREIGN_PROJECT) as elsewhere:
        elsewhere.revoke_tokens(token_id=foreign)
    driver.ok("revoke_tokens", token_id=own)

    assert "revocation" == driver.ok("watched", token_id=own, within=WAIT)["kind"]
    assert "CLIENT" == driver.failure("watched", token_id=foreign, within=0).code


def test_an_open_watch_does_not_hold_the_end(client: Client) -> None:
    """Of the driver, and so of a back end."""
    with client.started(client.world.environment(PROJECT_ID=client.project_id)) as driver:
        driver.ok("watch")
        driver.ok("revoke_tokens", token_id="any")
        driver.ok("watched", token_id="any", within=WAIT)

        assert 0 == driver.close()

"""TURN credentials, as each language's client gives them out."""

from __future__ import annotations

import pytest

from clients.interop.client import Client
from clients.interop.rpcs import new_session
from tests.support.turn import URLS, password_of


@pytest.mark.parametrize("via", ["authority", "session"])
def test_turn_credentials_are_those_of_an_ice_server(client: Client, via: str) -> None:
    """For the time that was asked for. Printed as a whole, they do not show the password."""
    session_id, options = new_session(client).session_id, {"subject": "Zoë O'Brien", "ttl": 60}
    made = client.driver().ok("create_turn_credentials", session_id=session_id, via=via, options=options)

    assert list(URLS) == made["urls"]
    assert made["username"].startswith(f"{made['expire_time']}:")
    assert password_of(made["username"]) == made["credential"]
    assert made["credential"] not in made["shown"]


def test_turn_credentials_have_defaults(client: Client) -> None:
    """An hour, for somebody whom nobody named."""
    session_id = new_session(client).session_id
    short, usual = (
        client.driver().ok("create_turn_credentials", session_id=session_id, via="authority", options=options)
        for options in ({"ttl": 60}, {})
    )

    assert usual["expire_time"] - short["expire_time"] >= 3540


@pytest.mark.parametrize("ttl", [0, 3601])
def test_a_lifetime_beyond_its_limits_is_refused(client: Client, ttl: int) -> None:
    """Also 0, which no client may drop."""
    session_id = new_session(client).session_id
    failure = client.driver().failure(
        "create_turn_credentials", session_id=session_id, via="authority", options={"ttl": ttl}
    )

    assert ("INVALID_ARGUMENT", ["ttl"]) == (failure.code, [found.field for found in failure.violations])

"""What a request for TURN credentials may say, and which URLs and secrets TURN servers may have."""

from __future__ import annotations

import pytest

from tokenauthority.domain.times import Seconds
from tokenauthority.domain.turn import (
    MAX_TURN_TTL,
    CreatedTurnCredentials,
    TurnSpec,
    is_turn_secret,
    is_turn_url,
    turn_violations,
)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"session_id": ""}, ["session_id"]),
        ({"session_id": "2" * 256}, ["session_id"]),
        ({"subject": "é" * 256}, ["subject"]),
        ({"subject": "a\0b"}, ["subject"]),
        ({"ttl": 0}, ["ttl"]),
        ({"ttl": -1}, ["ttl"]),
        ({"ttl": MAX_TURN_TTL + 1}, ["ttl"]),
        ({"session_id": "", "subject": "a" * 256, "ttl": 0}, ["session_id", "subject", "ttl"]),
        ({"subject": "é" * 255, "ttl": 1}, []),
        ({"ttl": MAX_TURN_TTL}, []),
        ({}, []),
    ],
)
def test_names_each_invalid_field(fields: dict[str, object], expected: list[str]) -> None:
    """All at once, and nothing at the limits."""
    request = TurnSpec(**{"session_id": "2_x", **fields})  # type: ignore[arg-type]  # the fields have several types

    assert expected == [violation.field for violation in turn_violations(request)]


@pytest.mark.parametrize(
    "url",
    [
        "turn:turn.example.com",
        "turns:turn.example.com:443?transport=tcp",
        "turn:192.0.2.1:65535?transport=udp",
        "turn:[2001:db8::1]:3478",
        "turn:turn",
    ],
)
def test_takes_the_urls_of_turn_servers(url: str) -> None:
    """As RFC 7065 has them."""
    assert is_turn_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "turn:",
        "turn.example.com:3478",
        "stun:turn.example.com",
        "TURN:turn.example.com",
        "turn://turn.example.com",
        "turn:user:password@turn.example.com",
        "turn:turn.example.com:0",
        "turn:turn.example.com:65536",
        "turn:turn.example.com:3478/",
        "turn:turn.example.com?transport=",
        "turn:turn.example.com?transport=sctp",
        "turn:turn.example.com\n",
        "turn:-turn.example.com",
        "turn:2001:db8::1",
        "turn:é.example",
        "turn:" + "a" * 256,
    ],
)
def test_refuses_what_is_no_url_of_a_turn_server(url: str) -> None:
    """A browser would refuse it later, and with it every other server of the list."""
    assert not is_turn_url(url)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * 32, True),
        ("a" * 255, True),
        ("AZaz09+/=._~-" * 3, True),
        ("a" * 31, False),
        ("a" * 256, False),
        ("a" * 32 + " ", False),
        ("a" * 32 + "\n", False),
        ("a" * 32 + "#", False),
        ("a" * 32 + "é", False),
        ("", False),
    ],
)
def test_a_secret_is_long_and_plain(text: str, *, expected: bool) -> None:
    """So that nobody finds it by trying, and coturn reads it as it is written."""
    assert expected == is_turn_secret(text)


def test_the_repr_shows_no_password() -> None:
    """Of credentials that were made."""
    created = CreatedTurnCredentials(
        urls=("turn:a",),
        username="1:a",
        credential="canary",
        project_id="1",
        issue_time=Seconds(0),
        expire_time=Seconds(1),
    )

    assert "canary" not in repr(created)

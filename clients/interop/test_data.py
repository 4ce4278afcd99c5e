"""Texts that a client, a codec or a JSON library may change: what was sent is what VerifyToken gives back."""

from __future__ import annotations

import uuid

from typing import Final

import pytest

from clients.interop.client import Client
from clients.interop.rpcs import new_session


TEXTS: Final = {
    "empty": "",
    "query": "username=bob&level=3",
    "another role": "x&role=moderator",
    "another role, encoded": "x%26role%3Dmoderator",
    "percent": "100 % + 50%25",
    "plus and space": "a+b c  d ",
    "equals": "====",
    "quotes": "\"'`\\/",
    "json": '{"name": "bob", "n": [1, null]}',
    "html": "<script>&amp;</script>",
    "carriage return and line feed": "a\r\nb\rc\nd",
    "tab": "\ta\t",
    "only white space": " ",
    "nul": "a\0b",
    "controls": "\x01\x1b\x7f\x85",
    "accents": "Zoë Ångström",
    "decomposed": "e\u0301",
    "line separators": "a\u2028b\u2029c",
    "right to left": "\u202eabc\u200f",
    "byte order mark": "\ufeffa",
    "zero width": "a\u200b\u200db",
    "noncharacter": "\uffff\ufffe",
    "chinese": "教室",
    "emoji": "😀👩\u200d👩\u200d👧🇮🇸",
    "zero": "0",
    "false": "false",
    "999 characters": "a" * 999,
    "1000 characters": "ä" * 1000,
    "1000 emoji": "😀" * 1000,
}


@pytest.mark.parametrize("token_format", ["session_jwt", "opentok_t1", "opentok_jwt"])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_data_comes_back_as_it_was(client: Client, text: str, token_format: str) -> None:
    """In every format, with the role that was asked for."""
    driver, session_id = client.driver(), new_session(client).session_id
    options = {"data": text, "role": "subscriber", "format": token_format}

    token = driver.ok("generate_token", session_id=session_id, via="session", options=options)["token"]
    found = driver.ok("verify_token", token=token)

    assert {"active": True, "reason": "", "role": "subscriber", "data": text} == found


def test_no_data_is_too_long_by_one(client: Client) -> None:
    """Characters count, not bytes or UTF-16 units."""
    session_id = new_session(client).session_id
    options = {"data": "😀" * 1001}

    failure = client.driver().failure("generate_token", session_id=session_id, via="authority", options=options)

    assert ["request.data"] == [found.field for found in failure.violations]


def test_the_options_of_a_token_arrive(client: Client) -> None:
    """Those that the answer does not show are revoked by, or are in the claims."""
    driver, session_id = client.driver(), new_session(client).session_id
    options = {
        "ttl": 90,
        "subject": "Zoë & Bob",
        "initial_layout_class_list": ["focus", "full"],
        "format": "session_jwt",
    }

    token = driver.ok("generate_token", session_id=session_id, via="authority", options=options)
    with client.world.authority() as authority:
        claims = authority.verify_token(token["token"]).claims

    assert claims is not None
    assert ("Zoë & Bob", ("focus", "full")) == (claims.subject, claims.initial_layout_class_list)
    assert 90 == (claims.expire_time - claims.issue_time).total_seconds()
    assert (token["token_id"], token["expire_time"]) == (claims.token_id, claims.expire_time.timestamp())


def test_a_moment_is_kept(client: Client) -> None:
    """As seconds since 1970, whatever the type of the language."""
    driver, session_id = client.driver(), new_session(client).session_id
    with client.world.authority() as authority:
        claims = authority.verify_token(authority.generate_token(session_id).token).claims
    assert claims is not None
    wanted = int(claims.issue_time.timestamp()) + 12_345

    token = driver.ok(
        "generate_token", session_id=session_id, via="session", options={"expire_time": wanted, "format": "opentok_t1"}
    )

    assert wanted == token["expire_time"]


def test_the_options_of_a_session_arrive(client: Client) -> None:
    """All that exclude none of the others."""
    options = {
        "media_mode": "routed",
        "archive_mode": "always",
        "location": "192.0.2.7",
        "archive_name": "Stunde ä → 😀",
        "archive_resolution": "1280x720",
        "name": f"lesson-{uuid.uuid4()}",
    }

    session_id = client.driver().ok("create_session", options=options)["session_id"]
    encrypted_id = client.driver().ok("create_session", options={"media_mode": "routed", "e2ee": True})["session_id"]
    with client.world.authority() as authority:
        session, encrypted = authority.get_session(session_id), authority.get_session(encrypted_id)

    assert options == {name: getattr(session, name) for name in options}
    assert (False, True) == (session.e2ee, encrypted.e2ee)
    assert "manual" == encrypted.archive_mode

"""Tokens, verifications and sessions are frozen values, which show neither tokens nor connection data."""

from __future__ import annotations

import dataclasses

import pytest

from tests.client.conftest import Client, done, new_session, reasons_of
from tokenauthority.client import (
    TokenRequest,
)


async def test_a_token_is_its_text_and_hides_it(client: Client) -> None:
    """A back end hands `str(token)` to its client; a log gets the repr."""
    token = await done((await new_session(client)).generate_token())

    assert token.token == str(token) == f"{token}"
    assert token.token not in repr(token)
    with pytest.raises(dataclasses.FrozenInstanceError):
        token.role = "moderator"  # type: ignore[misc]  # what a frozen value refuses


async def test_an_invalid_token_is_false_and_says_why(client: Client) -> None:
    """Never an exception: that a token is invalid is an answer."""
    token = await done((await new_session(client)).generate_token(role="subscriber"))

    malformed = await done(client.verify_token("x"))
    missing = await done(client.verify_token(token, required_permissions=["publish"]))

    assert not malformed
    assert ("MALFORMED", None) == (malformed.reason, malformed.claims)
    assert not missing
    assert "PERMISSION_MISSING" == missing.reason
    assert missing.reason_detail
    assert missing.claims is not None
    assert await done(client.verify_token(token, required_permissions=["subscribe"]))
    assert [""] == await reasons_of(client, token)


async def test_connection_data_is_not_in_a_repr(client: Client) -> None:
    """It may be about a person."""
    token = await done((await new_session(client)).generate_token(data="username=bob"))

    assert "username" not in repr(await done(client.verify_token(token)))
    assert "username" not in repr(TokenRequest("2_abc", data="username=bob"))

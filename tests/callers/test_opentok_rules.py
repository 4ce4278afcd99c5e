"""A JWT of an official SDK counts for a few minutes, and one with which people join never does."""

from __future__ import annotations

from typing import Any

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tests.authority.world import rsa_pem
from tests.callers.opentok import APPLICATION, KEY, NOW, SDKS, opentok_auth, vonage_bearer
from tokenauthority.callers.opentok_rules import read_opentok_auth, read_vonage_bearer
from tokenauthority.domain.credential import CredentialKind
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token import TokenRejectedError


def refused(token: str, now: int = NOW) -> str:
    """Why it is refused."""
    with pytest.raises(TokenRejectedError) as caught:
        read_opentok_auth(token, Seconds(now))
    return caught.value.detail


@pytest.mark.parametrize("sdk", SDKS)
def test_reads_what_each_sdk_sends(sdk: str) -> None:
    """With `ist` in the claims or in the header, with `jti` or without, and with a number as `iss`."""
    found = read_opentok_auth(opentok_auth(sdk=sdk), Seconds(NOW))

    assert (KEY, CredentialKind.SECRET) == (found.owner, found.kind)


@pytest.mark.parametrize("skew", [-30, 29])
def test_forgives_a_clock_that_is_half_a_minute_off(skew: int) -> None:
    """In either direction, at both ends."""
    token = opentok_auth(exp=NOW + 300) if skew < 0 else opentok_auth(iat=NOW - 300, exp=NOW)

    assert KEY == read_opentok_auth(token, Seconds(NOW + skew)).owner


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"ist": "account"}, "ist"),
        ({"ist": None}, "ist"),
        ({"sdk": "ruby", "ist": "account"}, "ist"),
        ({"sdk": "ruby", "head": {"ist": "account"}}, "ist"),
        ({"iss": None}, "iss"),
        ({"iss": True}, "iss"),
        ({"iss": "0"}, "iss"),
        ({"iss": APPLICATION}, "iss"),
        ({"iss": [KEY]}, "iss"),
        ({"iat": None}, "iat"),
        ({"exp": None}, "exp"),
        ({"exp": NOW + 301}, "from iat to exp"),
        ({"exp": NOW}, "from iat to exp"),
        ({"iat": NOW + 31, "exp": NOW + 60}, "not valid before"),
        ({"nbf": NOW + 31}, "not valid before"),
        ({"iat": NOW - 200, "exp": NOW - 30}, "expired"),
        ({"head": {"typ": "session+jwt"}}, "typ"),
        ({"head": {"crit": ["x"]}}, "crit"),
    ],
)
def test_refuses(changes: dict[str, Any], part: str) -> None:
    """What is not for a call of the REST API now, and says which part of it."""
    assert part in refused(opentok_auth(**changes))


@pytest.mark.parametrize("claim", ["scope", "session_id", "role", "sub", "acl"])
def test_refuses_a_token_to_join_a_session(claim: str) -> None:
    """The secret signs those too, and everybody who joins has one. Users of Vonage's other APIs have theirs."""
    said: dict[str, Any] = {claim: "x"}

    assert "to join a session" in refused(opentok_auth(**said))
    with pytest.raises(TokenRejectedError):
        read_vonage_bearer(vonage_bearer(rsa_pem(), **said), Seconds(NOW))


def test_reads_the_application_of_a_vonage_jwt() -> None:
    """In either case, for at most a quarter of an hour."""
    found = read_vonage_bearer(vonage_bearer(rsa_pem(), APPLICATION.upper()), Seconds(NOW))

    assert (APPLICATION, CredentialKind.VONAGE_KEY) == (found.owner, found.kind)
    for wrong in ({"application_id": KEY}, {"application_id": None}, {"exp": NOW + 901}, {"iat": NOW + 31}):
        with pytest.raises(TokenRejectedError):
            read_vonage_bearer(vonage_bearer(rsa_pem(), **wrong), Seconds(NOW))


@given(st.text(), st.sampled_from(["", "ey", "ey.ey.", "eyJhbGciOiJIUzI1NiJ9."]))
def test_takes_any_text(text: str, start: str) -> None:
    """No text makes it fail in another way."""
    for read in (read_opentok_auth, read_vonage_bearer):
        with pytest.raises(TokenRejectedError):
            read(start + text, Seconds(NOW))

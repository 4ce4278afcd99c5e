"""SESSION_JWT: the claims of the design, exactly."""

from __future__ import annotations

import json

import jwt
import pytest

from tests.signing.builders import (
    ISSUER,
    NOW,
    PROJECT,
    SESSION,
    forge,
    make_claims,
    make_token,
    payload_of,
    rejection,
    ring,
    ring_key,
    signing_key,
    verify,
)
from tokenauthority.domain.key import Algorithm, KeyState
from tokenauthority.domain.role import Permission
from tokenauthority.domain.token import InactiveReason, TokenRejectedError
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.keyring import KeyRing


FORMAT = TokenFormat.SESSION_JWT
FULL = make_claims(
    FORMAT,
    subject="user-1",
    data="a=1",
    role="co-host",
    permissions=(Permission.PUBLISH, Permission.FORCE_MUTE),
    initial_layout_class_list=("focus", "small"),
)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_the_header_names_algorithm_type_and_key(algorithm: Algorithm) -> None:
    """And nothing else."""
    key = ring(algorithm).active

    token = make_token(FORMAT, FULL, key=key).token

    assert {"alg": algorithm.value, "typ": "session+jwt", "kid": key.key_id} == jwt.get_unverified_header(token)
    assert key.key_id == verify(token, ring_=ring(algorithm)).key_id


def test_the_claims_are_those_of_the_design() -> None:
    """All of them, with their names and types."""
    payload = jwt.decode(make_token(FORMAT, FULL).token, options={"verify_signature": False})

    expected = {
        "iss": ISSUER,
        "aud": PROJECT,
        "sub": "user-1",
        "jti": "a1b2c3",
        "iat": NOW,
        "exp": NOW + 3600,
        "scope": "session.connect",
        "session_id": SESSION,
        "role": "co-host",
        "permissions": ["publish", "force_mute"],
        "connection_data": "a=1",
        "initial_layout_class_list": ["focus", "small"],
    }
    assert list(expected.items()) == list(payload.items())


def test_what_is_not_given_is_left_out() -> None:
    """No empty subject, data or layout."""
    assert {"sub", "connection_data", "initial_layout_class_list"}.isdisjoint(payload_of(FORMAT))


def test_the_token_id_is_the_jti() -> None:
    """What RevokeTokens names."""
    encoded = make_token(FORMAT)

    assert ("a1b2c3", "a1b2c3") == (encoded.token_id, verify(encoded.token).claims.token_id)


def test_unknown_claims_are_ignored() -> None:
    """A later version may say more."""
    assert verify(make_token(FORMAT).token) == verify(forge(FORMAT, payload=payload_of(FORMAT, later={"x": [1]})))


@pytest.mark.parametrize(
    "changes",
    [
        {"jti": None},
        {"jti": ""},
        {"jti": "x" * 256},
        {"iat": None},
        {"exp": None},
        {"sub": ""},
        {"sub": "x" * 256},
        {"sub": 7},
        {"role": None},
        {"role": ""},
        {"role": "Publisher"},
        {"role": "x" * 64},
        {"permissions": None},
        {"permissions": "publish"},
        {"permissions": ["publish", "fly"]},
        {"permissions": ["Publish"]},
        {"permissions": ["publish", "publish"]},
        {"permissions": [1]},
        {"connection_data": 1},
        {"initial_layout_class_list": "focus small"},
        {"initial_layout_class_list": [1]},
        {"aud": "0"},
    ],
    ids=str,
)
def test_a_claim_that_is_not_of_the_design_is_refused(changes: dict[str, object]) -> None:
    """A missing claim, one of another type or beyond its bounds, an unknown permission."""
    assert rejection(verify, forge(FORMAT, payload=payload_of(FORMAT, **changes))) is InactiveReason.MALFORMED


@pytest.mark.parametrize("name", ["sub", "connection_data", "initial_layout_class_list"])
def test_null_is_no_way_to_leave_a_claim_out(name: str) -> None:
    """A claim is there with its type, or not there."""
    payload = {**payload_of(FORMAT), name: None}

    assert rejection(verify, forge(FORMAT, payload=payload)) is InactiveReason.MALFORMED


def test_text_is_unchanged_and_not_escaped_in_transit() -> None:
    """The payload is UTF-8, not escapes, which keeps tokens short."""
    token = make_token(FORMAT, make_claims(FORMAT, data="é😀\u2028")).token
    body = jwt.utils.base64url_decode(token.split(".")[1])

    assert "é😀\u2028".encode() in body
    assert "é😀\u2028" == json.loads(body)["connection_data"]


def test_a_revoked_key_is_distinguished_from_an_unknown_one_in_words() -> None:
    """Both are KEY_UNKNOWN; an operator reads which."""
    other = ring_key(signing_key(Algorithm.ES256, 5))
    revoked = KeyRing([other, ring_key(ring().active, KeyState.REVOKED)])
    token = make_token(FORMAT).token
    details = []
    for keys in (revoked, KeyRing([other])):
        with pytest.raises(TokenRejectedError) as caught:
            verify(token, ring_=keys)
        details.append((caught.value.reason, "revoked" in caught.value.detail))

    assert [(InactiveReason.KEY_UNKNOWN, True), (InactiveReason.KEY_UNKNOWN, False)] == details

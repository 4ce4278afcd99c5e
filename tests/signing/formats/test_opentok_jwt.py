"""OPENTOK_JWT: what the official SDKs that have no vector write, and what is none of theirs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.signing.builders import (
    NOW,
    PROJECT,
    SESSION,
    forge,
    make_claims,
    make_token,
    payload_of,
    rejection,
    verify,
)
from tokenauthority.domain.times import DAY
from tokenauthority.domain.token import InactiveReason, TokenClaims
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.formats.registry import read_token
from tokenauthority.signing.results import LAST_SECOND


FORMAT = TokenFormat.OPENTOK_JWT
JAVA = {
    "session_id": SESSION,
    "nonce": -5,
    "role": "moderator",
    "scope": "session.connect",
    "ist": "project",
    "iss": PROJECT,
}
PHP = {
    "iss": PROJECT,
    "iat": NOW,
    "session_id": SESSION,
    "role": "publisher",
    "ist": "project",
    "nonce": 9,
    "scope": "session.connect",
}
DOTNET = {
    "iss": PROJECT,
    "ist": "project",
    "role": "publisher",
    "session_id": SESSION,
    "scope": "session.connect",
    "iat": NOW,
}


def _said(payload: dict[str, Any], header: dict[str, str] | None = None) -> TokenClaims:
    return verify(forge(FORMAT, payload=payload, header=header)).claims


def test_javas_token_is_read() -> None:
    """No `typ`, a negative nonce, a `jti` that is not the token's id."""
    payload = {**JAVA, "initial_layout_class_list": "a b", "jti": "x", "exp": NOW + 60, "iat": NOW}
    claims = _said(payload, {"alg": "HS256"})

    assert ("moderator", ("a", "b"), NOW + 60) == (claims.role, claims.initial_layout_class_list, claims.expire_time)
    assert 64 == len(claims.token_id)


@pytest.mark.parametrize("issuer", [PROJECT, int(PROJECT)])
def test_phps_token_is_read(issuer: object) -> None:
    """Junk nulls, an escaped layout list, no expiry, the key as it was given: text or a number."""
    payload = {**PHP, "iss": issuer, "data": None, "expireTime": None, "initial_layout_class_list": "a+b+c%2Bd"}

    claims = _said(payload)

    assert (PROJECT, NOW + DAY, "") == (claims.project_id, claims.expire_time, claims.data)
    assert ("a", "b", "c+d") == claims.initial_layout_class_list


def test_only_phps_order_unescapes_the_layout() -> None:
    """A class `a+b` of anyone else is what it says, ours too."""
    other = dict(reversed({**PHP, "initial_layout_class_list": "a+b c%2Bd"}.items()))
    ours = make_claims(FORMAT, initial_layout_class_list=("a+b", "%2B"))

    assert ("a+b", "c%2Bd") == _said(other).initial_layout_class_list
    assert ("a+b", "%2B") == verify(make_token(FORMAT, ours).token).claims.initial_layout_class_list


def test_dotnets_token_is_read() -> None:
    """Its layout list has another name."""
    payload = {**DOTNET, "jti": "x", "initial_layout_list": "a b", "nonce": 3, "connection_data": "d", "exp": NOW + 300}

    claims = _said(payload)

    assert (("a", "b"), "d") == (claims.initial_layout_class_list, claims.data)


def test_nodes_token_is_read() -> None:
    """Extra times that say nothing new, a fractional nonce, an empty layout list."""
    payload = payload_of(FORMAT, create_time=1, expire_time=2, nonce=0.5, initial_layout_class_list="")

    claims = _said(payload)

    assert (NOW, NOW + 3600, ()) == (claims.issue_time, claims.expire_time, claims.initial_layout_class_list)


def test_the_layout_may_be_a_list() -> None:
    """Each entry is a class."""
    assert ("a b", "c") == _said(payload_of(FORMAT, initial_layout_class_list=["a b", "c"])).initial_layout_class_list


@pytest.mark.parametrize(("iat", "expected"), [(NOW, NOW + DAY), (LAST_SECOND, LAST_SECOND), (0, DAY)])
def test_without_expiry_a_token_lives_a_day(iat: int, expected: int) -> None:
    """Ruby's and PHP's default, at most to the end of time."""
    assert expected == _said(payload_of(FORMAT, iat=iat, exp=None)).expire_time


@pytest.mark.parametrize(
    "changes",
    [
        {"ist": None},
        {"ist": "account"},
        {"iss": None},
        {"iss": "x"},
        {"iss": True},
        {"iss": 47_000_000.0},
        {"iss": 0},
        {"iss": [PROJECT]},
        {"role": None},
        {"role": "admin"},
        {"role": ["publisher"]},
        {"iat": None},
        {"connection_data": 5},
        {"connection_data": {"a": 1}},
        {"initial_layout_class_list": [1]},
        {"initial_layout_class_list": {"a": 1}},
        {"initial_layout_class_list": 1},
        {"application_id": "78d335fa-323d-0114-9c3d-d6f0d48968cf"},
    ],
    ids=str,
)
def test_a_claim_with_a_value_of_nobodys_is_refused(changes: dict[str, object]) -> None:
    """A missing claim, one of another type, a role that is not built in."""
    assert rejection(verify, forge(FORMAT, payload=payload_of(FORMAT, **changes))) is InactiveReason.MALFORMED


@pytest.mark.parametrize("name", ["connection_data", "exp", "initial_layout_class_list"])
def test_null_is_no_way_to_leave_a_claim_out(name: str) -> None:
    """Node writes `exp: null` for an infinite expiry, which nobody means."""
    payload = {**payload_of(FORMAT), name: None}

    assert rejection(verify, forge(FORMAT, payload=payload)) is InactiveReason.MALFORMED


def test_the_token_id_is_the_signature_in_hex() -> None:
    """As for T1, so that a token without `jti` can be named."""
    encoded = make_token(FORMAT)

    assert read_token(encoded.token).signature.hex() == encoded.token_id
    assert encoded.token_id == verify(encoded.token).claims.token_id

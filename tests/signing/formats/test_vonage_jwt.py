"""VONAGE_JWT: what the SDKs that have no vector write, and what is none of theirs."""

from __future__ import annotations

import attrs
import pytest

from tests.signing.builders import APPLICATION, KEYS, VONAGE_PEM, forge, make_token, payload_of, rejection, verify
from tokenauthority.domain.key import Algorithm
from tokenauthority.domain.token import InactiveReason
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.key_serialization import generate_private_key
from tokenauthority.signing.project_keys import VonageKey


FORMAT = TokenFormat.VONAGE_JWT


def test_javas_token_is_read() -> None:
    """Neither `acl` nor `sub`, and no `typ`."""
    payload = payload_of(FORMAT, acl=None, sub=None)

    claims = verify(forge(FORMAT, payload=payload, header={"alg": "RS256"})).claims

    assert (APPLICATION, "", "a1b2c3") == (claims.application_id, claims.project_id, claims.token_id)


def test_a_missing_role_is_publisher() -> None:
    """Vonage's default, which its claims may leave out."""
    assert "publisher" == verify(forge(FORMAT, payload=payload_of(FORMAT, role=None))).claims.role


def test_rubys_data_are_read_and_the_right_claim_wins() -> None:
    """Ruby writes `data`; where both stand, `connection_data` is the one that the platform reads."""
    ruby = forge(FORMAT, payload=payload_of(FORMAT, data="r"))
    both = forge(FORMAT, payload=payload_of(FORMAT, data="r", connection_data="c"))

    assert ["r", "c"] == [verify(token).claims.data for token in (ruby, both)]


def test_the_application_is_the_same_in_either_case() -> None:
    """UUIDs are compared in lower case."""
    token = forge(FORMAT, payload=payload_of(FORMAT, application_id=APPLICATION.upper()))

    assert APPLICATION == verify(token).claims.application_id


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"iat": None},
        {"jti": None},
        {"jti": ""},
        {"jti": "x" * 256},
        {"sub": "audio"},
        {"subject": "audio"},
        {"sub": ["video"]},
        {"role": "admin"},
        {"role": ""},
        {"application_id": ""},
        {"application_id": "47000000"},
        {"application_id": 7},
        {"acl": {}},
        {"acl": {"paths": {}}},
        {"acl": {"paths": {"/*/users/**": {}}}},
        {"acl": {"paths": ["/session/**"]}},
        {"acl": "/session/**"},
        {"data": 1},
        {"connection_data": ["x"]},
    ],
    ids=str,
)
def test_a_claim_with_a_value_of_nobodys_is_refused(changes: dict[str, object]) -> None:
    """A missing claim, one of another type, another subject, an `acl` that opens no session."""
    assert rejection(verify, forge(FORMAT, payload=payload_of(FORMAT, **changes))) is InactiveReason.MALFORMED


def test_another_key_of_the_application_is_refused() -> None:
    """The key that was imported decides, not the application's name; another application's is unknown."""
    other_key = VonageKey("k", APPLICATION, generate_private_key(Algorithm.RS256))
    other_application = VonageKey.from_pem("k", "00000000-0000-4000-8000-000000000000", VONAGE_PEM)
    answers = [
        rejection(verify, make_token(FORMAT).token, attrs.evolve(KEYS, vonage=key))
        for key in (other_key, other_application)
    ]

    assert [InactiveReason.SIGNATURE_INVALID, InactiveReason.KEY_UNKNOWN] == answers

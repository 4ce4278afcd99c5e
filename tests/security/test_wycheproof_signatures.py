"""Wycheproof's JWS tests that are about our own key types, run against the strict reading and the bound verifiers.

Of the 401 tests 312 have a key for HS256, ES256 or RS256. The other 89 have a public key for an algorithm that no token
of ours has, or for none. They are run against issuers' keys (`test_wycheproof_keys.py`), which are the only ones read
from a JWK, so that `use` and `key_ops` are looked at there.
"""

from __future__ import annotations

import base64

from typing import Any

import jwt
import pytest

from tests.security import wycheproof
from tests.security.wycheproof import SIGNATURES, Case
from tokenauthority.domain.token import TokenRejectedError
from tokenauthority.signing.jose import SignatureVerifier, parse_raw


ALGORITHMS = ("HS256", "ES256", "RS256")

EXCEPTIONS = {
    367: "calls invalid, for its padding, what is byte for byte the valid token of test 357 and has no padding",
    370: "the same as 367",
    372: "calls a header with a `?` in its base64url valid; RFC 7515 allows no other characters",
    373: "calls a payload with a `?` in its base64url valid; RFC 7515 allows no other characters",
}
"""Tests whose verdict is not ours, and why."""

ALL = wycheproof.cases(SIGNATURES)
OURS = [case for case in ALL if case.jwks["keys"][0].get("alg") in ALGORITHMS]


def _accepted(case: Case) -> bool:
    jwk = case.jwks["keys"][0]
    # A shared key has no JWK here: a project secret is its bytes.
    key: Any = (
        base64.urlsafe_b64decode(jwk["k"] + "==")
        if jwk["kty"] == "oct"
        else jwt.get_algorithm_by_name(jwk["alg"]).from_jwk(dict(jwk))
    )
    try:
        SignatureVerifier({jwk["alg"]: key}).verify(parse_raw(case.text))
    except TokenRejectedError:
        return False
    return True


@pytest.mark.parametrize("case", wycheproof.parameters(OURS, SIGNATURES))
def test_wycheproofs_verdict_is_ours(case: Case) -> None:
    """Valid ones are accepted and invalid ones refused; of the exceptions the opposite, so that none is idle."""
    expected = case.valid is not (case.number in EXCEPTIONS)

    assert expected is _accepted(case)


@pytest.mark.skipif(not ALL, reason=wycheproof.absent(SIGNATURES))
def test_every_test_with_a_key_of_ours_is_run() -> None:
    """The file is whole, and all tests with a shared key are among them."""
    symmetric = [case for case in OURS if case.symmetric]

    assert (401, 312, 40) == (len(ALL), len(OURS), len(symmetric))
    assert symmetric == [case for case in ALL if case.symmetric]


@pytest.mark.skipif(not ALL, reason=wycheproof.absent(SIGNATURES))
def test_the_invalid_exceptions_are_a_valid_test() -> None:
    """367 and 370 are the very token of 357, so accepting them is not lax."""
    tokens = {case.number: case.text for case in OURS}

    assert {tokens[357]} == {tokens[367], tokens[370]}

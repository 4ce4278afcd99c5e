"""Wycheproof's tests of JWKs and JWSs, run against the reading of issuers' JWKSs and what it makes of their keys.

All 26 tests of the file about keys apply. Of the 401 about signatures the 361 with a public key do; the 40 with a
shared key are tests/security/test_wycheproof_signatures.py's, since a JWKS yields no shared key here.
"""

from __future__ import annotations

import json

import pytest

from tests.security import wycheproof
from tests.security.wycheproof import KEYS, SIGNATURES, Case
from tokenauthority.callers.identity import ALGORITHMS
from tokenauthority.domain.token import TokenRejectedError
from tokenauthority.signing.jose import parse_raw
from tokenauthority.signing.jwks_reader import JwksError, parse_jwks


SHARED_KEY = "has a shared key, which a JWKS cannot give here: who verifies with it could sign"
OF_KEYS = {2: SHARED_KEY, 13: SHARED_KEY, 14: SHARED_KEY, 15: SHARED_KEY}
OTHER_ALGORITHM = "has an `alg` of PS384 in the token and of PS256 in the key, which is bound to that one"
UNKNOWN_ALGORITHM = "has a key for `ES521`, which is no algorithm: P-521 is for ES512"
OF_SIGNATURES = {346: OTHER_ALGORITHM, 347: UNKNOWN_ALGORITHM, 350: OTHER_ALGORITHM, 351: UNKNOWN_ALGORITHM}
"""Tests that are called valid and are not accepted, and why."""

ALL_OF_KEYS = wycheproof.cases(KEYS)
ALL_OF_SIGNATURES = wycheproof.cases(SIGNATURES)
ASYMMETRIC = [case for case in ALL_OF_SIGNATURES if not case.symmetric]


def accepted(case: Case) -> bool:
    """Whether the token holds under the key of the JWKS that it names, as for a caller's JWT."""
    try:
        keys = parse_jwks(json.dumps(case.jwks).encode(), ALGORITHMS).keys
        jws = parse_raw(case.text)
    except (JwksError, TokenRejectedError):
        return False
    kid = jws.header.get("kid")
    key = keys.get(kid) if isinstance(kid, str) else None
    return key is not None and key.verifier.holds(jws)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("case", wycheproof.parameters(ALL_OF_KEYS, KEYS))
def test_wycheproofs_verdict_about_a_key_is_ours(case: Case) -> None:
    """Weak, mixed, misused and misdescribed keys verify nothing; of the exceptions the opposite holds."""
    expected = case.valid is not (case.number in OF_KEYS)

    assert expected is accepted(case)


@pytest.mark.parametrize("case", wycheproof.parameters(ASYMMETRIC, SIGNATURES))
def test_wycheproofs_verdict_about_a_signature_is_ours(case: Case) -> None:
    """Under a key that was read from a JWKS; of the exceptions the opposite holds, so that none is idle."""
    expected = case.valid is not (case.number in OF_SIGNATURES)

    assert expected is accepted(case)


@pytest.mark.skipif(not (ALL_OF_KEYS and ALL_OF_SIGNATURES), reason=wycheproof.absent("A file"))
def test_every_test_of_wycheproof_is_run() -> None:
    """The files are whole, and nothing is left out but what the module says."""
    assert (26, 401, 361) == (len(ALL_OF_KEYS), len(ALL_OF_SIGNATURES), len(ASYMMETRIC))
    assert (1, 32) == (sum(map(accepted, ALL_OF_KEYS)), sum(map(accepted, ASYMMETRIC)))


@pytest.mark.skipif(not ALL_OF_KEYS, reason=wycheproof.absent(KEYS))
def test_every_exception_is_called_valid() -> None:
    """Nothing that Wycheproof calls invalid is accepted: each exception is stricter than it, and none is laxer."""
    of_keys = {case.number for case in ALL_OF_KEYS if case.valid}
    of_signatures = {case.number for case in ASYMMETRIC if case.valid}

    assert of_keys >= OF_KEYS.keys()
    assert of_signatures >= OF_SIGNATURES.keys()


@pytest.mark.skipif(not ALL_OF_SIGNATURES, reason=wycheproof.absent(SIGNATURES))
def test_the_keys_of_the_exceptions_are_as_described() -> None:
    """Header and key of the figures of RFC 7520 that are exceptions name different algorithms, or an unknown one."""
    found = {case.number: case for case in ASYMMETRIC if case.number in OF_SIGNATURES}
    named = {number: (parse_raw(case.text).algorithm, case.jwks["keys"][0]["alg"]) for number, case in found.items()}

    assert {
        346: ("PS384", "PS256"),
        347: ("ES512", "ES521"),
        350: ("PS384", "PS256"),
        351: ("ES512", "ES521"),
    } == named


@pytest.mark.skipif(not ALL_OF_KEYS, reason=wycheproof.absent(KEYS))
def test_a_shared_key_is_never_read_from_a_jwks() -> None:
    """Whatever else the set holds (tests 1 to 4, 10 to 18, 25 and 26)."""
    symmetric = [case for case in ALL_OF_KEYS if case.symmetric]
    kids = [set(parse_jwks(json.dumps(case.jwks).encode(), ALGORITHMS).keys) for case in symmetric]

    assert 15 == len(symmetric)
    # The public key of the mixed set of test 1.
    assert [{"kid-ec-sign"}, *[set[str]()] * 14] == kids

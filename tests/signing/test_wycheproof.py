"""Wycheproof's JWS tests that are about our key types, run against the strict reading and the bound verifiers."""

from __future__ import annotations

import json
import os

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest

from tokenauthority.domain.token import TokenRejectedError
from tokenauthority.signing.jose import Verifier, parse_raw


SHARED = Path(os.environ.get("TOKENAUTHORITY_SHARED", Path(__file__).parents[3] / "shared"))
FILE = SHARED / "vectors" / "wycheproof" / "json_web_signature_test.json"
ALGORITHMS = ("HS256", "ES256", "RS256")

EXCEPTIONS = {
    367: "calls invalid, for its padding, what is byte for byte the valid token of test 357 and has no padding",
    370: "the same as 367",
    372: "calls a header with a `?` in its base64url valid; RFC 7515 allows no other characters",
    373: "calls a payload with a `?` in its base64url valid; RFC 7515 allows no other characters",
}
"""Tests whose verdict is not ours, and why."""


def _cases() -> list[Any]:
    if not FILE.is_file():
        return [pytest.param({}, {}, marks=pytest.mark.skip(reason=f"{FILE.name} of Wycheproof is not there"))]
    groups = json.loads(FILE.read_text(encoding="utf-8"))["testGroups"]
    # A group without a public half has a shared key. Keys without an algorithm, which are for encryption, have no
    # counterpart here, where no key is read from a JWK.
    keyed = [(group.get("public", group.get("private")), group["tests"]) for group in groups]
    return [
        pytest.param(jwk, test, id=f"{test['tcId']}-{jwk['alg']}-{test['comment']}")
        for jwk, tests in keyed
        if jwk.get("alg") in ALGORITHMS
        for test in tests
    ]


def _accepted(jwk: Mapping[str, Any], jws: object) -> bool:
    key = jwt.get_algorithm_by_name(jwk["alg"]).from_jwk(dict(jwk))
    try:
        Verifier(jwk["alg"], key).verify(parse_raw(jws if isinstance(jws, str) else json.dumps(jws)))
    except TokenRejectedError:
        return False
    return True


@pytest.mark.parametrize(("jwk", "test"), _cases())
def test_wycheproofs_verdict_is_ours(jwk: Mapping[str, Any], test: Mapping[str, Any]) -> None:
    """Valid ones are accepted and invalid ones refused; of the exceptions the opposite, so that none is idle."""
    expected = (test["result"] == "valid") is not (test["tcId"] in EXCEPTIONS)

    assert expected is _accepted(jwk, test["jws"])


def test_the_invalid_exceptions_are_a_valid_test() -> None:
    """367 and 370 are the very token of 357, so accepting them is not lax."""
    if not FILE.is_file():
        pytest.skip(f"{FILE.name} of Wycheproof is not there")

    tokens = {case.values[1]["tcId"]: case.values[1]["jws"] for case in _cases()}

    assert {tokens[357]} == {tokens[367], tokens[370]}

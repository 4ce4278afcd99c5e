"""A JWKS yields its usable keys, each for one algorithm; what is odd is passed over or refused whole."""

from __future__ import annotations

import contextlib
import json
import math

from typing import Any

import pytest

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.callers.issuer import Key, jwks, segment
from tests.fuzzing import hostile
from tokenauthority.callers.identity import ALGORITHMS
from tokenauthority.signing.jwks_reader import MAX_KEYS, JwksError, parse_jwks


EC = Key("ec-1")
P384 = Key("p-384", "ES384")
RSA = Key("rsa-1", "RS256")
OKP = Key("ed-1", "EdDSA")


def rsa_key(bits: int = 2048, exponent: int = 65_537) -> dict[str, Any]:
    """An RSA key of another size or exponent."""
    return Key("rsa-1", "RS256", rsa.generate_private_key(exponent, bits)).jwk()


@pytest.mark.parametrize(
    ("key", "changes", "algorithm"),
    [
        (EC, {}, "ES256"),
        (EC, {"alg": None}, "ES256"),
        (EC, {"use": None}, "ES256"),
        (EC, {"key_ops": ["verify"]}, "ES256"),
        (EC, {"x5c": ["MII"], "x5u": "http://127.0.0.1:9/"}, "ES256"),
        (P384, {"alg": None}, "ES384"),
        (OKP, {"alg": None}, "EdDSA"),
        (RSA, {}, "RS256"),
        (RSA, {"alg": "PS512"}, "PS512"),
    ],
    ids=str,
)
def test_a_key_is_for_one_algorithm(key: Key, changes: dict[str, Any], algorithm: str) -> None:
    """Its own `alg`, else the only one that its curve has."""
    (found,) = parse_jwks(jwks(key.jwk(**changes)), ALGORITHMS).keys.values()

    assert (key.kid, algorithm) == (found.key_id, found.algorithm)


def test_an_rsa_key_without_alg_is_for_the_only_one_that_the_issuer_has() -> None:
    """With several it could be used for any, which is none of its own."""
    data = jwks(RSA.jwk(alg=None))

    assert {"rsa-1": "RS256"} == {k: v.algorithm for k, v in parse_jwks(data, ("ES256", "RS256")).keys.items()}
    assert {} == parse_jwks(data, ("PS256", "RS256")).keys


def roca_modulus() -> str:
    """A modulus of 2048 bits as a broken chip made it: a power of 65537, modulo every small prime (CVE-2017-15361)."""
    product = math.prod(p for p in range(2, 168) if all(p % q for q in range(2, p)))
    modulus = pow(65_537, 12_345, product) + product * (2**2047 // product + 1)
    return segment(modulus.to_bytes(256, "big"))


UNUSABLE: dict[str, dict[str, Any]] = {
    "no kid": EC.jwk(kid=None),
    "empty kid": EC.jwk(kid=""),
    "kid no text": EC.jwk(kid=7),
    "long kid": EC.jwk(kid="a" * 256),
    "for encryption": EC.jwk(use="enc"),
    "use no text": EC.jwk(use=["sig"]),
    "key_ops without verify": EC.jwk(key_ops=["sign"]),
    "key_ops in one text": EC.jwk(key_ops="sign, verify"),
    "alg of another curve": EC.jwk(alg="ES384"),
    "alg of another kind": EC.jwk(alg="RS256"),
    "alg of an HMAC": EC.jwk(alg="HS256"),
    "alg no text": EC.jwk(alg=["ES256"]),
    "alg none": EC.jwk(alg="none"),
    "unknown curve": EC.jwk(crv="P-255"),
    "secp256k1": EC.jwk(crv="secp256k1", alg=None),
    "curve no text": EC.jwk(crv=None),
    "other curve": EC.jwk(crv="P-384", alg="ES384"),
    "point not on the curve": EC.jwk(y=P384.jwk()["y"][:43]),
    "short coordinate": EC.jwk(x=EC.jwk()["x"][:-4]),
    "no y": EC.jwk(y=None),
    "coordinate no text": EC.jwk(x=7),
    "kty no text": EC.jwk(kty=["EC"]),
    "kty of another kind": EC.jwk(kty="RSA"),
    "a secret": {"kty": "oct", "kid": "k", "alg": "HS256", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"},
    "a private key": EC.jwk(d=ECAlgorithm.to_jwk(EC.private, as_dict=True)["d"]),
    "a private RSA key": RSA.jwk(**RSAAlgorithm.to_jwk(RSA.private, as_dict=True)),
    "half a private RSA key": RSA.jwk(d="AAAA"),
    "RSA of 1024 bits": rsa_key(1024),
    "RSA with exponent 3": rsa_key(exponent=3),
    "RSA with exponent 1": RSA.jwk(e="AQ"),
    "RSA with an even exponent": RSA.jwk(e="AQAC"),
    "RSA with a vast exponent": RSA.jwk(e="AQAAAAAB"),
    "RSA of 8200 bits": RSA.jwk(n=Key("x", "RS256").jwk()["n"] * 4 + "AAAA"),
    "RSA of a broken chip": RSA.jwk(n=roca_modulus()),
    "no modulus": RSA.jwk(n=None),
    "Ed448": OKP.jwk(crv="Ed448", alg=None),
    "short Ed25519": OKP.jwk(x="AAAA"),
}


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("key", UNUSABLE.values(), ids=UNUSABLE)
def test_passes_over_what_it_cannot_use(key: dict[str, Any]) -> None:
    """RFC 7517, section 5: the other keys count, and an operator sees that one did not."""
    found = parse_jwks(jwks(P384.jwk(kid="good"), key), ALGORITHMS)

    assert ({"good"}, 1) == (set(found.keys), found.unusable)


def test_passes_over_what_the_issuer_may_not_sign_with() -> None:
    """The callers file has the last word."""
    assert {"rsa-1"} == set(parse_jwks(jwks(EC, RSA, OKP), ("RS256",)).keys)


def test_a_set_without_keys_revokes_all() -> None:
    """An issuer that was broken into publishes just that."""
    assert {} == parse_jwks(b'{"keys":[]}', ALGORITHMS).keys
    assert {} == parse_jwks(jwks(EC.jwk(use="enc")), ALGORITHMS).keys


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":null}',
        b'{"keys":[],"keys":[]}',
        b'{"keys":[]} x',
        b"\xff",
        b"[" * 100_000,
        b'{"keys":' + b"[" * 17 + b"]" * 17 + b"}",
        json.dumps({"keys": [1] * (MAX_KEYS + 1)}).encode(),
        json.dumps(EC.jwk()).encode(),
        b"<html>sign in</html>",
    ],
)
def test_refuses_what_is_no_jwks(data: bytes) -> None:
    """The keys at hand then stay."""
    with pytest.raises(JwksError):
        parse_jwks(data, ALGORITHMS)


def test_refuses_one_kid_for_two_keys() -> None:
    """Which of them a token means would be a matter of order. An unusable one does not count."""
    other = Key("ec-1", "ES256", ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(JwksError, match="one kid stands for two keys"):
        parse_jwks(jwks(EC, other), ALGORITHMS)

    assert {"ec-1"} == set(parse_jwks(jwks(EC, other.jwk(use="enc")), ALGORITHMS).keys)


def test_the_same_key_again_is_equal() -> None:
    """So that a refresh which changes nothing can be told from one that does."""
    first, second = (parse_jwks(jwks(EC, RSA), ALGORITHMS) for _ in range(2))

    assert first == second
    assert first != parse_jwks(jwks(EC, Key("rsa-1", "RS256")), ALGORITHMS)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(
    key=st.sampled_from([EC, P384, RSA, OKP]),
    name=st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "alg", "use", "key_ops", "d", "k"]),
    value=st.sampled_from(hostile.RAW) | st.from_regex(rb'"[A-Za-z0-9_=+/-]{0,90}"', fullmatch=True),
)
def test_no_member_of_a_key_is_more_than_unusable(key: Key, name: str, value: bytes) -> None:
    """Whatever stands there: one key fewer, or no JWKS; and never another error."""
    members = {member: json.dumps(said).encode() for member, said in key.jwk().items()} | {name: value}
    written = b",".join(f'"{member}":'.encode() + said for member, said in members.items())
    with contextlib.suppress(JwksError):
        assert 1 == len((found := parse_jwks(b'{"keys":[{' + written + b"}]}", ALGORITHMS)).keys) + found.unusable


@given(st.binary(max_size=200) | st.text().map(lambda text: json.dumps({"keys": [text]}).encode()))
def test_no_bytes_are_more_than_no_jwks(data: bytes) -> None:
    """An issuer that was broken into may serve anything."""
    with contextlib.suppress(JwksError):
        assert {} == parse_jwks(data, ALGORITHMS).keys

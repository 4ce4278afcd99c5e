"""The authority's signing keys: what they accept, what they refuse, and that they show no secret."""

from __future__ import annotations

import json

from base64 import urlsafe_b64decode
from hashlib import sha256

import jwt
import pytest

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from tests.signing.builders import APPLICATION, SECRET, VONAGE, b64url, signing_key
from tokenauthority.domain.key import Algorithm
from tokenauthority.signing.signing_key import SigningKey, _public_half


RFC_7638_MODULUS = (
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhM"
    "stn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5"
    "hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
)

each_algorithm = pytest.mark.parametrize("algorithm", Algorithm)


@each_algorithm
def test_a_signing_key_is_the_same_after_serialization(algorithm: Algorithm) -> None:
    """PKCS#8 DER and back gives the same key under the same id."""
    key = signing_key(algorithm)

    again = SigningKey.from_der(algorithm, key.to_der())

    assert key == again
    token = again.signer.sign(b"{}")[0]
    assert {} == jwt.decode(token, jwt.PyJWK(key.public.jwk).key, algorithms=[algorithm.value])


@each_algorithm
def test_the_key_id_is_the_rfc_7638_thumbprint(algorithm: Algorithm) -> None:
    """The SHA-256 of the required members in lexical order."""
    key = signing_key(algorithm)
    names = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}
    members = {name: key.public.jwk[name] for name in names[key.public.jwk["kty"]]}

    digest = sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest()

    assert b64url(digest) == key.key_id == key.public.key_id == key.public.jwk["kid"]


def test_the_thumbprint_is_that_of_rfc_7638() -> None:
    """The example of section 3.1, a public key alone."""
    numbers = rsa.RSAPublicNumbers(65_537, int.from_bytes(urlsafe_b64decode(RFC_7638_MODULUS + "==")))

    public = _public_half(Algorithm.RS256, numbers.public_key())

    assert (RFC_7638_MODULUS, "AQAB") == (public.jwk["n"], public.jwk["e"])
    assert "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" == public.key_id == public.jwk["kid"]


def test_the_thumbprint_is_that_of_rfc_8037() -> None:
    """The example of appendix A.3."""
    ed_key = ed25519.Ed25519PrivateKey.from_private_bytes(
        bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    )

    assert "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" == SigningKey.local(Algorithm.EDDSA, ed_key).key_id


@each_algorithm
def test_the_public_half_has_nothing_private(algorithm: Algorithm) -> None:
    """A JWK with `use`, `alg` and `kid`, and no private member."""
    public = signing_key(algorithm).public

    shared = {"kty", "use", "alg", "kid"}
    own = {"ES256": {"crv", "x", "y"}, "EdDSA": {"crv", "x"}, "RS256": {"n", "e"}}[algorithm.value]
    assert shared | own == public.jwk.keys()
    assert ("sig", algorithm.value) == (public.jwk["use"], public.jwk["alg"])


def test_es256_coordinates_have_32_bytes() -> None:
    """Of many keys none has a coordinate cut short (RFC 7518, section 6.2.1.2)."""
    keys = [SigningKey.generate(Algorithm.ES256) for _ in range(300)]

    assert {43} == {len(key.public.jwk[name]) for key in keys for name in ("x", "y")}


@each_algorithm
def test_generated_keys_differ(algorithm: Algorithm) -> None:
    """Two new keys are two keys."""
    assert SigningKey.generate(algorithm).key_id != SigningKey.generate(algorithm).key_id


def test_no_key_shows_its_secret() -> None:
    """`repr` of every key object can be logged by mistake."""
    key = signing_key(Algorithm.ES256)
    private = b64url(key.to_der())
    shown = repr([SECRET, VONAGE, key, key.public])

    assert SECRET.value not in shown
    assert private not in shown
    assert "PrivateKey" not in shown
    assert APPLICATION in shown

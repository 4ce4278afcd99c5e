"""Private keys in PEM and DER: what is refused, and in which words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PrivateFormat,
    PublicFormat,
)

from tests.signing.builders import APPLICATION, SHORT_RSA, VONAGE, VONAGE_PEM, pem
from tokenauthority.domain.key import Algorithm
from tokenauthority.signing import key_serialization
from tokenauthority.signing.project_keys import VonageKey
from tokenauthority.signing.signing_key import SigningKey


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no PEM private key"),
        ("not a key", "no PEM private key"),
        (VONAGE_PEM[:400], "damaged"),
        (VONAGE_PEM.replace("MII", "MIJ", 1), "damaged"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "damaged"),
        (pem(VONAGE.private_key, PrivateFormat.PKCS8, b"pw"), "is encrypted"),
        (pem(VONAGE.private_key, PrivateFormat.TraditionalOpenSSL, b"pw"), "is encrypted"),
        (pem(ec.generate_private_key(ec.SECP256R1()), PrivateFormat.PKCS8), "not an RSA key"),
        (pem(SHORT_RSA, PrivateFormat.PKCS8), "2048 to 4096 bits, has 1024"),
        (pem(rsa.generate_private_key(3, 2048), PrivateFormat.PKCS8), "public exponent"),
        (VONAGE_PEM + " " * 20_000, "at most 4096 characters"),
        (
            VONAGE.private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
            "no PEM private key",
        ),
    ],
    ids=[
        "empty",
        "text",
        "cut",
        "damaged",
        "short",
        "encrypted8",
        "encrypted1",
        "EC",
        "RSA-1024",
        "e-3",
        "long",
        "public",
    ],
)
def test_a_vonage_key_that_is_none_is_refused_in_clear_words(text: str, message: str) -> None:
    """The message says what is wrong, and holds no line of the file."""
    with pytest.raises(ValueError, match=message) as caught:
        VonageKey.from_pem("k", APPLICATION, text)

    shown = f"{caught.value!r} {caught.value.__cause__!r}"
    assert not [line for line in text.splitlines() if len(line) > 30 and line in shown]


LONG_RSA = rsa.generate_private_key(65537, 4096)


@pytest.mark.parametrize("format_", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_the_longest_key_fits_into_what_is_looked_at(format_: PrivateFormat) -> None:
    """4096 bits, also with the line ends of Windows."""
    text = pem(LONG_RSA, format_).replace("\n", "\r\n")

    assert 4096 == VonageKey.from_pem("k", APPLICATION, text).private_key.key_size


def test_the_size_of_a_key_is_refused_before_its_numbers_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full check of a long key takes so long that it must not be had for the asking; a sealed key needs none."""
    checks: list[bool] = []

    def counted(load: Callable[..., object]) -> Callable[..., object]:
        def loaded(*given: object, unsafe_skip_rsa_key_validation: bool = False, **more: object) -> object:
            checks.append(not unsafe_skip_rsa_key_validation)
            return load(*given, unsafe_skip_rsa_key_validation=unsafe_skip_rsa_key_validation, **more)

        return loaded

    for name in ("load_pem_private_key", "load_der_private_key"):
        monkeypatch.setattr(key_serialization, name, counted(getattr(key_serialization, name)))
    with pytest.raises(ValueError, match="2048 to 4096 bits"):
        VonageKey.from_pem("k", APPLICATION, pem(SHORT_RSA, PrivateFormat.PKCS8))
    key = VonageKey.from_der("k", APPLICATION, VONAGE.to_der())

    assert VONAGE.private_key.private_numbers() == key.private_key.private_numbers()
    assert [False, False] == checks


def test_a_key_whose_numbers_do_not_belong_together_is_refused() -> None:
    """It has the right size and form, and would sign what nobody can verify."""
    numbers = VONAGE.private_key.private_numbers()
    n = numbers.public_numbers
    broken = rsa.RSAPrivateNumbers(numbers.p, numbers.q, numbers.d + 2, numbers.dmp1, numbers.dmq1, numbers.iqmp, n)
    text = pem(broken.private_key(unsafe_skip_rsa_key_validation=True), PrivateFormat.PKCS8)

    with pytest.raises(ValueError, match="damaged"):
        VonageKey.from_pem("k", APPLICATION, text)


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        (Algorithm.ES256, ec.generate_private_key(ec.SECP384R1())),
        (Algorithm.ES256, ec.generate_private_key(ec.SECP256K1())),
        (Algorithm.ES256, ed25519.Ed25519PrivateKey.generate()),
        (Algorithm.EDDSA, ec.generate_private_key(ec.SECP256R1())),
        (Algorithm.RS256, ec.generate_private_key(ec.SECP256R1())),
        (Algorithm.RS256, SHORT_RSA),
        (Algorithm.RS256, rsa.generate_private_key(3, 2048)),
        (Algorithm.ES256, ec.generate_private_key(ec.SECP256R1()).public_key()),
        (Algorithm.ES256, b"key"),
        (Algorithm.RS256, None),
    ],
    ids=["P-384", "K-256", "Ed-as-EC", "EC-as-Ed", "EC-as-RSA", "RSA-1024", "e-3", "public", "bytes", "none"],
)
def test_a_key_of_another_kind_is_refused(algorithm: Algorithm, key: object) -> None:
    """A key is bound to exactly one algorithm, and strong enough for it."""
    with pytest.raises(ValueError, match="key"):
        SigningKey.local(algorithm, key)


@pytest.mark.parametrize("der", [b"", b"x", b"0" * 100])
def test_a_stored_key_that_is_damaged_is_refused(der: bytes) -> None:
    """The error says so, and holds nothing of it."""
    with pytest.raises(ValueError, match=r"^the stored private key cannot be read$"):
        SigningKey.from_der(Algorithm.ES256, der)

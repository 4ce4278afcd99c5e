"""Project secrets and Vonage keys: what they accept and what they refuse."""

from __future__ import annotations

from collections.abc import Callable

import jwt
import pytest

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.signing.builders import APPLICATION, SHORT_RSA, VONAGE, VONAGE_PEM
from tokenauthority.signing import key_serialization
from tokenauthority.signing.project_keys import ProjectSecret, VonageKey


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, form: PrivateFormat, password: bytes = b"") -> str:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, encryption).decode()


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("around", ["{}", "\n{}\n", "some text\n{}"])
def test_a_vonage_key_is_imported(form: PrivateFormat, around: str) -> None:
    """PKCS#8 or PKCS#1, as it comes out of the file."""
    text = around.format(_pem(VONAGE.private_key, form))

    key = VonageKey.from_pem("vonage-key", APPLICATION.upper(), text)

    assert VONAGE == key
    assert VONAGE == VonageKey.from_der("vonage-key", APPLICATION, key.to_der())
    assert VONAGE.to_der() == key.to_der()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no PEM private key"),
        ("not a key", "no PEM private key"),
        (VONAGE_PEM[:400], "damaged"),
        (VONAGE_PEM.replace("MII", "MIJ", 1), "damaged"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "damaged"),
        (_pem(VONAGE.private_key, PrivateFormat.PKCS8, b"pw"), "is encrypted"),
        (_pem(VONAGE.private_key, PrivateFormat.TraditionalOpenSSL, b"pw"), "is encrypted"),
        (_pem(ec.generate_private_key(ec.SECP256R1()), PrivateFormat.PKCS8), "not an RSA key"),
        (_pem(SHORT_RSA, PrivateFormat.PKCS8), "2048 to 4096 bits, has 1024"),
        (_pem(rsa.generate_private_key(3, 2048), PrivateFormat.PKCS8), "public exponent"),
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


@pytest.mark.parametrize("application_id", ["", "78d335fa", APPLICATION + "0", "../" + APPLICATION])
def test_a_vonage_application_id_is_a_uuid(application_id: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="UUID"):
        VonageKey.from_pem("k", application_id, VONAGE_PEM)


@pytest.mark.parametrize("value", ["", "a" * 39, "a" * 41, "g" * 40, "é" * 40, " " + "a" * 39, "a" * 40 + "\n"])
def test_a_project_secret_is_40_hex_characters(value: str) -> None:
    """Anything else is refused, without being shown."""
    with pytest.raises(ValueError, match=r"^a project secret is 40 hex characters$"):
        ProjectSecret("s", value)


@pytest.mark.parametrize("value", ["1" * 40, "E" * 40, "1e" + "9" * 38])
def test_a_secret_that_looks_like_a_number_is_a_secret(value: str) -> None:
    """Digits alone, which PyJWT's look for JWKs parses as JSON, sign and verify, and case is kept."""
    secret = ProjectSecret("s", value)

    assert {} == jwt.decode(secret.signer.sign(b"{}")[0], value, algorithms=["HS256"])


LONG_RSA = rsa.generate_private_key(65537, 4096)


@pytest.mark.parametrize("format_", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_the_longest_key_fits_into_what_is_looked_at(format_: PrivateFormat) -> None:
    """4096 bits, also with the line ends of Windows."""
    text = _pem(LONG_RSA, format_).replace("\n", "\r\n")

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
        VonageKey.from_pem("k", APPLICATION, _pem(SHORT_RSA, PrivateFormat.PKCS8))
    key = VonageKey.from_der("k", APPLICATION, VONAGE.to_der())

    assert VONAGE.private_key.private_numbers() == key.private_key.private_numbers()
    assert [False, False] == checks


def test_a_key_whose_numbers_do_not_belong_together_is_refused() -> None:
    """It has the right size and form, and would sign what nobody can verify."""
    numbers = VONAGE.private_key.private_numbers()
    n = numbers.public_numbers
    broken = rsa.RSAPrivateNumbers(numbers.p, numbers.q, numbers.d + 2, numbers.dmp1, numbers.dmq1, numbers.iqmp, n)
    text = _pem(broken.private_key(unsafe_skip_rsa_key_validation=True), PrivateFormat.PKCS8)

    with pytest.raises(ValueError, match="damaged"):
        VonageKey.from_pem("k", APPLICATION, text)

"""Key objects: what they accept, what they refuse, and that they keep their secrets."""

from __future__ import annotations

import json

from base64 import urlsafe_b64decode
from collections.abc import Callable
from hashlib import sha256

import jwt
import pytest

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.signing.builders import APPLICATION, SECRET, VONAGE, VONAGE_PEM, b64url, signing_key
from tokenauthority.domain.key import Algorithm
from tokenauthority.signing import keys, private_keys
from tokenauthority.signing.keys import ProjectSecret, SigningKey, VonageKey


SHORT_RSA = rsa.generate_private_key(65_537, 1024)  # noqa: S505 - which is what has to be refused

RFC_7638_MODULUS = (
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhM"
    "stn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5"
    "hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
)

each_algorithm = pytest.mark.parametrize("algorithm", Algorithm)


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, form: PrivateFormat, password: bytes = b"") -> str:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, encryption).decode()


@each_algorithm
def test_a_signing_key_survives_being_written_down(algorithm: Algorithm) -> None:
    """PKCS#8 DER and back gives the same key under the same id."""
    key = signing_key(algorithm)

    again = SigningKey.from_der(algorithm, key.to_der())

    assert key == again
    token = again.signer.sign_claims(b"{}")
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

    public = keys._public_half(Algorithm.RS256, numbers.public_key())

    assert (RFC_7638_MODULUS, "AQAB") == (public.jwk["n"], public.jwk["e"])
    assert "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" == public.key_id == public.jwk["kid"]


def test_the_thumbprint_is_that_of_rfc_8037() -> None:
    """The example of appendix A.3."""
    ed_key = ed25519.Ed25519PrivateKey.from_private_bytes(
        bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    )

    assert "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" == SigningKey.of(Algorithm.EDDSA, ed_key).key_id


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
        SigningKey.of(algorithm, key)


@pytest.mark.parametrize("der", [b"", b"x", b"0" * 100])
def test_a_stored_key_that_is_damaged_is_refused(der: bytes) -> None:
    """The error says so, and holds nothing of it."""
    with pytest.raises(ValueError, match=r"^the stored private key cannot be read$"):
        SigningKey.from_der(Algorithm.ES256, der)


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

    assert {} == jwt.decode(secret.signer.sign_claims(b"{}"), value, algorithms=["HS256"])


def test_no_key_shows_its_secret() -> None:
    """`repr` of every key object can be logged by mistake."""
    key = signing_key(Algorithm.ES256)
    private = b64url(key.to_der())
    shown = repr([SECRET, VONAGE, key, key.public])

    assert SECRET.value not in shown
    assert private not in shown
    assert "PrivateKey" not in shown
    assert APPLICATION in shown


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
        monkeypatch.setattr(private_keys, name, counted(getattr(private_keys, name)))
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

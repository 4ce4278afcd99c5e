"""Private keys in PEM and DER: what is refused, and in which words."""

from __future__ import annotations

import base64
import itertools
import math

from collections.abc import Callable

import pytest

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PrivateFormat,
    PublicFormat,
)

from tests.signing.builders import APPLICATION, SHORT_RSA, VONAGE, VONAGE_PEM, pem, roca_modulus
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


def test_the_longest_key_fits_into_what_is_looked_at() -> None:
    """4096 bits, also with the line ends of Windows."""
    key = rsa.generate_private_key(65537, 4096)

    for format_ in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
        text = pem(key, format_).replace("\n", "\r\n")
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


def _with_exponent(exponent: int) -> str:
    """A key that works, with a public exponent that nobody uses."""
    numbers = VONAGE.private_key.private_numbers()
    p, q = numbers.p, numbers.q
    d = pow(exponent, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(exponent, numbers.public_numbers.n)
    made = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), numbers.iqmp, public)
    return pem(made.private_key(unsafe_skip_rsa_key_validation=True), PrivateFormat.PKCS8)


def _with_short_prime(bits: int) -> str:
    """A key that works, of a prime of 512 bits and one of half of *bits*."""
    p, q = SHORT_RSA.private_numbers().p, rsa.generate_private_key(65_537, bits).private_numbers().q
    d = pow(65_537, -1, (p - 1) * (q - 1))
    made = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(65_537, p * q))
    return pem(made.private_key(unsafe_skip_rsa_key_validation=True), PrivateFormat.PKCS8)


def test_a_prime_that_is_short_for_the_modulus_is_refused() -> None:
    """It is found by its own length, whatever that of the other one: 512 of 2048 bits pass, and of 2304 do not."""
    key = VonageKey.from_pem("k", APPLICATION, _with_short_prime(3072))
    with pytest.raises(ValueError, match="each prime of the RSA key must have at least 576 bits"):
        VonageKey.from_pem("k", APPLICATION, _with_short_prime(3584))

    assert 2048 == key.private_key.key_size


def test_a_key_of_a_broken_chip_is_refused() -> None:
    """For whatever it is used: it can be factored."""
    weak = rsa.RSAPublicNumbers(65_537, roca_modulus()).public_key()
    with pytest.raises(key_serialization.UnusableKeyError, match="can be factored"):
        key_serialization.require_rsa_public_key(weak)


@pytest.mark.parametrize("bits", [33, 64, 2047])
def test_a_public_exponent_that_makes_each_verification_dear_is_refused(bits: int) -> None:
    """A verification with 2047 bits of exponent costs as much as a signature."""
    numbers = VONAGE.private_key.private_numbers()
    order = (numbers.p - 1) * (numbers.q - 1)
    exponent = next(e for e in itertools.count(2 ** (bits - 1) + 1, 2) if math.gcd(e, order) == 1)

    with pytest.raises(ValueError, match=r"public exponent .* from 65537 to 2\*\*32"):
        VonageKey.from_pem("k", APPLICATION, _with_exponent(exponent))


def test_a_usual_public_exponent_is_taken() -> None:
    """Some tools use other ones than 65537."""
    numbers = VONAGE.private_key.private_numbers()
    order = (numbers.p - 1) * (numbers.q - 1)
    exponent = next(e for e in itertools.count(65539, 2) if math.gcd(e, order) == 1)

    key = VonageKey.from_pem("k", APPLICATION, _with_exponent(exponent))

    assert exponent == key.private_key.public_key().public_numbers().e


def _der(tag: int, content: bytes) -> bytes:
    """A value in DER."""
    length = len(content)
    size = b"" if length < 128 else length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(size) if size else length]) + size + content


def _pkcs1(*numbers: int) -> str:
    """An RSA private key with these numbers (RFC 8017, A.1.2), whatever they are."""
    content = b"".join(_der(2, number.to_bytes(number.bit_length() // 8 + 1)) for number in (0, *numbers))
    body = base64.encodebytes(_der(0x30, content)).decode()
    return f"-----BEGIN RSA PRIVATE KEY-----\n{body}-----END RSA PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    "damaged", ["", "n", "d", "p", "q", "dmp1", "dmq1", "iqmp", "p is 1", "n is even", "p is no prime", "d is long"]
)
def test_a_key_of_which_any_number_is_wrong_is_refused(damaged: str) -> None:
    """Without OpenSSL's own check, which holds up the whole process for half a second."""
    given = VONAGE.private_key.private_numbers()
    p, q, n, e, d = given.p, given.q, given.public_numbers.n, given.public_numbers.e, given.d
    iqmp = given.iqmp
    if damaged == "p is 1":
        p, q, iqmp = 1, n, 0
    elif damaged == "n is even":
        n, q, iqmp = p << 1024, 1 << 1024, pow(1 << 1024, -1, p)
    elif damaged == "p is no prime":
        odd = itertools.count(2**1023 + 2**1022 + 1, 2)
        p = next(c for c in odd if math.gcd(e, c - 1) == 1 and pow(2, c - 1, c) != 1)
        n, d, iqmp = p * q, pow(e, -1, math.lcm(p - 1, q - 1)), pow(q, -1, p)
    elif damaged == "d is long":
        # Its length decides what the arithmetic costs.
        d += math.lcm(p - 1, q - 1) << 4000
    names = ("n", "e", "d", "p", "q", "dmp1", "dmq1", "iqmp")
    values = dict(zip(names, (n, e, d, p, q, d % max(p - 1, 1), d % (q - 1), iqmp), strict=True))
    if damaged in values:
        values[damaged] += 2
    text = _pkcs1(*values.values())

    if damaged:
        with pytest.raises(ValueError, match="damaged"):
            VonageKey.from_pem("k", APPLICATION, text)
    else:
        assert given == VonageKey.from_pem("k", APPLICATION, text).private_key.private_numbers()


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


@pytest.mark.parametrize("line_break", ["\\n", "\\r\\n", "\r\n"])
def test_a_vonage_key_in_one_line_is_read(line_break: str) -> None:
    """A JSON text or a variable has its line breaks as two characters each."""
    key = VonageKey.from_pem("k", APPLICATION, VONAGE_PEM.replace("\n", line_break))

    assert VONAGE.private_key.private_numbers() == key.private_key.private_numbers()

"""Keys as PEM and DER: read, checked and written, with errors that never hold key material."""

from __future__ import annotations

import secrets

from typing import Final, TypeAlias

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
)

from tokenauthority.domain.key import Algorithm


PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
PublicKey: TypeAlias = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey

MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 4096
MAX_PEM: Final = 4096
"""Characters of a PEM file that is looked at. A 4096-bit key has about 3,300."""

_PUBLIC_EXPONENT: Final = 65_537
_EXPONENTS: Final = range(_PUBLIC_EXPONENT, 2**32, 2)
"""The public exponents that are used: to verify with a longer one costs as much as to sign."""

_ROCA_PRIMES: Final = tuple(p for p in range(3, 168) if all(p % q for q in range(2, p)))
_ROCA_RESIDUES: Final = {p: frozenset(pow(_PUBLIC_EXPONENT, power, p) for power in range(p - 1)) for p in _ROCA_PRIMES}
"""Remainders of the modulus by small primes, if a chip with ROCA made the key (CVE-2017-15361)."""

_LEAST_PRIME: Final = 4
"""The part of the modulus's bits that each prime has at least: a shorter one is found by curves."""

_PROBE: Final = 32
"""Random bytes that a new key has to sign."""


class UnusableKeyError(ValueError):
    """A key that is well-formed, but not one to use here. The message holds nothing of it."""


def generate_private_key(algorithm: Algorithm) -> PrivateKey:
    """Make a new key for *algorithm*: P-256, Ed25519, or RSA of 2048 bits."""
    match algorithm:
        case Algorithm.ES256:
            return ec.generate_private_key(ec.SECP256R1())
        case Algorithm.EDDSA:
            return ed25519.Ed25519PrivateKey.generate()
        case Algorithm.RS256:
            return rsa.generate_private_key(_PUBLIC_EXPONENT, MIN_RSA_BITS)


def load_rsa_pem(pem: str) -> rsa.RSAPrivateKey:
    r"""Parse the RSA key in *pem* (PKCS#1 or PKCS#8), and require that its numbers belong together.

    A key that stood in one line, with `\n` in place of line breaks, is read too: a JSON text or a variable has it so.

    OpenSSL's own check also proves that the primes are prime. That takes half a second for 4096 bits, in which the
    whole process stands still, and says no more than a signature that verifies: milliseconds.

    Raises:
        ValueError: there is none; it is encrypted, damaged, too long, or one that `require_rsa_key` refuses.
    """
    if len(pem) > MAX_PEM:
        raise ValueError(f"the private key must have at most {MAX_PEM} characters")
    if "ENCRYPTED" in pem:
        raise ValueError("the private key is encrypted: decrypt it first")
    if "PRIVATE KEY-----" not in pem:
        raise ValueError("there is no PEM private key (-----BEGIN PRIVATE KEY-----)")
    # A backslash has no other meaning in PEM.
    pem = pem.replace("\\r", "").replace("\\n", "\n")
    try:
        key = require_rsa_key(load_pem_private_key(pem.encode(), password=None, unsafe_skip_rsa_key_validation=True))
        _require_consistent(key)
    except UnusableKeyError:
        raise
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError, InvalidSignature):
        raise ValueError("the private key is damaged, cut off, or of an unknown kind") from None
    return key


def _require_consistent(key: rsa.RSAPrivateKey) -> None:
    """Raise ValueError, InternalError or InvalidSignature unless the numbers of *key* belong to one RSA key.

    Their lengths are asked first: they decide what the arithmetic costs.
    """
    numbers = key.private_numbers()
    p, q, d, public = numbers.p, numbers.q, numbers.d, numbers.public_numbers
    if max(p, q, d, numbers.dmp1, numbers.dmq1, numbers.iqmp) >= public.n:
        raise ValueError("the numbers do not belong together")
    if min(p.bit_length(), q.bit_length()) * _LEAST_PRIME < key.key_size:
        raise UnusableKeyError(f"each prime of the RSA key must have at least {key.key_size // _LEAST_PRIME} bits")
    if p * q != public.n or d * public.e % (p - 1) != 1 or d * public.e % (q - 1) != 1:
        raise ValueError("the numbers do not belong together")
    if (numbers.dmp1, numbers.dmq1, numbers.iqmp * q % p) != (d % (p - 1), d % (q - 1), 1):
        raise ValueError("the numbers do not belong together")
    probe = secrets.token_bytes(_PROBE)
    padding, digest = PKCS1v15(), SHA256()
    key.public_key().verify(key.sign(probe, padding, digest), probe, padding, digest)


def load_private_der(der: bytes) -> object:
    """Parse the private key that `private_der` wrote, or raise ValueError. It was sealed, so nothing is checked."""
    try:
        return load_der_private_key(der, password=None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("the stored private key cannot be read") from None


def private_der(key: PrivateKey) -> bytes:
    """Return *key* as unencrypted PKCS#8 DER, to be sealed."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def load_public_der(der: bytes) -> object:
    """Parse the public key that `public_der` wrote, or raise ValueError."""
    try:
        return load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("the stored public key cannot be read") from None


def public_der(key: PublicKey) -> bytes:
    """Return *key* as SubjectPublicKeyInfo in DER."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def require_public_key(algorithm: Algorithm, key: object) -> PublicKey:
    """Return *key*, or raise ValueError if it is not the public half of one for *algorithm*."""
    match algorithm, key:
        case Algorithm.ES256, ec.EllipticCurvePublicKey(curve=ec.SECP256R1()):
            return key
        case Algorithm.EDDSA, ed25519.Ed25519PublicKey():
            return key
        case Algorithm.RS256, rsa.RSAPublicKey():
            require_rsa_public_key(key)
            return key
    raise ValueError(f"the public key is not one for {algorithm}")


def require_private_key(algorithm: Algorithm, key: object) -> PrivateKey:
    """Return *key*, or raise ValueError if it is not one for *algorithm*."""
    match algorithm, key:
        case Algorithm.ES256, ec.EllipticCurvePrivateKey(curve=ec.SECP256R1()):
            return key
        case Algorithm.EDDSA, ed25519.Ed25519PrivateKey():
            return key
        case Algorithm.RS256, rsa.RSAPrivateKey():
            return require_rsa_key(key)
    raise ValueError(f"the key is not one for {algorithm}")


def require_rsa_key(key: object) -> rsa.RSAPrivateKey:
    """Return *key*, an RSA key whose public half is usable; raise UnusableKeyError."""
    if not isinstance(key, rsa.RSAPrivateKey):
        raise UnusableKeyError("the key is not an RSA key")
    require_rsa_public_key(key.public_key())
    return key


def require_rsa_public_key(key: rsa.RSAPublicKey, max_bits: int = MAX_RSA_BITS) -> None:
    """Require 2048 to *max_bits* bits, and an odd public exponent from 65537 to 2**32, of any RSA key that is used.

    Raises:
        UnusableKeyError: it has others, or a chip with ROCA made it, so that it can be factored.
    """
    numbers = key.public_numbers()
    if not MIN_RSA_BITS <= key.key_size <= max_bits:
        raise UnusableKeyError(f"the RSA key must have {MIN_RSA_BITS} to {max_bits} bits, has {key.key_size}")
    if numbers.e not in _EXPONENTS:
        raise UnusableKeyError(f"the public exponent of the RSA key must be odd, from {_PUBLIC_EXPONENT} to 2**32")
    if all(numbers.n % prime in left for prime, left in _ROCA_RESIDUES.items()):
        raise UnusableKeyError("the RSA key can be factored (CVE-2017-15361)")

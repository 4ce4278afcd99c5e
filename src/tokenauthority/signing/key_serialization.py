"""Keys as PEM and DER: read, checked and written, with errors that never hold key material."""

from __future__ import annotations

from typing import Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
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


class UnusableKeyError(ValueError):
    """A private key that is well-formed, but not one to sign with here."""


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
    """Parse the RSA key in *pem* (PKCS#1 or PKCS#8) and check all its numbers.

    The check takes a tenth of a second for 2048 bits and half a second for 4096, so the size is checked first.

    Raises:
        ValueError: there is none; it is encrypted, damaged, too long, or one that `require_rsa_key` refuses.
    """
    if len(pem) > MAX_PEM:
        raise ValueError(f"the private key must have at most {MAX_PEM} characters")
    if "ENCRYPTED" in pem:
        raise ValueError("the private key is encrypted: decrypt it first")
    if "PRIVATE KEY-----" not in pem:
        raise ValueError("there is no PEM private key (-----BEGIN PRIVATE KEY-----)")
    try:
        require_rsa_key(load_pem_private_key(pem.encode(), password=None, unsafe_skip_rsa_key_validation=True))
        return require_rsa_key(load_pem_private_key(pem.encode(), password=None))
    except UnusableKeyError:
        raise
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("the private key is damaged, cut off, or of an unknown kind") from None


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
            if MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS and key.public_numbers().e >= _PUBLIC_EXPONENT:
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
    """Return *key*, which must be an RSA key of 2048 to 4096 bits with a public exponent of at least 65537.

    Raises:
        UnusableKeyError: it is not.
    """
    if not isinstance(key, rsa.RSAPrivateKey):
        raise UnusableKeyError("the key is not an RSA key")
    if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise UnusableKeyError(f"the RSA key must have {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, has {key.key_size}")
    if key.public_key().public_numbers().e < _PUBLIC_EXPONENT:
        raise UnusableKeyError(f"the public exponent of the RSA key must be at least {_PUBLIC_EXPONENT}")
    return key

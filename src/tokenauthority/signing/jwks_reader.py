"""Read a JWKS (RFC 7517) of another issuer: each usable key, bound to its one algorithm."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

import attrs

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt import PyJWTError, get_algorithm_by_name

from tokenauthority.domain.token import TokenRejectedError
from tokenauthority.signing.claims import Json, json_object
from tokenauthority.signing.jose import SignatureVerifier
from tokenauthority.signing.key_serialization import MIN_RSA_BITS, PublicKey


MAX_JWKS: Final = 262_144
"""Bytes of a JWKS."""

MAX_KEYS: Final = 100
MAX_KEY_ID: Final = 255
MAX_RSA_BITS: Final = 8192
"""A longer key of an issuer would make each verification slow."""

_MIN_EXPONENT: Final = 65_537
_MAX_EXPONENT: Final = 2**32
_CURVES: Final = {
    ("EC", "P-256"): "ES256",
    ("EC", "P-384"): "ES384",
    ("EC", "P-521"): "ES512",
    ("OKP", "Ed25519"): "EdDSA",
}
_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_ROCA_PRIMES: Final = tuple(p for p in range(3, 168) if all(p % q for q in range(2, p)))
_ROCA_RESIDUES: Final = {p: frozenset(pow(65_537, power, p) for power in range(p - 1)) for p in _ROCA_PRIMES}
"""Remainders of the modulus by small primes, if a chip with ROCA made the key (CVE-2017-15361)."""

_SECRET_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class JwksError(Exception):
    """The JWKS cannot be used or fetched. The message holds nothing of its content."""


@attrs.frozen
class JwksKey:
    """A public key of an issuer; equal to another with the same id, algorithm and key."""

    key_id: str
    algorithm: str
    material: bytes = attrs.field(repr=False)
    verifier: SignatureVerifier = attrs.field(repr=False, eq=False)


@attrs.frozen
class Jwks:
    """The usable keys by `kid`, and the number of the others."""

    keys: Mapping[str, JwksKey] = attrs.field(factory=lambda: MappingProxyType({}))
    unusable: int = 0


def parse_jwks(data: bytes, algorithms: Collection[str]) -> Jwks:
    """Return the keys of *data* that verify one of *algorithms*.

    A key without `kid`, for another use, of another type, too weak, or with its private half is ignored, as RFC 7517,
    section 5 asks; a set without any usable key revokes all keys.

    Raises:
        JwksError: *data* is no JSON object with a list of at most 100 keys, or one `kid` stands for two usable keys.
    """
    try:
        written = json_object(data, "JWKS").get("keys")
    except TokenRejectedError as error:
        raise JwksError(error.detail) from None
    if not isinstance(written, list) or len(written) > MAX_KEYS:
        raise JwksError(f"the JWKS has no list of at most {MAX_KEYS} keys")
    found: dict[str, JwksKey] = {}
    for member in written:
        key = _usable_key(member, algorithms) if isinstance(member, dict) else None
        if key is None:
            continue
        if key.key_id in found:
            raise JwksError("one kid stands for two keys of the JWKS")
        found[key.key_id] = key
    return Jwks(MappingProxyType(found), len(written) - len(found))


def _usable_key(jwk: Mapping[str, Json], algorithms: Collection[str]) -> JwksKey | None:
    key_id, algorithm = jwk.get("kid"), _algorithm(jwk, algorithms)
    if not isinstance(key_id, str) or not 1 <= len(key_id) <= MAX_KEY_ID or not algorithm:
        return None
    if jwk.get("use", "sig") != "sig" or not _may_verify(jwk.get("key_ops")) or _SECRET_MEMBERS & jwk.keys():
        return None
    try:
        key: PublicKey = get_algorithm_by_name(algorithm).from_jwk(dict(jwk))
        if isinstance(key, RSAPublicKey) and not _is_strong(key):
            return None
        material = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return JwksKey(key_id, algorithm, material, SignatureVerifier(algorithm, key))
    except (PyJWTError, UnsupportedAlgorithm, ValueError, TypeError):
        return None


def _algorithm(jwk: Mapping[str, Json], algorithms: Collection[str]) -> str:
    """Return the one algorithm of the key, or nothing: its type decides, and its `alg` must agree."""
    kind, curve, named = jwk.get("kty"), jwk.get("crv"), jwk.get("alg")
    if kind == "RSA":
        possible = _RSA.intersection(algorithms)
    else:
        fits = _CURVES.get((kind, curve)) if isinstance(kind, str) and isinstance(curve, str) else None
        possible = frozenset({fits} if fits is not None and fits in algorithms else ())
    if named is not None:
        return named if isinstance(named, str) and named in possible else ""
    return next(iter(possible)) if len(possible) == 1 else ""


def _may_verify(key_ops: Json) -> bool:
    return key_ops is None or (isinstance(key_ops, list) and "verify" in key_ops)


def _is_strong(key: RSAPublicKey) -> bool:
    numbers = key.public_numbers()
    exponent_is_usual = numbers.e % 2 == 1 and _MIN_EXPONENT <= numbers.e < _MAX_EXPONENT
    can_be_factored = all(numbers.n % prime in left for prime, left in _ROCA_RESIDUES.items())
    return MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS and exponent_is_usual and not can_be_factored

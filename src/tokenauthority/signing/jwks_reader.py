"""Read a JWKS (RFC 7517) of another issuer: what each `kid` verifies, and which keys cannot be used and why."""

from __future__ import annotations

import json

from collections import defaultdict
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

import attrs

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWTError, get_algorithm_by_name

from tokenauthority.signing.claims import Json
from tokenauthority.signing.jose import SignatureVerifier, canonical_algorithm
from tokenauthority.signing.key_serialization import PublicKey, UnusableKeyError, public_der, require_rsa_public_key


MAX_JWKS: Final = 262_144
"""Bytes of a JWKS."""

MAX_KEYS: Final = 100
MAX_KEY_ID: Final = 255
MAX_RSA_BITS: Final = 8192
"""A longer key of an issuer would make each verification slow."""

_MAX_NUMBER: Final = 1400
"""Characters of a number of a key: 8192 bits in base64url have 1366."""

_CURVES: Final = {
    ("EC", "P-256"): "ES256",
    ("EC", "P-384"): "ES384",
    ("EC", "P-521"): "ES512",
    ("OKP", "Ed25519"): "EdDSA",
}
_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_USES: Final = ("sig", "jwt-svid")
"""RFC 7517, and SPIFFE's trust bundle for keys of JWT-SVIDs."""

_NUMBERS: Final = ("n", "e", "x", "y")
_SECRET_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_MAX_NAMED: Final = 10
_MAX_QUOTED: Final = 60


class JwksError(Exception):
    """The JWKS cannot be used or fetched. The message holds nothing of its content."""


@attrs.frozen
class JwksKey:
    """What one `kid` of an issuer stands for: `keys` has a public key in DER for each algorithm that it verifies."""

    key_id: str
    keys: Mapping[str, bytes] = attrs.field(repr=False, hash=False)
    verifier: SignatureVerifier = attrs.field(repr=False, eq=False)


@attrs.frozen
class UnusableKey:
    """A key of a JWKS that verifies nothing. `name` is its quoted `kid`, or its place in the list from 1."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} {self.reason}"


@attrs.frozen
class Jwks:
    """The usable keys by `kid`, and the others."""

    keys: Mapping[str, JwksKey] = attrs.field(factory=lambda: MappingProxyType({}))
    unusable: tuple[UnusableKey, ...] = ()

    def describe_unusable(self) -> list[str]:
        """Return a text for each unusable key, and one for all after the tenth: for logs and `/readyz`."""
        more = len(self.unusable) - _MAX_NAMED
        return [*map(str, self.unusable[:_MAX_NAMED]), *([f"and {more} more"] if more > 0 else [])]


class _UnusableMemberError(ValueError):
    """Why a member of the list verifies nothing."""


class _AmbiguousObject(dict[str, Json]):
    """A JSON object in which a name stands twice."""


def parse_jwks(data: bytes, algorithms: Collection[str]) -> Jwks:
    """Return the keys of *data* that verify one of *algorithms*, which have the names of `canonical_algorithm`.

    One invalid key takes no other with it (RFC 7517, section 5). A key without `kid`, for another use, of another type,
    too weak, or with its private half is unusable. So are the keys after the 100th, and two keys that one `kid` stands
    for under one algorithm. A member that is null is absent. A key without `alg` verifies each of *algorithms* that its
    type and curve can. A set without any usable key revokes all keys.

    Raises:
        JwksError: *data* is no JSON object with a list of keys.
    """
    written = _list_of_keys(data)
    places: dict[tuple[str, str], dict[bytes, PublicKey]] = defaultdict(dict)
    unusable = []
    for number, member in enumerate(written[:MAX_KEYS], start=1):
        try:
            key_id, key, possible = _read_key(member, algorithms)
            der = public_der(key)
            # What verifies with it is made here too, where an error is that of one key.
            SignatureVerifier(dict.fromkeys(possible, key))
        except _UnusableMemberError as error:
            unusable.append(UnusableKey(_name_of(number, member), str(error)))
            continue
        except Exception as error:  # noqa: BLE001 - whatever a library raises for one key must not take the others
            unusable.append(UnusableKey(_name_of(number, member), f"cannot be read: {type(error).__name__}"))
            continue
        for algorithm in possible:
            places[key_id, algorithm][der] = key
    found: dict[str, dict[str, PublicKey]] = defaultdict(dict)
    for (key_id, algorithm), keys in places.items():
        if len(keys) == 1:
            found[key_id][algorithm] = next(iter(keys.values()))
        else:
            unusable.append(UnusableKey(_quote(key_id), f"stands for {len(keys)} keys of {algorithm}"))
    if len(written) > MAX_KEYS:
        unusable.append(UnusableKey(f"key {MAX_KEYS + 1}", f"and all after it: only {MAX_KEYS} keys are read"))
    return Jwks(MappingProxyType({kid: _jwks_key(kid, keys) for kid, keys in found.items()}), tuple(unusable))


def _list_of_keys(data: bytes) -> list[Json]:
    try:
        document: Json = _DECODER.decode(data.decode(json.detect_encoding(data)))
    except (ValueError, RecursionError):
        raise JwksError("the JWKS is not plain JSON in UTF-8") from None
    written = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(written, list) or isinstance(document, _AmbiguousObject):
        raise JwksError("the JWKS is not a JSON object with one list of keys")
    return written


def _read_key(member: Json, algorithms: Collection[str]) -> tuple[str, PublicKey, frozenset[str]]:
    """Return the key's id, the key, and the algorithms that it verifies; raise `_UnusableMemberError`."""
    if not isinstance(member, dict) or isinstance(member, _AmbiguousObject):
        raise _UnusableMemberError("is no JSON object, or has a member twice")
    jwk = {name: value for name, value in member.items() if value is not None}
    key_id, use, key_ops = jwk.get("kid"), jwk.get("use", "sig"), jwk.get("key_ops", ["verify"])
    if not isinstance(key_id, str) or not 1 <= len(key_id) <= MAX_KEY_ID:
        raise _UnusableMemberError(f"has no kid of 1 to {MAX_KEY_ID} characters")
    if use not in _USES:
        raise _UnusableMemberError(f"has a use other than {' and '.join(_USES)}")
    if not isinstance(key_ops, list) or "verify" not in key_ops:
        raise _UnusableMemberError("has key_ops without verify")
    if _SECRET_MEMBERS & jwk.keys():
        raise _UnusableMemberError("is a private or shared key")
    possible = _algorithms_of(jwk, algorithms)
    if any(isinstance(number := jwk.get(name), str) and len(number) > _MAX_NUMBER for name in _NUMBERS):
        raise _UnusableMemberError(f"has a number of more than {_MAX_NUMBER} characters")
    try:
        key: PublicKey = get_algorithm_by_name(min(possible)).from_jwk(jwk)
    except (PyJWTError, UnsupportedAlgorithm, ValueError, TypeError):
        raise _UnusableMemberError(f"is no valid public key: {', '.join(_NUMBERS)} are invalid or absent") from None
    if isinstance(key, RSAPublicKey):
        try:
            require_rsa_public_key(key, MAX_RSA_BITS)
        except UnusableKeyError as error:
            raise _UnusableMemberError(f"cannot be used: {error}") from None
    return key_id, key, possible


def _algorithms_of(jwk: Mapping[str, Json], algorithms: Collection[str]) -> frozenset[str]:
    """Return the algorithms that the key verifies: its type and curve decide, and its `alg` must agree."""
    kind, curve, named = jwk.get("kty"), jwk.get("crv"), jwk.get("alg")
    fitting = _RSA if kind == "RSA" else frozenset(name for key, name in _CURVES.items() if key == (kind, curve))
    possible = fitting.intersection(algorithms)
    if not fitting:
        raise _UnusableMemberError("has a kty or crv that is not supported")
    if not possible:
        raise _UnusableMemberError("has a kty and crv that none of the accepted algorithms uses")
    if named is None:
        return possible
    if not isinstance(named, str) or canonical_algorithm(named) not in possible:
        raise _UnusableMemberError(f"has an alg other than {', '.join(sorted(possible))}")
    return frozenset({canonical_algorithm(named)})


def _jwks_key(key_id: str, keys: Mapping[str, PublicKey]) -> JwksKey:
    written = MappingProxyType({algorithm: public_der(key) for algorithm, key in keys.items()})
    return JwksKey(key_id, written, SignatureVerifier(keys))


def _name_of(number: int, member: Json) -> str:
    key_id = member.get("kid") if isinstance(member, dict) else None
    return _quote(key_id) if isinstance(key_id, str) and key_id else f"key {number}"


def _quote(key_id: str) -> str:
    """Return the kid in ASCII, as an issuer may write anything there, and cut off if it is long."""
    return f"kid {json.dumps(key_id if len(key_id) <= _MAX_QUOTED else key_id[:_MAX_QUOTED] + '...')}"


def _object_of(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _AmbiguousObject(found)


def _zero(_: str) -> int:
    return 0


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object_of, parse_int=_zero, parse_float=_zero, parse_constant=_zero
)
"""Reads each number as 0: no member that counts is a number, and one that is too long must not fail the others."""

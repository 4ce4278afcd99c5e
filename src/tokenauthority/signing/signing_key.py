"""The authority's own signing keys: parsed once, each bound to its algorithm; `repr` and errors never show them."""

from __future__ import annotations

import hashlib

from collections.abc import Callable, Mapping
from typing import Final

import attrs
import msgspec

from jwt import get_algorithm_by_name

from tokenauthority.domain.key import Algorithm
from tokenauthority.signing.jose import LocalSigner, SignatureVerifier, Signer, encode_segment
from tokenauthority.signing.key_serialization import (
    PrivateKey,
    PublicKey,
    generate_private_key,
    load_private_der,
    private_der,
    require_private_key,
    require_public_key,
)


SESSION_JWT_TYPE: Final = "session+jwt"

_JWK_MEMBERS: Final = {
    Algorithm.ES256: ("crv", "kty", "x", "y"),
    Algorithm.EDDSA: ("crv", "kty", "x"),
    Algorithm.RS256: ("e", "kty", "n"),
}
"""The members that RFC 7638 and RFC 8037 hash, in the order in which they do."""


@attrs.frozen
class VerifyingKey:
    """The public half of a signing key. `jwk` has the members of RFC 7517 with `use`, `alg` and `kid`."""

    key_id: str
    algorithm: Algorithm
    jwk: dict[str, str] = attrs.field(repr=False, hash=False)
    verifier: SignatureVerifier = attrs.field(repr=False, eq=False)


@attrs.frozen
class SigningKey:
    """A key of the authority itself. `key_id` is the thumbprint of its public half (RFC 7638).

    A `remote` key is with a key provider: its signer blocks, so it must not be called on the event loop.
    """

    key_id: str
    algorithm: Algorithm
    public: VerifyingKey = attrs.field(repr=False)
    public_key: PublicKey = attrs.field(repr=False, eq=False)
    signer: Signer = attrs.field(repr=False, eq=False)
    _private_key: PrivateKey | None = attrs.field(repr=False, eq=False)
    remote: bool = attrs.field(init=False, eq=False)

    @remote.default
    def _is_remote(self) -> bool:
        return self._private_key is None

    @classmethod
    def generate(cls, algorithm: Algorithm) -> SigningKey:
        """Make a new key: P-256, Ed25519, or RSA of 2048 bits."""
        return cls.local(algorithm, generate_private_key(algorithm))

    @classmethod
    def from_der(cls, algorithm: Algorithm, der: bytes) -> SigningKey:
        """Parse the key that `to_der` wrote; ValueError if it is none, or not one for *algorithm*."""
        return cls.local(algorithm, load_private_der(der))

    @classmethod
    def local(cls, algorithm: Algorithm, private_key: object) -> SigningKey:
        """Prepare *private_key* for *algorithm*, or raise ValueError if the one is not for the other."""
        key = require_private_key(algorithm, private_key)
        public_key = key.public_key()
        public = _public_half(algorithm, public_key)
        return cls(public.key_id, algorithm, public, public_key, LocalSigner(algorithm, key, _header(public)), key)

    @classmethod
    def located(
        cls, algorithm: Algorithm, public_key: object, signer_of: Callable[[str, Mapping[str, str]], Signer]
    ) -> SigningKey:
        """Prepare a key whose private half is elsewhere; *signer_of* makes its signer from its id and JOSE header.

        Raises:
            ValueError: *public_key* is none for *algorithm*.
        """
        checked_key = require_public_key(algorithm, public_key)
        public = _public_half(algorithm, checked_key)
        return cls(public.key_id, algorithm, public, checked_key, signer_of(public.key_id, _header(public)), None)

    @property
    def private_key(self) -> PrivateKey:
        """Return the private half, or raise LookupError if the key is remote."""
        if self._private_key is None:
            raise LookupError(f"the private half of signing key {self.key_id} is with a key provider")
        return self._private_key

    def to_der(self) -> bytes:
        """Return the private key as unencrypted PKCS#8 DER, to be sealed; LookupError if the key is remote."""
        return private_der(self.private_key)


def _header(public: VerifyingKey) -> dict[str, str]:
    return {"alg": public.algorithm.value, "typ": SESSION_JWT_TYPE, "kid": public.key_id}


def _public_half(algorithm: Algorithm, key: PublicKey) -> VerifyingKey:
    described = get_algorithm_by_name(algorithm).to_jwk(key, as_dict=True)
    members = {name: str(described[name]) for name in _JWK_MEMBERS[algorithm]}
    thumbprint = encode_segment(hashlib.sha256(msgspec.json.encode(members)).digest()).decode()
    jwk = {**members, "use": "sig", "alg": algorithm.value, "kid": thumbprint}
    return VerifyingKey(thumbprint, algorithm, jwk, SignatureVerifier({algorithm: key}))

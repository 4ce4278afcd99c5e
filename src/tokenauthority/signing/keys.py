"""Key objects: parsed once, each bound to its algorithm, none of which shows its secret in `repr` or in an error."""

from __future__ import annotations

import hashlib

from typing import Final

import attrs
import msgspec

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)
from jwt import get_algorithm_by_name

from tokenauthority.domain.ids import is_uuid
from tokenauthority.domain.key import Algorithm
from tokenauthority.domain.project import is_secret
from tokenauthority.signing.jose import PrivateKey, PublicKey, Signer, Verifier, encode_segment


MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 4096
MAX_PEM: Final = 16_384
"""Characters of a PEM file that is looked at. A 4096-bit key has about 3,300."""

SESSION_JWT_TYPE: Final = "session+jwt"

_PUBLIC_EXPONENT: Final = 65_537
_JWK_MEMBERS: Final = {
    Algorithm.ES256: ("crv", "kty", "x", "y"),
    Algorithm.EDDSA: ("crv", "kty", "x"),
    Algorithm.RS256: ("e", "kty", "n"),
}
"""The members that RFC 7638 and RFC 8037 hash, in the order in which they do."""


@attrs.frozen
class ProjectSecret:
    """A live secret of a project: 40 hex characters, the HMAC key of OPENTOK_T1 (SHA-1) and OPENTOK_JWT (HS256)."""

    secret_id: str
    value: str = attrs.field(repr=False)
    hmac_key: bytes = attrs.field(init=False, repr=False, eq=False)
    signer: Signer = attrs.field(init=False, repr=False, eq=False)
    verifier: Verifier = attrs.field(init=False, repr=False, eq=False)

    @value.validator
    def _has_its_shape(self, _attribute: attrs.Attribute[str], value: str) -> None:
        if not is_secret(value):
            raise ValueError(f"project secret {self.secret_id} is not 40 hex characters")

    @hmac_key.default
    def _bytes(self) -> bytes:
        return self.value.encode()

    @signer.default
    def _prepared_signer(self) -> Signer:
        return Signer("HS256", self.hmac_key, {"alg": "HS256", "typ": "JWT"})

    @verifier.default
    def _prepared_verifier(self) -> Verifier:
        return Verifier("HS256", self.hmac_key)


@attrs.frozen
class VonageKey:
    """The RSA key of a Vonage application (a UUID, kept in lower case), imported into a project."""

    key_id: str
    application_id: str = attrs.field(converter=str.lower)
    private_key: rsa.RSAPrivateKey = attrs.field(repr=False, eq=False)
    signer: Signer = attrs.field(init=False, repr=False, eq=False)
    verifier: Verifier = attrs.field(init=False, repr=False, eq=False)

    @application_id.validator
    def _is_a_uuid(self, _attribute: attrs.Attribute[str], value: str) -> None:
        if not is_uuid(value):
            raise ValueError("a Vonage application id is a UUID")

    @signer.default
    def _prepared_signer(self) -> Signer:
        return Signer("RS256", self.private_key, {"alg": "RS256", "typ": "JWT"})

    @verifier.default
    def _prepared_verifier(self) -> Verifier:
        return Verifier("RS256", self.private_key.public_key())

    @classmethod
    def from_pem(cls, key_id: str, application_id: str, pem: str) -> VonageKey:
        """The key in *pem*, as Vonage hands it out.

        Raises:
            ValueError: it is no unencrypted RSA private key (PKCS#1 or PKCS#8) of 2048 to 4096 bits with a usual public
                exponent, or *application_id* is no UUID. The text never holds key material.
        """
        return cls(key_id, application_id, _checked_rsa(_load_pem(pem)))

    @classmethod
    def from_der(cls, key_id: str, application_id: str, der: bytes) -> VonageKey:
        """The key that `to_der` wrote.

        Raises:
            ValueError: *der* is no such key.
        """
        return cls(key_id, application_id, _checked_rsa(_load_der(der)))

    def to_der(self) -> bytes:
        """The private key as unencrypted PKCS#8 DER, to be sealed."""
        return _to_der(self.private_key)


@attrs.frozen
class ProjectKeys:
    """The keys of one project: its live secrets, newest first, and its Vonage key if it has one."""

    project_id: str
    secrets: tuple[ProjectSecret, ...] = ()
    vonage: VonageKey | None = None


@attrs.frozen
class VerifyingKey:
    """The public half of a signing key. `jwk` has the members of RFC 7517 with `use`, `alg` and `kid`."""

    key_id: str
    algorithm: Algorithm
    jwk: dict[str, str] = attrs.field(repr=False)
    verifier: Verifier = attrs.field(repr=False, eq=False)


@attrs.frozen
class SigningKey:
    """A key of the authority itself. `key_id` is the thumbprint of its public half (RFC 7638)."""

    key_id: str
    algorithm: Algorithm
    public: VerifyingKey = attrs.field(repr=False)
    signer: Signer = attrs.field(repr=False, eq=False)
    private_key: PrivateKey = attrs.field(repr=False, eq=False)

    @classmethod
    def generate(cls, algorithm: Algorithm) -> SigningKey:
        """A new key: P-256, Ed25519, or RSA of 2048 bits."""
        match algorithm:
            case Algorithm.ES256:
                return cls.of(algorithm, ec.generate_private_key(ec.SECP256R1()))
            case Algorithm.EDDSA:
                return cls.of(algorithm, ed25519.Ed25519PrivateKey.generate())
            case Algorithm.RS256:
                return cls.of(algorithm, rsa.generate_private_key(_PUBLIC_EXPONENT, MIN_RSA_BITS))

    @classmethod
    def from_der(cls, algorithm: Algorithm, der: bytes) -> SigningKey:
        """The key that `to_der` wrote.

        Raises:
            ValueError: *der* is no private key, or one that *algorithm* cannot use.
        """
        return cls.of(algorithm, _load_der(der))

    @classmethod
    def of(cls, algorithm: Algorithm, private_key: object) -> SigningKey:
        """*private_key*, prepared for *algorithm*.

        Raises:
            ValueError: the one is not for the other.
        """
        checked = _checked(algorithm, private_key)
        public = _public_half(algorithm, checked.public_key())
        header = {"alg": algorithm.value, "typ": SESSION_JWT_TYPE, "kid": public.key_id}
        return cls(public.key_id, algorithm, public, Signer(algorithm, checked, header), checked)

    def to_der(self) -> bytes:
        """The private key as unencrypted PKCS#8 DER, to be sealed."""
        return _to_der(self.private_key)


def _public_half(algorithm: Algorithm, key: PublicKey) -> VerifyingKey:
    described = get_algorithm_by_name(algorithm).to_jwk(key, as_dict=True)
    members = {name: str(described[name]) for name in _JWK_MEMBERS[algorithm]}
    thumbprint = encode_segment(hashlib.sha256(msgspec.json.encode(members)).digest()).decode()
    jwk = {**members, "use": "sig", "alg": algorithm.value, "kid": thumbprint}
    return VerifyingKey(thumbprint, algorithm, jwk, Verifier(algorithm, key))


def _checked(algorithm: Algorithm, key: object) -> PrivateKey:
    match algorithm, key:
        case Algorithm.ES256, ec.EllipticCurvePrivateKey(curve=ec.SECP256R1()):
            return key
        case Algorithm.EDDSA, ed25519.Ed25519PrivateKey():
            return key
        case Algorithm.RS256, rsa.RSAPrivateKey():
            return _checked_rsa(key)
    raise ValueError(f"the key is not one for {algorithm}")


def _checked_rsa(key: object) -> rsa.RSAPrivateKey:
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("the key is not an RSA key")  # noqa: TRY004 - a wrong file, not a wrong call
    if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise ValueError(f"the RSA key must have {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, has {key.key_size}")
    if key.public_key().public_numbers().e < _PUBLIC_EXPONENT:
        raise ValueError(f"the public exponent of the RSA key must be at least {_PUBLIC_EXPONENT}")
    return key


def _load_pem(pem: str) -> object:
    if len(pem) > MAX_PEM:
        raise ValueError(f"the private key must have at most {MAX_PEM} characters")
    if "ENCRYPTED" in pem:
        raise ValueError("the private key is encrypted: decrypt it first")
    if "PRIVATE KEY-----" not in pem:
        raise ValueError("there is no PEM private key (-----BEGIN PRIVATE KEY-----)")
    try:
        return load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("the private key cannot be read: damaged, cut off, or of an unknown kind") from None


def _load_der(der: bytes) -> object:
    try:
        return load_der_private_key(der, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("the stored private key cannot be read") from None


def _to_der(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

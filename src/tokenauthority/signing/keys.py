"""Key objects: parsed once, each bound to its algorithm; `repr` and errors never show a secret."""

from __future__ import annotations

import hashlib

from collections.abc import Callable, Mapping
from typing import Final

import attrs
import msgspec

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from jwt import get_algorithm_by_name

from tokenauthority.domain.ids import is_uuid
from tokenauthority.domain.key import Algorithm
from tokenauthority.domain.project import is_secret
from tokenauthority.domain.token import TokenFormat
from tokenauthority.signing.codec import Unverified, key_unknown
from tokenauthority.signing.jose import LocalSigner, SignatureVerifier, Signer, encode_segment
from tokenauthority.signing.private_keys import (
    PrivateKey,
    PublicKey,
    checked,
    checked_public,
    checked_rsa,
    generate,
    load_der,
    load_rsa_pem,
    to_der,
)


SESSION_JWT_TYPE: Final = "session+jwt"

_JWK_MEMBERS: Final = {
    Algorithm.ES256: ("crv", "kty", "x", "y"),
    Algorithm.EDDSA: ("crv", "kty", "x"),
    Algorithm.RS256: ("e", "kty", "n"),
}
"""The members that RFC 7638 and RFC 8037 hash, in the order in which they do."""


def _secret(text: str) -> str:
    if not is_secret(text):
        raise ValueError("a project secret is 40 hex characters")
    return text


def _application_id(text: str) -> str:
    if not is_uuid(text):
        raise ValueError("a Vonage application id is a UUID")
    return text.lower()


@attrs.frozen
class ProjectSecret:
    """A live secret of a project: 40 hex characters, the HMAC key of OPENTOK_T1 and OPENTOK_JWT.

    Raises:
        ValueError: *value* has another shape.
    """

    secret_id: str
    value: str = attrs.field(converter=_secret, repr=False)
    hmac_key: bytes = attrs.field(init=False, repr=False, eq=False)
    signer: Signer = attrs.field(init=False, repr=False, eq=False)
    verifier: SignatureVerifier = attrs.field(init=False, repr=False, eq=False)

    @hmac_key.default
    def _bytes(self) -> bytes:
        return self.value.encode()

    @signer.default
    def _prepared_signer(self) -> Signer:
        return LocalSigner("HS256", self.hmac_key, {"alg": "HS256", "typ": "JWT"})

    @verifier.default
    def _prepared_verifier(self) -> SignatureVerifier:
        return SignatureVerifier("HS256", self.hmac_key)


@attrs.frozen
class VonageKey:
    """The RSA key of a Vonage application (a UUID, kept in lower case), imported into a project.

    Raises:
        ValueError: the key has not 2048 to 4096 bits and a usual exponent, or the application id is no UUID.
    """

    key_id: str
    application_id: str = attrs.field(converter=_application_id)
    private_key: RSAPrivateKey = attrs.field(converter=checked_rsa, repr=False, eq=False)
    signer: Signer = attrs.field(init=False, repr=False, eq=False)
    verifier: SignatureVerifier = attrs.field(init=False, repr=False, eq=False)

    @signer.default
    def _prepared_signer(self) -> Signer:
        return LocalSigner("RS256", self.private_key, {"alg": "RS256", "typ": "JWT"})

    @verifier.default
    def _prepared_verifier(self) -> SignatureVerifier:
        return SignatureVerifier("RS256", self.private_key.public_key())

    @classmethod
    def from_pem(cls, key_id: str, application_id: str, pem: str) -> VonageKey:
        """The key in *pem*, as Vonage hands it out: unencrypted, PKCS#1 or PKCS#8.

        Raises:
            ValueError: it is none, or not a usable one. The text never holds key material.
        """
        return cls(key_id, application_id, load_rsa_pem(pem))

    @classmethod
    def from_der(cls, key_id: str, application_id: str, der: bytes) -> VonageKey:
        """The key that `to_der` wrote.

        Raises:
            ValueError: *der* is no such key.
        """
        return cls(key_id, application_id, load_der(der))

    def to_der(self) -> bytes:
        """The private key as unencrypted PKCS#8 DER, to be sealed."""
        return to_der(self.private_key)


@attrs.frozen
class ProjectKeys:
    """The keys of one project: its live secrets, newest first, and its Vonage key if it has one."""

    project_id: str
    secrets: tuple[ProjectSecret, ...] = ()
    vonage: VonageKey | None = None

    def live_secrets(self, unverified: Unverified, token_format: TokenFormat) -> tuple[ProjectSecret, ...]:
        """The secrets that may have signed *unverified*, which must be a *token_format* of this project.

        Raises:
            TokenRejectedError: `KEY_UNKNOWN`, it is not, or the project has no secret.
        """
        if unverified.format is not token_format or unverified.claims.project_id != self.project_id:
            raise key_unknown("the keys are not those of the token's project")
        if not self.secrets:
            raise key_unknown("the project has no secret")
        return self.secrets


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

    One that is `remote` signs elsewhere: its signer blocks, and must not be asked on the event loop.
    """

    key_id: str
    algorithm: Algorithm
    public: VerifyingKey = attrs.field(repr=False)
    public_key: PublicKey = attrs.field(repr=False, eq=False)
    signer: Signer = attrs.field(repr=False, eq=False)
    _private_key: PrivateKey | None = attrs.field(repr=False, eq=False)
    remote: bool = attrs.field(init=False, eq=False)

    @remote.default
    def _lives_elsewhere(self) -> bool:
        return self._private_key is None

    @classmethod
    def generate(cls, algorithm: Algorithm) -> SigningKey:
        """A new key: P-256, Ed25519, or RSA of 2048 bits."""
        return cls.of(algorithm, generate(algorithm))

    @classmethod
    def from_der(cls, algorithm: Algorithm, der: bytes) -> SigningKey:
        """The key that `to_der` wrote.

        Raises:
            ValueError: *der* is no private key, or one that *algorithm* cannot use.
        """
        return cls.of(algorithm, load_der(der))

    @classmethod
    def of(cls, algorithm: Algorithm, private_key: object) -> SigningKey:
        """*private_key*, prepared for *algorithm*.

        Raises:
            ValueError: the one is not for the other.
        """
        key = checked(algorithm, private_key)
        public_key = key.public_key()
        public = _public_half(algorithm, public_key)
        return cls(public.key_id, algorithm, public, public_key, LocalSigner(algorithm, key, _header(public)), key)

    @classmethod
    def located(
        cls, algorithm: Algorithm, public_key: object, signer_of: Callable[[str, Mapping[str, str]], Signer]
    ) -> SigningKey:
        """A key whose private half is elsewhere: *signer_of* makes its signer of the key's id and JOSE header.

        Raises:
            ValueError: *public_key* is none for *algorithm*.
        """
        checked_key = checked_public(algorithm, public_key)
        public = _public_half(algorithm, checked_key)
        return cls(public.key_id, algorithm, public, checked_key, signer_of(public.key_id, _header(public)), None)

    @property
    def private_key(self) -> PrivateKey:
        """The private half. LookupError where the key is remote."""
        if self._private_key is None:
            raise LookupError(f"the private half of signing key {self.key_id} lives elsewhere")
        return self._private_key

    def to_der(self) -> bytes:
        """The private key as unencrypted PKCS#8 DER, to be sealed. LookupError where the key is remote."""
        return to_der(self.private_key)


def _header(public: VerifyingKey) -> dict[str, str]:
    return {"alg": public.algorithm.value, "typ": SESSION_JWT_TYPE, "kid": public.key_id}


def _public_half(algorithm: Algorithm, key: PublicKey) -> VerifyingKey:
    described = get_algorithm_by_name(algorithm).to_jwk(key, as_dict=True)
    members = {name: str(described[name]) for name in _JWK_MEMBERS[algorithm]}
    thumbprint = encode_segment(hashlib.sha256(msgspec.json.encode(members)).digest()).decode()
    jwk = {**members, "use": "sig", "alg": algorithm.value, "kid": thumbprint}
    return VerifyingKey(thumbprint, algorithm, jwk, SignatureVerifier(algorithm, key))

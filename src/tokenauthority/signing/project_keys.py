"""The keys of a project: its secrets and its Vonage key, parsed once; `repr` and errors never show them."""

from __future__ import annotations

import attrs

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from tokenauthority.domain.credential import CredentialKind
from tokenauthority.domain.ids import is_uuid
from tokenauthority.domain.project import is_secret, is_server_secret
from tokenauthority.signing.jose import LocalSigner, SignatureVerifier, Signer
from tokenauthority.signing.key_serialization import load_private_der, load_rsa_pem, private_der, require_rsa_key
from tokenauthority.signing.mac import Mac
from tokenauthority.signing.mac_signer import MacSigner


def _secret(text: str) -> str:
    if not (is_secret(text) or is_server_secret(text)):
        raise ValueError("a project secret is 40 hex characters, or one of LiveKit or Jitsi")
    return text


def _application_id(text: str) -> str:
    if not is_uuid(text):
        raise ValueError("a Vonage application id is a UUID")
    return text.lower()


@attrs.frozen
class ProjectSecret:
    """A live secret of a project, whose text is the HMAC key of the formats that it signs.

    It is 40 hex characters, or was imported from LiveKit or Jitsi, whose API key or app id is then `key_id`.

    The tokens of `named_signer` have the secret's id as `kid`.

    Raises:
        ValueError: *value* has another shape.
    """

    key_id: str
    value: str = attrs.field(converter=_secret, repr=False)
    sha1: Mac = attrs.field(init=False, repr=False, eq=False)
    signer: MacSigner = attrs.field(init=False, repr=False, eq=False)
    named_signer: MacSigner = attrs.field(init=False, repr=False, eq=False)
    verifier: SignatureVerifier = attrs.field(init=False, repr=False, eq=False)

    @sha1.default
    def _prepared_sha1(self) -> Mac:
        return Mac(self.value.encode(), "sha1")

    @signer.default
    def _prepared_signer(self) -> MacSigner:
        return MacSigner.under(self.value, {"alg": "HS256", "typ": "JWT"})

    @named_signer.default
    def _prepared_named_signer(self) -> MacSigner:
        return MacSigner.under(self.value, {"alg": "HS256", "typ": "JWT", "kid": self.key_id})

    @verifier.default
    def _prepared_verifier(self) -> SignatureVerifier:
        return SignatureVerifier({"HS256": self.value.encode()})


@attrs.frozen
class VonageKey:
    """The RSA key of a Vonage application (a UUID, in lower case here), imported into a project.

    Raises:
        ValueError: the key has not 2048 to 4096 bits and a usual exponent, or the application id is no UUID.
    """

    key_id: str
    application_id: str = attrs.field(converter=_application_id)
    private_key: RSAPrivateKey = attrs.field(converter=require_rsa_key, repr=False, eq=False)
    signer: Signer = attrs.field(init=False, repr=False, eq=False)
    verifier: SignatureVerifier = attrs.field(init=False, repr=False, eq=False)

    @signer.default
    def _prepared_signer(self) -> Signer:
        return LocalSigner("RS256", self.private_key, {"alg": "RS256", "typ": "JWT"})

    @verifier.default
    def _prepared_verifier(self) -> SignatureVerifier:
        return SignatureVerifier({"RS256": self.private_key.public_key()})

    @classmethod
    def from_pem(cls, key_id: str, application_id: str, pem: str) -> VonageKey:
        """Parse the key in *pem*, as Vonage hands it out: unencrypted, PKCS#1 or PKCS#8.

        Raises:
            ValueError: it is none, or not a usable one. The text never holds key material.
        """
        return cls(key_id, application_id, load_rsa_pem(pem))

    @classmethod
    def from_der(cls, key_id: str, application_id: str, der: bytes) -> VonageKey:
        """Parse the key that `to_der` wrote, or raise ValueError."""
        return cls(key_id, application_id, load_private_der(der))

    def to_der(self) -> bytes:
        """Return the private key as unencrypted PKCS#8 DER, to be sealed."""
        return private_der(self.private_key)


@attrs.frozen
class ProjectKeys:
    """The keys of one project: its live secrets, newest first, and its Vonage key if it has one."""

    project_id: str
    secrets: tuple[ProjectSecret, ...] = ()
    vonage: VonageKey | None = None

    def current(self, kind: CredentialKind) -> ProjectSecret | VonageKey | None:
        """Return the key that signs for credentials of *kind*, of two secrets the newer; None where there is none."""
        match kind:
            case CredentialKind.SECRET:
                return self.secrets[0] if self.secrets else None
            case CredentialKind.VONAGE_KEY:
                return self.vonage

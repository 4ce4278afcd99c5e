"""Signing keys in a PKCS#11 token (an HSM), from which a private key never comes out."""

from __future__ import annotations

import hashlib

from typing import TYPE_CHECKING, Final

import attrs
import msgspec
import pkcs11

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.util.ec import encode_named_curve_parameters

from tokenauthority.domain.key import Algorithm
from tokenauthority.signing.hsm_token import HsmToken
from tokenauthority.signing.jose import encode_segment
from tokenauthority.signing.key_provider import AbsentSigner, KeyProviderError
from tokenauthority.signing.key_serialization import MIN_RSA_BITS, PublicKey
from tokenauthority.signing.signing_key import SigningKey


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tokenauthority.domain.key import StoredKey
    from tokenauthority.signing.hsm_uri import TokenUri
    from tokenauthority.signing.jose import Signer


LABEL: Final = "tokenauthority-"
"""What the label of every key in a token begins with; the key's id follows."""

_PRIVATE: Final = {
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.SIGN: True,
    Attribute.DECRYPT: False,
    Attribute.UNWRAP: False,
    Attribute.DERIVE: False,
}
_PUBLIC: Final = {Attribute.TOKEN: False}
"""The public half is for the store; in the token it is no longer than until it has been read."""


@attrs.frozen
class _Kind:
    """How a token makes and uses the keys of an algorithm. *prepare* makes what it signs of what is to be signed."""

    key_type: KeyType
    generate: Mechanism
    sign: Mechanism
    curve: str = ""
    prepare: Callable[[bytes], bytes] = bytes


_KINDS: Final = {
    # Hashed here: not every token has the mechanism that hashes too. The signature is r and s, as JWS wants it.
    Algorithm.ES256: _Kind(
        KeyType.EC,
        Mechanism.EC_KEY_PAIR_GEN,
        Mechanism.ECDSA,
        "secp256r1",
        lambda data: hashlib.sha256(data).digest(),
    ),
    Algorithm.EDDSA: _Kind(KeyType.EC_EDWARDS, Mechanism.EC_EDWARDS_KEY_PAIR_GEN, Mechanism.EDDSA, "1.3.101.112"),
    Algorithm.RS256: _Kind(KeyType.RSA, Mechanism.RSA_PKCS_KEY_PAIR_GEN, Mechanism.SHA256_RSA_PKCS),
}


class HsmProvider:
    """The keys of one token. Locations are RFC 7512 URIs without module and PIN, which each server has of its own."""

    def __init__(self, uri: TokenUri, pin: Callable[[], str]) -> None:
        self._token = HsmToken(uri, pin)

    @property
    def scheme(self) -> str:
        """`pkcs11`."""
        return "pkcs11"

    def make(self, algorithm: Algorithm) -> tuple[SigningKey, str]:
        """A new key in the token, sensitive and not extractable, with the bytes of its id as CKA_ID.

        Raises:
            KeyProviderError: the token cannot be used, or has not the mechanisms.
        """
        return self._token.run(lambda session: self._make(session, algorithm))

    def open(self, stored: StoredKey, public_key: object) -> SigningKey:
        """The key, whose signer looks for it in the token at the first signature.

        Raises:
            ValueError: *public_key* is none for the algorithm.
        """
        if not self._is_here(stored.location):
            absent = AbsentSigner(self._elsewhere(stored.location))
            return SigningKey.located(stored.algorithm, public_key, lambda *_: absent)
        return SigningKey.located(stored.algorithm, public_key, self._signer_of(stored.algorithm))

    def destroy(self, stored: StoredKey) -> None:
        """Destroy the private key in the token.

        Raises:
            KeyProviderError: the token cannot be used, or the key is in another one.
        """
        if not self._is_here(stored.location):
            raise KeyProviderError(self._elsewhere(stored.location))

        def destroy(session: pkcs11.Session) -> None:
            for key in list(session.get_objects(_template(stored.algorithm, stored.key_id))):
                key.destroy()

        self._token.run(destroy)

    def _make(self, session: pkcs11.Session, algorithm: Algorithm) -> tuple[SigningKey, str]:
        kind = _KINDS[algorithm]
        if not session.token.slot.get_mechanisms() >= {kind.generate, kind.sign}:
            raise KeyProviderError(f"the token {self._token.uri.place} has not the mechanisms of {algorithm}")
        public, private = _generate(session, kind)
        try:
            key = SigningKey.located(algorithm, _exported(public), self._signer_of(algorithm))
            public.destroy()
            private[Attribute.ID] = key.key_id.encode("ascii")
            private[Attribute.LABEL] = LABEL + key.key_id
        except BaseException:
            # Nobody would know it by its id.
            private.destroy()
            raise
        return key, self._token.uri.location(LABEL + key.key_id, key.key_id)

    def _signer_of(self, algorithm: Algorithm) -> Callable[[str, Mapping[str, str]], Signer]:
        return lambda key_id, header: _HsmSigner(self._token, algorithm, key_id, header)

    def _is_here(self, location: str) -> bool:
        return location.startswith(self._token.uri.place + ";")

    def _elsewhere(self, location: str) -> str:
        return f"the key {location} is not in the token {self._token.uri.place}"


class _HsmSigner:
    """Signs in the token; its key is looked for once in each session."""

    def __init__(self, token: HsmToken, algorithm: Algorithm, key_id: str, header: Mapping[str, str]) -> None:
        self._token = token
        self._kind = _KINDS[algorithm]
        self._template = _template(algorithm, key_id)
        self._head = encode_segment(msgspec.json.encode(header)) + b"."
        self._found: tuple[pkcs11.Session, pkcs11.SignMixin] | None = None
        self._missing = f"the token {token.uri.place} has not the one private key {key_id}"

    def sign(self, payload_json: bytes) -> tuple[str, bytes]:
        """The compact token that claims *payload_json*, and its signature.

        Raises:
            KeyProviderError: the token cannot be used now, or does not have the key.
        """
        signing_input = self._head + encode_segment(payload_json)
        prepared = self._kind.prepare(signing_input)
        signature = self._token.run(lambda session: self._key(session).sign(prepared, mechanism=self._kind.sign))
        return (signing_input + b"." + encode_segment(signature)).decode("ascii"), signature

    def _key(self, session: pkcs11.Session) -> pkcs11.SignMixin:
        if self._found is not None and self._found[0] is session:
            return self._found[1]
        keys = [key for key in session.get_objects(self._template) if isinstance(key, pkcs11.SignMixin)]
        if len(keys) != 1:
            raise KeyProviderError(self._missing)
        self._found = session, keys[0]
        return keys[0]


def _template(algorithm: Algorithm, key_id: str) -> dict[Attribute, object]:
    return {
        Attribute.CLASS: ObjectClass.PRIVATE_KEY,
        Attribute.KEY_TYPE: _KINDS[algorithm].key_type,
        Attribute.ID: key_id.encode("ascii"),
    }


def _generate(session: pkcs11.Session, kind: _Kind) -> tuple[pkcs11.PublicKey, pkcs11.PrivateKey]:
    if not kind.curve:
        return session.generate_keypair(
            kind.key_type,
            MIN_RSA_BITS,
            store=True,
            mechanism=kind.generate,
            public_template=_PUBLIC,
            private_template=_PRIVATE,
        )
    parameters = session.create_domain_parameters(
        kind.key_type, {Attribute.EC_PARAMS: encode_named_curve_parameters(kind.curve)}, local=True
    )
    return parameters.generate_keypair(
        store=True, mechanism=kind.generate, public_template=_PUBLIC, private_template=_PRIVATE
    )


def _exported(key: pkcs11.PublicKey) -> PublicKey:
    if key.key_type is KeyType.RSA:
        numbers = (int.from_bytes(key[name]) for name in (Attribute.PUBLIC_EXPONENT, Attribute.MODULUS))
        return RSAPublicNumbers(*numbers).public_key()
    # A point is wrapped in an OCTET STRING, whose head has two bytes; some tokens leave it out for Ed25519.
    point = bytes(key[Attribute.EC_POINT])
    if key.key_type is KeyType.EC:
        return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point[2:])
    return Ed25519PublicKey.from_public_bytes(point[-32:])

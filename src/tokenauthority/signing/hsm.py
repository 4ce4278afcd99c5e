"""Signing keys in a PKCS#11 token (an HSM), which no private key ever leaves."""

from __future__ import annotations

import hashlib

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import attrs
import msgspec
import pkcs11

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.util.ec import encode_named_curve_parameters

from tokenauthority.domain.key import Algorithm, StoredKey
from tokenauthority.signing.hsm_token import HsmToken
from tokenauthority.signing.hsm_uri import TokenUri
from tokenauthority.signing.jose import Signer, encode_segment
from tokenauthority.signing.key_provider import AbsentSigner, KeyProviderError
from tokenauthority.signing.key_serialization import MIN_RSA_BITS, PublicKey
from tokenauthority.signing.signing_key import SigningKey


LABEL: Final = "tokenauthority-"
"""The beginning of the label of every key in a token; the key's id follows."""

_PRIVATE: Final = {
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.SIGN: True,
    Attribute.DECRYPT: False,
    Attribute.UNWRAP: False,
    Attribute.DERIVE: False,
}
_PUBLIC: Final = {Attribute.TOKEN: False}
"""The public half goes to the store; the token has it only until it is read."""


@attrs.frozen
class _Mechanisms:
    """How a token generates and uses the keys of an algorithm. *prepare* turns the signing input into what it signs."""

    key_type: KeyType
    generate: Mechanism
    sign: Mechanism
    curve: str = ""
    prepare: Callable[[bytes], bytes] = bytes


_MECHANISMS: Final = {
    # Hashed here: not every token has a mechanism that also hashes. The signature is r and s, as in JWS.
    Algorithm.ES256: _Mechanisms(
        KeyType.EC, Mechanism.EC_KEY_PAIR_GEN, Mechanism.ECDSA, "secp256r1", lambda data: hashlib.sha256(data).digest()
    ),
    Algorithm.EDDSA: _Mechanisms(KeyType.EC_EDWARDS, Mechanism.EC_EDWARDS_KEY_PAIR_GEN, Mechanism.EDDSA, "1.3.101.112"),
    Algorithm.RS256: _Mechanisms(KeyType.RSA, Mechanism.RSA_PKCS_KEY_PAIR_GEN, Mechanism.SHA256_RSA_PKCS),
}


class HsmProvider:
    """The keys of one token. Locations are RFC 7512 URIs without module and PIN: each server has its own settings."""

    scheme: Final = "pkcs11"

    def __init__(self, uri: TokenUri, pin: Callable[[], str]) -> None:
        self._token = HsmToken(uri, pin)

    def generate_key(self, algorithm: Algorithm) -> tuple[SigningKey, str]:
        """Generate a key in the token, sensitive and not extractable, with the bytes of its id as CKA_ID."""
        return self._token.call(lambda session: self._generate(session, algorithm))

    def located_key(self, stored: StoredKey, public_key: object) -> SigningKey:
        """Return the key; its signer searches the token at the first signature."""
        if not self._is_here(stored.location):
            absent = AbsentSigner(self._elsewhere(stored.location))
            return SigningKey.located(stored.algorithm, public_key, lambda *_: absent)
        return SigningKey.located(stored.algorithm, public_key, self._signer(stored.algorithm))

    def destroy_key(self, stored: StoredKey) -> None:
        """Destroy the private key in the token; KeyProviderError too if it is in another token."""
        if not self._is_here(stored.location):
            raise KeyProviderError(self._elsewhere(stored.location))

        def destroy(session: pkcs11.Session) -> None:
            for key in list(session.get_objects(_template(stored.algorithm, stored.key_id))):
                key.destroy()

        self._token.call(destroy)

    def _generate(self, session: pkcs11.Session, algorithm: Algorithm) -> tuple[SigningKey, str]:
        mechanisms = _MECHANISMS[algorithm]
        if not session.token.slot.get_mechanisms() >= {mechanisms.generate, mechanisms.sign}:
            raise KeyProviderError(f"the token {self._token.uri.token_location} lacks the mechanisms of {algorithm}")
        public, private = _generate_pair(session, mechanisms)
        try:
            key = SigningKey.located(algorithm, _exported(public), self._signer(algorithm))
            public.destroy()
            private[Attribute.ID] = key.key_id.encode("ascii")
            private[Attribute.LABEL] = LABEL + key.key_id
        except BaseException as error:
            # Without id and label nobody could find it again.
            private.destroy()
            if isinstance(error, ValueError):
                made = f"the token {self._token.uri.token_location} made a key that cannot be used"
                raise KeyProviderError(f"{made}: {error}") from error
            raise
        return key, self._token.uri.key_location(LABEL + key.key_id, key.key_id)

    def _signer(self, algorithm: Algorithm) -> Callable[[str, Mapping[str, str]], Signer]:
        return lambda key_id, header: _HsmSigner(self._token, algorithm, key_id, header)

    def _is_here(self, location: str) -> bool:
        return location.startswith(self._token.uri.token_location + ";")

    def _elsewhere(self, location: str) -> str:
        return f"the key {location} is not in the token {self._token.uri.token_location}"


class _HsmSigner:
    """A signer whose key is in the token; it searches for the key once in each session."""

    def __init__(self, token: HsmToken, algorithm: Algorithm, key_id: str, header: Mapping[str, str]) -> None:
        self._token = token
        self._mechanisms = _MECHANISMS[algorithm]
        self._template = _template(algorithm, key_id)
        self._header = encode_segment(msgspec.json.encode(header)) + b"."
        self._found: tuple[pkcs11.Session, pkcs11.SignMixin] | None = None
        self._missing = f"the token {token.uri.token_location} does not have exactly one private key {key_id}"

    def sign(self, payload_json: bytes) -> tuple[str, bytes]:
        """Return the compact token that claims *payload_json*, and its signature, or raise KeyProviderError."""
        signing_input = self._header + encode_segment(payload_json)
        prepared = self._mechanisms.prepare(signing_input)
        signature = self._token.call(lambda session: self._key(session).sign(prepared, mechanism=self._mechanisms.sign))
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
        Attribute.KEY_TYPE: _MECHANISMS[algorithm].key_type,
        Attribute.ID: key_id.encode("ascii"),
    }


def _generate_pair(session: pkcs11.Session, kind: _Mechanisms) -> tuple[pkcs11.PublicKey, pkcs11.PrivateKey]:
    if kind.curve:
        curve = {Attribute.EC_PARAMS: encode_named_curve_parameters(kind.curve)}
        generate = session.create_domain_parameters(kind.key_type, curve, local=True).generate_keypair
    else:
        generate = partial(session.generate_keypair, kind.key_type, MIN_RSA_BITS)
    return generate(store=True, mechanism=kind.generate, public_template=_PUBLIC, private_template=_PRIVATE)


def _exported(key: pkcs11.PublicKey) -> PublicKey:
    if key.key_type is KeyType.RSA:
        numbers = (int.from_bytes(key[name]) for name in (Attribute.PUBLIC_EXPONENT, Attribute.MODULUS))
        return RSAPublicNumbers(*numbers).public_key()
    # A point is in an OCTET STRING, whose header has two bytes; some tokens leave the header out for Ed25519.
    point = bytes(key[Attribute.EC_POINT])
    if key.key_type is KeyType.EC:
        return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point[2:])
    return Ed25519PublicKey.from_public_bytes(point[-32:])

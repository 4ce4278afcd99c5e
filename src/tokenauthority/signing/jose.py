"""Compact JWS (RFC 7515): strict reading, and fast signing with prepared keys.

Reading follows RFC 8725: the key decides the algorithm and the token must name the same; `crit`, `b64`, `zip` and `enc`
are refused; `jku`, `x5u`, `jwk` and `x5c` are ignored.
"""

from __future__ import annotations

import binascii

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Protocol

import msgspec

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from jwt import PyJWTError, get_algorithm_by_name
from jwt.algorithms import Algorithm, ECAlgorithm, HMACAlgorithm

from tokenauthority.domain.token import MAX_TOKEN, TokenClaims
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.claims import Json, json_object, text
from tokenauthority.signing.key_serialization import PrivateKey, PublicKey
from tokenauthority.signing.mac import Mac
from tokenauthority.signing.results import Unverified, malformed, signature_invalid


_SEGMENTS: Final = 3
"""Header, payload and signature."""

_ES256_SIGNATURE: Final = 64
"""Bytes: r and s (RFC 7518, section 3.4)."""

ALGORITHM_ALIASES: Final = {"Ed25519": "EdDSA", "ESP256": "ES256", "ESP384": "ES384", "ESP512": "ES512"}
"""Names of RFC 9864 and what RFC 7518 and RFC 8037 call the same algorithm. Here, `EdDSA` is always on Ed25519."""

_CACHED_HEADERS: Final = 256
_MAX_CACHED: Final = 256
"""How many headers are cached, and how many bytes the segment of each has. With its object it takes about 8 KB at
most: 2 MB in all."""

_REFUSED_HEADERS: Final = ("crit", "b64", "zip", "enc")
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL: Final = bytes.maketrans(b"-_", b"+/")
_CRYPTO_ERRORS: Final = (InternalError, InvalidSignature, PyJWTError, TypeError, UnsupportedAlgorithm, ValueError)


class _Header(msgspec.Struct, frozen=True):
    """The header of a JWS, with what is read of every one."""

    parameters: Mapping[str, Json]
    algorithm: str
    media_type: str


class RawJws(msgspec.Struct, frozen=True, kw_only=True):
    """The segments of a compact JWS, unverified: the header as an object, the others as bytes.

    `media_type` is the `typ`, `jwt` if there is none, empty if it is no text. It is a media type (RFC 7515, section
    4.1.9): upper case and the prefix `application/` say nothing. The `repr` shows the header alone.
    """

    header: Mapping[str, Json]
    algorithm: str
    media_type: str
    body: bytes
    signing_input: bytes
    signature: bytes

    def __repr__(self) -> str:
        return f"{type(self).__name__}(header={self.header!r})"


class CompactJws(RawJws, frozen=True, kw_only=True):
    """A compact JWS whose payload is a JSON object, in the order of its writer; unverified."""

    payload: dict[str, Json]

    def unverified(self, token_format: TokenFormat, claims: TokenClaims, key_hint: str = "") -> Unverified:
        """Return this JWS as a token of *token_format* that says *claims*."""
        return Unverified(
            format=token_format,
            claims=claims,
            key_hint=key_hint,
            algorithm=self.algorithm,
            signing_input=self.signing_input,
            signature=self.signature,
        )


class Signer(Protocol):
    """What signs compact tokens under one header.

    The signer of a key provider's key blocks, so call it in a thread, and raises `KeyProviderError`.
    """

    def sign(self, payload_json: bytes) -> tuple[str, bytes]:
        """Return the compact token that claims *payload_json*, and its signature."""


class LocalSigner:
    """A private key with its JOSE header, prepared once: a token costs little more than its signature.

    *algorithm* is the key's; *header* is complete (`alg`, `typ`, `kid`).
    """

    __slots__ = ("_algorithm", "_header", "_key")

    def __init__(self, algorithm: str, key: PrivateKey, header: Mapping[str, str]) -> None:
        self._algorithm, self._key = _prepared(algorithm, key)
        self._header = encode_segment(msgspec.json.encode(header)) + b"."

    def sign(self, payload_json: bytes) -> tuple[str, bytes]:
        """Return the compact token that claims *payload_json*, and its signature."""
        signing_input = self._header + encode_segment(payload_json)
        signature = self._algorithm.sign(signing_input, self._key)
        return (signing_input + b"." + encode_segment(signature)).decode("ascii"), signature


class SignatureVerifier:
    """Public or shared keys, each bound to the one algorithm under which it stands in *keys*."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Mapping[str, bytes | PublicKey]) -> None:
        self._keys = {name: _prepared(name, key) for name, key in keys.items()}

    def holds(self, jws: RawJws | Unverified) -> bool:
        """Return whether *jws* names the algorithm of a key and bears that key's signature."""
        prepared = self._keys.get(canonical_algorithm(jws.algorithm))
        if prepared is None:
            return False
        algorithm, key = prepared
        try:
            return algorithm.verify(jws.signing_input, key, jws.signature)
        except _CRYPTO_ERRORS:
            return False

    def verify(self, jws: RawJws | Unverified) -> None:
        """Raise TokenRejectedError, `SIGNATURE_INVALID`, unless *jws* `holds`."""
        if not self.holds(jws):
            raise signature_invalid()


def _prepared(name: str, key: bytes | PrivateKey | PublicKey) -> tuple[Algorithm, Mac | PrivateKey | PublicKey]:
    algorithm: Algorithm = fast() if (fast := _FAST.get(name)) else get_algorithm_by_name(name)
    return algorithm, algorithm.prepare_key(key)


class _FastHS256(HMACAlgorithm):
    """HS256 with a key that is hashed once: PyJWT takes eight times as long, of which most is for the key."""

    def __init__(self) -> None:
        super().__init__(HMACAlgorithm.SHA256)

    def prepare_key(self, key: str | bytes) -> Mac:  # type: ignore[override]  # PyJWT passes what this returns to `sign` and `verify`, and nowhere else
        return Mac(super().prepare_key(key), "sha256")

    def verify(self, msg: bytes, key: Mac, sig: bytes) -> bool:  # type: ignore[override]  # see `prepare_key`
        return key.holds(msg, sig)


class _FastES256(ECAlgorithm):
    """ES256 that signs in 28 us, of which OpenSSL takes 27.5, and verifies in 80: PyJWT takes 37 and 115.

    PyJWT makes an ECDSA object for each signature, converts DER into r and s by integers and hex, and checks the key's
    type and curve each time.
    """

    _ECDSA: Final = ECDSA(SHA256())

    def __init__(self) -> None:
        super().__init__(SHA256, SECP256R1)

    def sign(self, msg: bytes, key: EllipticCurvePrivateKey) -> bytes:
        der = key.sign(msg, self._ECDSA)
        # 30 <length> 02 <length> r 02 <length> s, each length one byte: P-256 signatures have at most 72. An integer
        # has a leading zero where it would otherwise be negative, and no other.
        split = 4 + der[3]
        return der[4:split][-32:].rjust(32, b"\0") + der[split + 2 :][-32:].rjust(32, b"\0")

    def verify(self, msg: bytes, key: EllipticCurvePublicKey, sig: bytes) -> bool:  # type: ignore[override]  # PyJWT's own takes private keys too; a SignatureVerifier is only ever made with public ones
        if len(sig) != _ES256_SIGNATURE:
            return False
        half = _ES256_SIGNATURE // 2
        der = encode_dss_signature(int.from_bytes(sig[:half], "big"), int.from_bytes(sig[half:], "big"))
        try:
            key.verify(der, msg, self._ECDSA)
        except InvalidSignature:
            return False
        return True


_FAST: Final[Mapping[str, Callable[[], Algorithm]]] = {"ES256": _FastES256, "HS256": _FastHS256}


def canonical_algorithm(name: str) -> str:
    """Return the one name of an algorithm that has two, or *name* itself; see `ALGORITHM_ALIASES`."""
    return ALGORITHM_ALIASES.get(name, name)


def parse_compact(token: str) -> CompactJws:
    """Read *token* as a compact JWS whose payload is a JSON object; it fails as `parse_raw` does."""
    header, body, signing_input, signature = _parse(token)
    return CompactJws(
        header=header.parameters,
        algorithm=header.algorithm,
        media_type=header.media_type,
        body=body,
        payload=json_object(body, "payload"),
        signing_input=signing_input,
        signature=signature,
    )


def parse_raw(token: str) -> RawJws:
    """Read *token* as a compact JWS with any payload.

    Raises:
        TokenRejectedError: `MALFORMED`: not three segments of canonical unpadded base64url, more than 40,960 bytes, or
            a header that is no unambiguous JSON object, lacks `alg`, or has `crit`, `b64`, `zip` or `enc`.
    """
    header, body, signing_input, signature = _parse(token)
    return RawJws(
        header=header.parameters,
        algorithm=header.algorithm,
        media_type=header.media_type,
        body=body,
        signing_input=signing_input,
        signature=signature,
    )


def _parse(token: str) -> tuple[_Header, bytes, bytes, bytes]:
    """Return header, body, signing input and signature of *token*; it fails as `parse_raw` does."""
    segments = token_bytes(token).split(b".")
    if len(segments) != _SEGMENTS:
        raise malformed("a JWT has three parts with dots between them")
    head, payload, signature = segments
    header = _cached_header(head) if len(head) <= _MAX_CACHED else _header(head)
    return header, decode_segment(payload, "payload"), head + b"." + payload, decode_segment(signature, "signature")


def _header(segment: bytes) -> _Header:
    parameters = json_object(decode_segment(segment, "header"), "header")
    for name in _REFUSED_HEADERS:
        if name in parameters:
            raise malformed(f"the header parameter {name} is not supported")
    kind = parameters.get("typ", "jwt")
    media_type = kind.lower().removeprefix("application/") if isinstance(kind, str) else ""
    # Read-only: all tokens with this header have this object.
    return _Header(MappingProxyType(parameters), text(parameters, "alg"), media_type)


# All tokens of a key have the same header. Whoever sends other headers only makes them be read again.
_cached_header: Final = lru_cache(maxsize=_CACHED_HEADERS)(_header)


def token_bytes(token: str) -> bytes:
    """Return *token* as bytes; it must be ASCII with at most 40,960 of them."""
    if len(token) > MAX_TOKEN:
        raise malformed(f"the token has more than {MAX_TOKEN} bytes")
    if not token.isascii():
        raise malformed("the token has characters outside ASCII")
    return token.encode("ascii")


def encode_segment(data: bytes) -> bytes:
    """Return *data* in unpadded base64url."""
    # To let `translate` delete the padding, or b2a_base64 leave out the newline, takes longer.
    return binascii.b2a_base64(data).rstrip(b"=\n").translate(_TO_URL)


def decode_segment(segment: bytes, name: str) -> bytes:
    """Return the bytes of *segment*; it is `MALFORMED` unless `encode_segment` makes exactly it of them."""
    try:
        data = binascii.a2b_base64(segment.translate(_FROM_URL) + b"=" * (-len(segment) % 4))
    except ValueError:
        data = b""
    if encode_segment(data) != segment:
        raise malformed(f"the {name} is not canonical base64url")
    return data

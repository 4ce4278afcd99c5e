"""Sign compact tokens under HS256, of which many begin alike."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tokenauthority.signing.jose import encode_segment
from tokenauthority.signing.mac import Mac


class MacSigner:
    """Signs payloads under HS256; what all tokens start with is encoded and hashed once. See `Signer`.

    Each token starts with *token_prefix*, which is also the prefix of *mac*. *payload_prefix* is the end of what all
    payloads start with: the bytes that are not in *token_prefix*.
    """

    __slots__ = ("_mac", "_payload_prefix", "_token_prefix")

    def __init__(self, token_prefix: bytes, mac: Mac, payload_prefix: bytes = b"") -> None:
        self._token_prefix = token_prefix
        self._mac = mac
        self._payload_prefix = payload_prefix

    @classmethod
    def under(cls, secret: str, header: Mapping[str, str]) -> MacSigner:
        """Return what signs with *secret* under *header*, which is complete (`alg`, `typ`, `kid`)."""
        prefix = encode_segment(msgspec.json.encode(header)) + b"."
        return cls(prefix, Mac(secret.encode(), "sha256", prefix))

    def sign(self, payload_json: bytes) -> tuple[str, bytes]:
        """Return the compact token that claims *payload_json*, and its signature."""
        segment = encode_segment(self._payload_prefix + payload_json)
        signature = self._mac.of(segment)
        return (self._token_prefix + segment + b"." + encode_segment(signature)).decode("ascii"), signature

    def with_prefix(self, payload_json: bytes) -> MacSigner:
        """Return what signs payloads that start with *payload_json*; its `sign` takes what comes after that."""
        start = self._payload_prefix + payload_json
        # Three bytes become four characters, whatever comes after them.
        whole = len(start) // 3 * 3
        encoded = encode_segment(start[:whole])
        return MacSigner(self._token_prefix + encoded, self._mac.with_prefix(encoded), start[whole:])

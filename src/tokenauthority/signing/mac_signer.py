"""Sign compact tokens under HS256, of which many begin alike."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tokenauthority.signing.jose import encode_segment
from tokenauthority.signing.mac import Mac


class MacSigner:
    """Signs payloads under HS256 with what is prepared once; see `Signer`.

    *encoded* is what each token starts with, *mac* makes the HMAC of what comes after that, and *rest* is what each
    payload starts with that is not in *encoded*.
    """

    __slots__ = ("_encoded", "_mac", "_rest")

    def __init__(self, encoded: bytes, mac: Mac, rest: bytes = b"") -> None:
        self._encoded = encoded
        self._mac = mac
        self._rest = rest

    @classmethod
    def under(cls, secret: str, header: Mapping[str, str]) -> MacSigner:
        """Return what signs with *secret* under *header*, which is complete (`alg`, `typ`, `kid`)."""
        encoded = encode_segment(msgspec.json.encode(header)) + b"."
        return cls(encoded, Mac(secret.encode(), "sha256", encoded))

    def sign(self, payload_json: bytes) -> tuple[str, bytes]:
        """Return the compact token that claims *payload_json*, and its signature."""
        segment = encode_segment(self._rest + payload_json)
        signature = self._mac.of(segment)
        return (self._encoded + segment + b"." + encode_segment(signature)).decode("ascii"), signature

    def begun(self, payload_json: bytes) -> MacSigner:
        """Return what signs payloads that start with *payload_json*, given the rest of them."""
        start = self._rest + payload_json
        # Three bytes become four characters, whatever comes after them.
        whole = len(start) // 3 * 3
        encoded = encode_segment(start[:whole])
        return MacSigner(self._encoded + encoded, self._mac.begun(encoded), start[whole:])

"""HMAC (RFC 2104) with a key that is hashed once: for a text as short as a token, that is most of an HMAC."""

from __future__ import annotations

import hmac


class Mac:
    """HMACs of messages under *key* and the hash *digest*, such as `sha256`. Safe on any thread."""

    __slots__ = ("_digest", "_key", "_keyed")

    def __init__(self, key: bytes, digest: str) -> None:
        self._key = key
        self._digest = digest
        self._keyed: hmac.HMAC | None = None

    def of(self, message: bytes) -> bytes:
        """Return the HMAC of *message*."""
        keyed = self._keyed
        if keyed is None:
            # With the first message: it takes 0.8 KB, and most projects use one format of several.
            keyed = self._keyed = hmac.new(self._key, digestmod=self._digest)
        mac = keyed.copy()
        mac.update(message)
        return mac.digest()

    def holds(self, message: bytes, signature: bytes) -> bool:
        """Return whether *signature* is that of *message*, in a time that does not depend on where it differs."""
        return hmac.compare_digest(self.of(message), signature)

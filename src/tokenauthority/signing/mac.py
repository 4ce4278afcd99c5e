"""HMAC (RFC 2104) with a key that is hashed once: for a text as short as a token, that is most of an HMAC."""

from __future__ import annotations

import hashlib
import hmac

from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from hashlib import _Hash as HASH


_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


class Mac:
    """HMACs under *key* and the hash *digest*, such as `sha256`, of messages that start with *prefix*.

    Safe on any thread. To copy the two hashes of RFC 2104 takes 0.7 us for a token, an object of the module `hmac` 1.1.
    """

    __slots__ = ("_digest", "_hashed", "_key", "_prefix")

    def __init__(self, key: bytes, digest: str, prefix: bytes = b"") -> None:
        self._key = key
        self._digest = digest
        self._prefix = prefix
        self._hashed: tuple[HASH, HASH] | None = None

    def of(self, message: bytes) -> bytes:
        """Return the HMAC of the prefix and *message* after it."""
        before, after = self._hashed or self._hash_key()
        inner, outer = before.copy(), after.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()

    def with_prefix(self, more: bytes) -> Mac:
        """Return what makes the HMACs of messages that start with the prefix and *more* after it."""
        before, after = self._hashed or self._hash_key()
        inner = before.copy()
        inner.update(more)
        mac = Mac(self._key, self._digest, self._prefix + more)
        mac._hashed = inner, after
        return mac

    def holds(self, message: bytes, signature: bytes) -> bool:
        """Return whether *signature* is that of *message*, in a time that does not depend on where it differs."""
        return hmac.compare_digest(self.of(message), signature)

    def _hash_key(self) -> tuple[HASH, HASH]:
        # With the first message: it takes 0.5 KB, and most projects use one format of several.
        size = hashlib.new(self._digest).block_size
        key = self._key if len(self._key) <= size else hashlib.new(self._digest, self._key).digest()
        block = key.ljust(size, b"\0")
        before = hashlib.new(self._digest, block.translate(_INNER) + self._prefix)
        self._hashed = before, hashlib.new(self._digest, block.translate(_OUTER))
        return self._hashed

"""The authority's ring of signing keys: which one signs, which verify, and the JSON Web Key Set that publishes them."""

from __future__ import annotations

import hashlib

from collections.abc import Iterable

import attrs
import msgspec

from tokenauthority.domain.key import KeyState, StoredKey
from tokenauthority.domain.times import Millis
from tokenauthority.signing.signing_key import SigningKey, VerifyingKey


@attrs.frozen
class RingKey:
    """A signing key with its place in the ring's life."""

    stored: StoredKey
    key: SigningKey

    def __attrs_post_init__(self) -> None:
        if (self.stored.key_id, self.stored.algorithm) != (self.key.key_id, self.key.algorithm):
            raise ValueError(f"signing key {self.stored.key_id} is stored with the key of {self.key.key_id}")


@attrs.frozen(init=False)
class KeyRing:
    """A ring with one ACTIVE key, or with none where its seal is broken. `entries` are newest first, then by id."""

    entries: tuple[RingKey, ...]
    _signing: RingKey | None = attrs.field(repr=False, eq=False)
    _by_id: dict[str, RingKey] = attrs.field(repr=False, eq=False)

    def __init__(self, keys: Iterable[RingKey], *, may_sign: bool = True) -> None:
        """Make a ring of *keys*, without an ACTIVE one if not *may_sign*.

        Raises:
            ValueError: two keys have one id; none or several are ACTIVE; or, if not *may_sign*, one is.
        """
        entries = tuple(sorted(keys, key=lambda e: (e.stored.create_time, e.stored.key_id), reverse=True))
        by_id = {entry.stored.key_id: entry for entry in entries}
        if len(by_id) != len(entries):
            raise ValueError("two signing keys have one id")
        active = [entry for entry in entries if entry.stored.state is KeyState.ACTIVE]
        if len(active) != int(may_sign):
            raise ValueError(f"a ring needs exactly {int(may_sign)} active signing keys, not {len(active)}")
        self.__attrs_init__(entries, active[0] if active else None, by_id)

    @property
    def can_sign(self) -> bool:
        """Return whether there is an `active` key."""
        return self._signing is not None

    @property
    def active(self) -> SigningKey:
        """Return the key that signs; LookupError where none can."""
        if self._signing is None:
            raise LookupError("no key of the ring can sign")
        return self._signing.key

    @property
    def sign_until(self) -> Millis | None:
        """Return the moment from which the ACTIVE key must not sign."""
        return None if self._signing is None else self._signing.stored.sign_until

    @property
    def published(self) -> tuple[VerifyingKey, ...]:
        """Return the public halves of all keys that verify, newest first: what the JWKS shows."""
        return tuple(entry.key.public for entry in self.entries if entry.stored.state is not KeyState.REVOKED)

    def verifying(self, key_id: str) -> VerifyingKey | None:
        """Return the key that verifies under *key_id*: PREPARED, ACTIVE or RETIRED, never REVOKED."""
        entry = self._by_id.get(key_id)
        if entry is None or entry.stored.state is KeyState.REVOKED:
            return None
        return entry.key.public

    def is_revoked(self, key_id: str) -> bool:
        """Return whether *key_id* is a revoked key of the ring."""
        entry = self._by_id.get(key_id)
        return entry is not None and entry.stored.state is KeyState.REVOKED


@attrs.frozen
class JsonWebKeySet:
    """The key set (RFC 7517) in the forms that its readers want. `etag` is a strong one with its quotes (RFC 9110)."""

    keys: tuple[dict[str, str], ...] = attrs.field(eq=False)
    body: bytes = attrs.field(repr=False)
    etag: str

    @classmethod
    def from_ring(cls, ring: KeyRing) -> JsonWebKeySet:
        """Return the key set of *ring*; the same keys give the same bytes."""
        keys = tuple(dict(key.jwk) for key in ring.published)
        body = msgspec.json.encode({"keys": keys})
        return cls(keys, body, f'"{hashlib.sha256(body).hexdigest()}"')

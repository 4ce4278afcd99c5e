"""The JSON Web Key Set (RFC 7517) of a ring: the public halves of all keys that verify, newest first."""

from __future__ import annotations

import hashlib

import attrs
import msgspec

from tokenauthority.signing.keyring import KeyRing


@attrs.frozen
class JsonWebKeySet:
    """A key set in the forms that its readers want. `etag` is a strong one, quotes included (RFC 9110)."""

    keys: tuple[dict[str, str], ...] = attrs.field(eq=False)
    body: bytes = attrs.field(repr=False)
    etag: str

    @classmethod
    def of(cls, ring: KeyRing) -> JsonWebKeySet:
        """The key set of *ring*; the same keys give the same bytes."""
        keys = tuple(dict(key.jwk) for key in ring.published)
        body = msgspec.json.encode({"keys": keys})
        return cls(keys, body, f'"{hashlib.sha256(body).hexdigest()}"')

"""The authority's signing keys as they are stored: sealed or with a key provider, and in which state."""

from __future__ import annotations

from enum import StrEnum

import attrs

from tokenauthority.domain.times import Millis


class Algorithm(StrEnum):
    """A JWS algorithm of the authority's own signing keys (RFC 7518, RFC 8037)."""

    ES256 = "ES256"
    EDDSA = "EdDSA"
    RS256 = "RS256"


class KeyState(StrEnum):
    """The state of a key in its life, in this order; see `rotation.py`."""

    PREPARED = "prepared"
    ACTIVE = "active"
    RETIRED = "retired"
    REVOKED = "revoked"


@attrs.frozen(kw_only=True)
class StoredKey:
    """A signing key: its `kid` (RFC 7638), its life, and its private half sealed under the master key.

    Attributes:
        sign_until: from when no server signs with it, not even one that cannot reach the store; set at activation.
        expire_time: when the last token that it may have signed has expired; set when it no longer signs.
        location: the URI of the private half with a key provider. If it is not empty, `sealed` is the public half.
    """

    key_id: str
    algorithm: Algorithm
    state: KeyState
    create_time: Millis
    activate_time: Millis | None = None
    sign_until: Millis | None = None
    retire_time: Millis | None = None
    expire_time: Millis | None = None
    sealed: bytes = attrs.field(repr=False)
    location: str = ""

    def is_earlier_than(self, other: StoredKey) -> bool:
        """Return whether *other* is the same key later in its life. A key never returns to an earlier state."""
        return self._progress() < other._progress()

    def _progress(self) -> tuple[int, int, int]:
        # States stand in their order. A key that an old row has brought back ends later than in its first life.
        return list(KeyState).index(self.state), self.expire_time or 0, self.sign_until or 0

"""The authority's signing keys as they are stored: sealed or elsewhere, with their place in the ring's life."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import attrs


if TYPE_CHECKING:
    from tokenauthority.domain.times import Millis


class Algorithm(StrEnum):
    """A JWS algorithm of the native format (RFC 7518, RFC 8037)."""

    ES256 = "ES256"
    EDDSA = "EdDSA"
    RS256 = "RS256"


class KeyState(StrEnum):
    """Where a key is in its life."""

    PREPARED = "prepared"
    ACTIVE = "active"
    RETIRED = "retired"
    REVOKED = "revoked"


@attrs.frozen(kw_only=True)
class StoredKey:
    """A signing key: its `kid` (RFC 7638), its life, and its private half sealed under the master key.

    `sign_until` is its end: the moment from which no server signs with it, not even one that has lost the store; set
    when it is activated. `expire_time` is when the last token that it may have signed is out of force; set when it
    signs no more. Where `location` is not empty, it is the URI of the private half in a key provider, and `sealed`
    holds the public half.
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

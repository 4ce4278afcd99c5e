"""What the codecs of all token formats return, and how they reject a token."""

from __future__ import annotations

from typing import Final

import msgspec

from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token import InactiveReason, TokenClaims, TokenRejectedError
from tokenauthority.domain.token_format import TokenFormat


LAST_SECOND: Final = Seconds(253_402_300_799)
"""The end of the year 9999, the last moment that a protobuf Timestamp holds; later ones are read as this."""


class Unverified(msgspec.Struct, frozen=True, kw_only=True):
    """A well-formed token whose signature nobody has checked: use it to find the key, never for a decision.

    Its `repr` does not show what is signed, nor the signature, but where that is the token's id.

    Attributes:
        claims: what the token says of itself.
        key_hint: its `kid`; empty in the formats without one.
        algorithm: what its header names, or `HMAC-SHA1` for T1.
    """

    format: TokenFormat
    claims: TokenClaims
    key_hint: str
    algorithm: str
    signing_input: bytes
    signature: bytes

    def __repr__(self) -> str:
        return f"Unverified(format={self.format!r}, claims={self.claims!r}, key_hint={self.key_hint!r})"


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says, and the id of the key whose signature proves it. It may still be expired or revoked."""

    claims: TokenClaims
    key_id: str


def malformed(detail: str) -> TokenRejectedError:
    """Return the rejection of what is no token; *detail* names a field or a rule, never a value out of the token."""
    return TokenRejectedError(InactiveReason.MALFORMED, detail)


def signature_invalid() -> TokenRejectedError:
    """Return the rejection of a token whose signature is not the key's."""
    return TokenRejectedError(InactiveReason.SIGNATURE_INVALID, "the signature does not fit token and key")


def key_unknown(detail: str) -> TokenRejectedError:
    """Return the rejection of a token whose key is not, or no longer, ours."""
    return TokenRejectedError(InactiveReason.KEY_UNKNOWN, detail)

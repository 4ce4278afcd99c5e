"""What the codecs of all token formats share: their results, and the one way to refuse a token."""

from __future__ import annotations

from typing import Final, NamedTuple

import attrs

from tokenauthority.domain.ids import MAX_SESSION_ID, NUL
from tokenauthority.domain.role import BUILT_IN_ROLES
from tokenauthority.domain.times import DAY, Seconds
from tokenauthority.domain.token import InactiveReason, TokenClaims, TokenFormat, TokenRejectedError


LAST_SECOND: Final = Seconds(253_402_300_799)
"""The end of the year 9999, the last moment that a protobuf Timestamp holds; later ones are read as this."""

CONNECT_SCOPE: Final = "session.connect"
MAX_TOKEN_ID: Final = 255


class Encoded(NamedTuple):
    """A token just made, and its id: `jti`, or the signature in hex where the format has none."""

    token: str
    token_id: str

    def __repr__(self) -> str:
        """Its id, without the token."""
        return f"Encoded(token_id={self.token_id!r})"


@attrs.frozen(kw_only=True)
class Unverified:
    """A well-formed token whose signature nobody has checked: good for finding the key, never for a decision.

    `claims` are what the token says of itself. `key_hint` is its `kid`, empty in the formats without one.
    `algorithm` is what its header names, or `HMAC-SHA1` for T1.
    """

    format: TokenFormat
    claims: TokenClaims
    key_hint: str
    algorithm: str
    signing_input: bytes = attrs.field(repr=False)
    signature: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Verified:
    """What a token says, and the id of the key whose signature proves it. It may still be out of force."""

    claims: TokenClaims
    key_id: str


def malformed(detail: str) -> TokenRejectedError:
    """The refusal of what is no token; *detail* names a field or a rule, never a value out of the token."""
    return TokenRejectedError(InactiveReason.MALFORMED, detail)


def signature_invalid() -> TokenRejectedError:
    """The refusal of a token whose signature is not the key's."""
    return TokenRejectedError(InactiveReason.SIGNATURE_INVALID, "the signature does not fit token and key")


def key_unknown(detail: str) -> TokenRejectedError:
    """The refusal of a token whose key is not, or no longer, ours."""
    return TokenRejectedError(InactiveReason.KEY_UNKNOWN, detail)


def checked_session_id(session_id: str) -> str:
    """*session_id*, which must have 1 to 255 characters, and none of them U+0000: no store can look for that."""
    if not 1 <= len(session_id) <= MAX_SESSION_ID:
        raise malformed(f"session_id must have 1 to {MAX_SESSION_ID} characters")
    if NUL in session_id:
        raise malformed("session_id has U+0000")
    return session_id


def built_in_role(name: str) -> str:
    """*name*, which must be one of the four roles of the OpenTok formats."""
    if name not in BUILT_IN_ROLES:
        raise malformed("role is none of " + ", ".join(BUILT_IN_ROLES))
    return name


def day_after(issue_time: Seconds) -> Seconds:
    """When a token of the OpenTok formats expires that names no expiry."""
    return min(Seconds(issue_time + DAY), LAST_SECOND)


def split_classes(text: str) -> tuple[str, ...]:
    """The layout classes in *text*, which the OpenTok formats join by single spaces."""
    return tuple(name for name in text.split(" ") if name)

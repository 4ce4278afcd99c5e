"""The token formats: one row for each says what signs it and what it can carry.

Policy, issuance, verification and the rules of projects read the row and name no format. A further format is a member
with its row here, a codec of the same name in `signing/formats/`, a value of `TokenFormat` in the contract, and a
section in docs/explanation/formats.md; the table in docs/explanation/architecture.md also lists its tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import attrs

from tokenauthority.domain.credential import CredentialKind
from tokenauthority.domain.profile import JANUS, JITSI, LIVEKIT, Table


@attrs.frozen(kw_only=True)
class FormatTraits:
    """What is true of every token of a format.

    Attributes:
        signed_by: the kind of the project's credential that signs; None where the authority's own signing key does.
        has_token_id: whether a token carries an id of its own (`jti`). Where it does not, a nonce makes two tokens that
            say the same differ, and the signature in hex is the id.
        carries_permissions: whether a token lists its permissions, so that it can have a role of the project's own.
            Where it does not, the role's name implies them, and only built-in roles have a meaning everywhere.
        carries_subject: whether a token names the end user.
        carries_layout: whether a token has initial layout classes.
        table: the table of the real-time server that takes the tokens, which knows a session by its room; None where
            there is none. The codec of a `Profile` is made of it.
    """

    signed_by: CredentialKind | None
    has_token_id: bool = False
    carries_permissions: bool = False
    carries_subject: bool = False
    carries_layout: bool = False
    table: Table | None = None

    @property
    def signed_by_authority(self) -> bool:
        """Return whether the authority's own signing key signs, so that the JWKS verifies the token."""
        return self.signed_by is None


class TokenFormat(StrEnum):
    """The shape of a token; the names are those of `TokenFormat` in the contract."""

    SESSION_JWT = "SESSION_JWT"
    OPENTOK_T1 = "OPENTOK_T1"
    OPENTOK_JWT = "OPENTOK_JWT"
    VONAGE_JWT = "VONAGE_JWT"
    LIVEKIT_JWT = "LIVEKIT_JWT"
    JITSI_JWT = "JITSI_JWT"
    JANUS = "JANUS"

    @property
    def traits(self) -> FormatTraits:
        """Return the format's row."""
        return _TRAITS[self]


DEFAULT_FORMAT: Final = TokenFormat.SESSION_JWT
"""The default format of a project whose creator names none."""


def _by_table(table: Table) -> FormatTraits:
    return FormatTraits(
        signed_by=CredentialKind.SECRET,
        has_token_id=True,
        carries_permissions=True,
        carries_subject=True,
        table=table,
    )


_TRAITS: Final[Mapping[TokenFormat, FormatTraits]] = {
    TokenFormat.SESSION_JWT: FormatTraits(
        signed_by=None, has_token_id=True, carries_permissions=True, carries_subject=True, carries_layout=True
    ),
    TokenFormat.OPENTOK_T1: FormatTraits(signed_by=CredentialKind.SECRET, carries_layout=True),
    TokenFormat.OPENTOK_JWT: FormatTraits(signed_by=CredentialKind.SECRET, carries_layout=True),
    TokenFormat.VONAGE_JWT: FormatTraits(signed_by=CredentialKind.VONAGE_KEY, has_token_id=True, carries_layout=True),
    TokenFormat.LIVEKIT_JWT: _by_table(LIVEKIT),
    TokenFormat.JITSI_JWT: _by_table(JITSI),
    TokenFormat.JANUS: _by_table(JANUS),
}

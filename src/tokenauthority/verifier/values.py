"""Define what a verifier returns, as frozen values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import attrs

from tokenauthority.client.values import Claims
from tokenauthority.domain.token import TokenClaims


STALE: Final = "STALE"
"""The one reason that VerifyToken does not have: the keys or revocations are too old to check any token."""


@attrs.frozen(kw_only=True)
class Verdict:
    """Whether a token is valid. It is true if the token is valid, so `if verifier.verify(token):` is correct."""

    active: bool
    """Whether the token is valid."""

    reason: str = ""
    """Why the token is invalid: "STALE", or an `InactiveReason` of the contract, such as "EXPIRED"; empty if valid."""

    detail: str = ""
    """The reason in words for a person; not to be parsed."""

    claims: Claims | None = None
    """What the token says, as the client's `verify_token` returns it; None if its signature does not verify."""

    age: float
    """The age in seconds of the keys and revocations that decided; see `Verifier.age`."""

    def __bool__(self) -> bool:
        """Return `active`."""
        return self.active


@attrs.frozen(kw_only=True)
class Status:
    """The state of a verifier, for health checks and metrics."""

    synced: bool
    """Whether it has read the keys and everything in force at least once."""

    stale: bool
    """Whether every token is STALE now."""

    age: float
    """The age in seconds of its keys and revocations; infinite before it is synced."""

    keys: tuple[str, ...]
    """The `kid` of each cached key."""

    revocations: int
    """The number of revocations and ended sessions that it stores."""

    last_error: str
    """The error of the last attempt to read the keys or the revocations; empty if it succeeded."""


def to_client_claims(claims: TokenClaims, key_id: str) -> Claims:
    """Convert what a token says to the client's type."""
    return Claims(
        token_id=claims.token_id,
        session_id=claims.session_id,
        project_id=claims.project_id,
        role=claims.role,
        permissions=tuple(permission.value for permission in claims.permissions),
        data=claims.data,
        initial_layout_class_list=claims.initial_layout_class_list,
        subject=claims.subject,
        format="session_jwt",
        key_id=key_id,
        issue_time=datetime.fromtimestamp(claims.issue_time, UTC),
        expire_time=datetime.fromtimestamp(claims.valid_until(), UTC),
    )

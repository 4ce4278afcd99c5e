"""What a verifier answers, as frozen values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import attrs

from tokenauthority.client.values import Claims


if TYPE_CHECKING:
    from tokenauthority.domain.token import TokenClaims


STALE: Final = "STALE"
"""The one reason that VerifyToken does not have: the verifier's knowledge is too old to judge any token."""

_FORMAT: Final = "session_jwt"


@attrs.frozen(kw_only=True)
class Verdict:
    """Whether a token is good; true where it is, so that `if verifier.verify(token):` is right."""

    active: bool
    reason: str = ""
    """Why it is not good: "STALE", or one of the contract's `InactiveReason`, such as "EXPIRED"; empty where it is."""

    detail: str = ""
    """The same for a person; not to be parsed."""

    claims: Claims | None = None
    """What the token says, as the client's `verify_token` answers it; None where its signature does not hold."""

    age: float
    """How old the knowledge is on which this was decided, in seconds; see `Verifier.age`."""

    def __bool__(self) -> bool:
        """Whether the token is good."""
        return self.active


@attrs.frozen(kw_only=True)
class Status:
    """How a verifier is."""

    synced: bool
    """Whether it has had the keys and everything in force at least once."""

    stale: bool
    """Whether it calls every token STALE now."""

    age: float
    """How old its knowledge is, in seconds; infinite before it is synced."""

    keys: tuple[str, ...]
    """The `kid` of each key that it knows."""

    revocations: int
    """How many revocations and ended sessions it keeps."""

    last_error: str
    """What went wrong, where the last attempt at the keys or at the revocations did; else empty."""


def claims_of(claims: TokenClaims, key_id: str) -> Claims:
    """What a token says, as the client shows it."""
    return Claims(
        token_id=claims.token_id,
        session_id=claims.session_id,
        project_id=claims.project_id,
        role=claims.role,
        permissions=tuple(permission.value for permission in claims.permissions),
        data=claims.data,
        initial_layout_class_list=claims.initial_layout_class_list,
        subject=claims.subject,
        format=_FORMAT,
        key_id=key_id,
        issue_time=datetime.fromtimestamp(claims.issue_time, UTC),
        expire_time=datetime.fromtimestamp(claims.good_until(), UTC),
    )

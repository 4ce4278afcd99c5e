"""Whether a token whose signature holds is good now: the rules that the authority and offline verifiers share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tokenauthority.domain.revocation import TargetKind
from tokenauthority.domain.token import InactiveReason, TokenRejectedError


if TYPE_CHECKING:
    from collections.abc import Collection

    from tokenauthority.domain.revoked import RevokedIndex
    from tokenauthority.domain.role import Permission
    from tokenauthority.domain.times import Seconds
    from tokenauthority.domain.token import TokenClaims


_TAKEN_BACK: Final = {
    TargetKind.TOKEN: "the token was taken back",
    TargetKind.SESSION: "the tokens of the session were taken back",
    TargetKind.SUBJECT: "the tokens of the subject were taken back",
}


def require_time(claims: TokenClaims, now: Seconds, leeway: Seconds) -> None:
    """Require that the token is issued and not expired, by clocks that may differ by *leeway* seconds.

    Raises:
        TokenRejectedError: `NOT_YET_VALID` or `EXPIRED`.
    """
    if claims.issue_time > now + leeway:
        raise TokenRejectedError(InactiveReason.NOT_YET_VALID, f"issued {claims.issue_time - now}s in the future")
    if claims.not_before > now + leeway:
        raise TokenRejectedError(InactiveReason.NOT_YET_VALID, f"good in {claims.not_before - now}s (nbf)")
    good_until = claims.good_until()
    if now >= good_until + leeway:
        raise TokenRejectedError(InactiveReason.EXPIRED, f"expired {now - good_until}s ago")


def require_in_force(index: RevokedIndex, project_id: str, claims: TokenClaims) -> None:
    """Require that nobody has taken the token back.

    Raises:
        TokenRejectedError: `REVOKED`.
    """
    revoked = index.revoked(
        project_id,
        token_id=claims.token_id,
        session_id=claims.session_id,
        subject=claims.subject,
        issue_time=claims.issue_time,
    )
    if revoked is not None:
        raise TokenRejectedError(InactiveReason.REVOKED, _TAKEN_BACK[revoked])


def require_permissions(granted: Collection[Permission], required: Collection[Permission]) -> None:
    """Require every one of *required*.

    Raises:
        TokenRejectedError: `PERMISSION_MISSING`.
    """
    missing = [permission.value for permission in required if permission not in granted]
    if missing:
        raise TokenRejectedError(InactiveReason.PERMISSION_MISSING, "lacks " + ", ".join(missing))

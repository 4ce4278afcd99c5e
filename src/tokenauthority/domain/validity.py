"""Whether a token whose signature verifies is valid now: the rules of the authority and of offline verifiers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from tokenauthority.domain.ids import project_in_session_id
from tokenauthority.domain.project import Project
from tokenauthority.domain.revocation import TargetKind
from tokenauthority.domain.revocation_index import RevocationIndex
from tokenauthority.domain.role import Permission
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token import InactiveReason, TokenClaims, TokenRejectedError


_REVOKED: Final = {
    TargetKind.TOKEN: "the token is revoked",
    TargetKind.SESSION: "the tokens of the session are revoked",
    TargetKind.SUBJECT: "the tokens of the subject are revoked",
    TargetKind.PROJECT: "the project was deleted",
}


def require_enabled(project: Project) -> None:
    """Raise TokenRejectedError, `PROJECT_DISABLED`, for a token of a project that is disabled."""
    if project.disabled:
        raise TokenRejectedError(InactiveReason.PROJECT_DISABLED, "the project is disabled")


def require_time(claims: TokenClaims, now: Seconds, leeway: Seconds) -> None:
    """Raise TokenRejectedError, `NOT_YET_VALID` or `EXPIRED`; clocks may differ by *leeway* seconds."""
    if claims.issue_time > now + leeway:
        raise TokenRejectedError(InactiveReason.NOT_YET_VALID, f"issued {claims.issue_time - now}s in the future")
    if claims.not_before > now + leeway:
        raise TokenRejectedError(InactiveReason.NOT_YET_VALID, f"valid in {claims.not_before - now}s (nbf)")
    valid_until = claims.valid_until()
    if now >= valid_until + leeway:
        raise TokenRejectedError(InactiveReason.EXPIRED, f"expired {now - valid_until}s ago")


def require_not_revoked(index: RevocationIndex, project_id: str, claims: TokenClaims) -> None:
    """Raise TokenRejectedError, `REVOKED`, if the token is revoked."""
    revoked = index.revoked_by(
        project_id,
        token_id=claims.token_id,
        session_id=claims.session_id,
        subject=claims.subject,
        issue_time=claims.issue_time,
    )
    if revoked is not None:
        raise TokenRejectedError(InactiveReason.REVOKED, _REVOKED[revoked])


def require_original_not_revoked(index: RevocationIndex, project_id: str, claims: TokenClaims) -> None:
    """Raise TokenRejectedError, `REVOKED`, if the token is a copy of one whose id is revoked.

    LiveKit makes a copy of a token again and again for whoever is in the room. The copy has another id and time of
    issue, but the subject of its original, which is the original's id unless the caller named a subject.
    """
    if index.revoked_by(project_id, token_id=claims.subject, session_id="", subject="", issue_time=Seconds(0)):
        raise TokenRejectedError(InactiveReason.REVOKED, "the token is a copy of a revoked one")


def require_session_id(claims: TokenClaims) -> None:
    """Raise TokenRejectedError, `SESSION_MISMATCH`, if what the token names is spelled as no session id is."""
    if project_in_session_id(claims.session_id) is None:
        raise TokenRejectedError(InactiveReason.SESSION_MISMATCH, "what the token names is not a session id")


def require_permissions(granted: Collection[Permission], required: Collection[Permission]) -> None:
    """Raise TokenRejectedError, `PERMISSION_MISSING`, unless every one of *required* is granted."""
    missing = [permission.value for permission in required if permission not in granted]
    if missing:
        raise TokenRejectedError(InactiveReason.PERMISSION_MISSING, "lacks " + ", ".join(missing))

"""Revocations: statements that tokens issued up to a moment are invalid, and how long each must be stored."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from tokenauthority.domain.errors import FieldViolation, stored_text_violations
from tokenauthority.domain.times import MAX_LEEWAY, MAX_TTL, Millis, Seconds, as_text, in_millis, whole_seconds


MAX_TARGET: Final = 255
"""Characters of a token id or subject."""

MAX_COMMENT: Final = 256

RETENTION: Final = Seconds(MAX_TTL + MAX_LEEWAY)
"""How long after its `issued_before` a revocation can still cover a token that is otherwise valid."""


class TargetKind(StrEnum):
    """What a revocation names."""

    TOKEN = "token"  # noqa: S105 - the name of a kind, not a secret
    SESSION = "session"
    SUBJECT = "subject"
    PROJECT = "project"


class StoredRevocation(msgspec.Struct, frozen=True, kw_only=True):
    """A statement that the tokens of `target`, issued at `issued_before` or earlier, are invalid.

    One of kind PROJECT has an empty target: it covers all tokens of `project_id`, which was deleted.

    A msgspec struct, because a new watcher is sent every revocation in force.
    """

    revocation_id: str
    project_id: str
    kind: TargetKind
    target: str
    issued_before: Seconds
    comment: str
    create_time: Millis

    @property
    def expire_time(self) -> Millis:
        """Return the moment from which no token that it covers can be valid, whatever leeway a verifier has."""
        return in_millis(Seconds(self.issued_before + RETENTION))


class StoredSessionEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a session: all its tokens are invalid."""

    session_id: str
    project_id: str
    end_time: Millis


RevokedTarget: TypeAlias = tuple[str, str, str, str, Seconds]
"""What a revocation says: its id, project, kind, target and `issued_before`.

A plain tuple: a server that starts reads every revocation in force, and a million structs would double the time.
"""

Event: TypeAlias = StoredRevocation | StoredSessionEnd
"""What makes tokens invalid before they expire."""


def revocation_violations(token_id: str, subject: str, comment: str) -> list[FieldViolation]:
    """Return what is wrong with the texts of a requested revocation."""
    return [
        *stored_text_violations("token_id", token_id, MAX_TARGET),
        *stored_text_violations("subject", subject, MAX_TARGET),
        *comment_violations(comment),
    ]


def comment_violations(comment: str) -> list[FieldViolation]:
    """Return what is wrong with the comment of a revocation, of tokens or of a key."""
    return stored_text_violations("comment", comment, MAX_COMMENT)


def moment_violations(issued_before: Seconds, now: Millis) -> list[FieldViolation]:
    """Return what is wrong with the moment that a caller names."""
    second = whole_seconds(now)
    if issued_before > second:
        problem = f"must not lie in the future; the authority's clock says {as_text(second)}"
        return [FieldViolation("issued_before", problem)]
    if issued_before < second - RETENTION:
        return [FieldViolation("issued_before", "must lie within the last 30 days: older tokens are expired")]
    return []

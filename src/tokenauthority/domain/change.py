"""Define changes: what the servers of one store read from each other, so that their caches stay true."""

from __future__ import annotations

from enum import StrEnum

import attrs


class ChangeKind(StrEnum):
    """What changed. STORE_CREATED is the first change of every store."""

    STORE_CREATED = "origin"
    PROJECT = "project"
    PROJECT_DELETION = "project_deletion"
    ROLE = "role"
    SESSION_END = "session_end"
    KEY = "key"
    REVOCATION = "revocation"


class HistoryLostError(Exception):
    """The changes after a cursor cannot be listed: they were deleted, or the store was restored from a backup."""


@attrs.frozen
class Cursor:
    """A position in the changes of a store: right after the change with this `sequence`.

    `mark` is that change's random number. A store that was restored from a backup counts on from an earlier sequence,
    and only the mark distinguishes its change 17 from the other one. Without arguments it is the position before all
    changes.
    """

    sequence: int = 0
    mark: int = 0


@attrs.frozen(kw_only=True)
class Change:
    """One change. `sequence` grows in commit order; `subject` is the id of what changed (of a role, its name).

    `mark` is a random number of 63 bits.
    """

    sequence: int
    mark: int
    kind: ChangeKind
    project_id: str
    subject: str

    @property
    def cursor(self) -> Cursor:
        """The position right after this change."""
        return Cursor(self.sequence, self.mark)

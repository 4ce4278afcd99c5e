"""Changes: what the servers of one store tell each other, so that their caches stay true."""

from __future__ import annotations

from enum import StrEnum

import attrs


class ChangeKind(StrEnum):
    """What changed."""

    PROJECT = "project"
    ROLE = "role"
    SESSION_END = "session_end"
    KEY = "key"


@attrs.frozen(kw_only=True)
class Change:
    """One change. `sequence` grows in commit order; `subject` names the object: a project, role, session or key id."""

    sequence: int
    kind: ChangeKind
    project_id: str
    subject: str

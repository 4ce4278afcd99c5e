"""Add indexes for clients that watch some projects among many."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from alembic import op


revision: Final = "0003"
down_revision: Final = "0002"


def upgrade() -> None:
    """Add the indexes."""
    has_ended = sa.text("end_time IS NOT NULL")
    op.create_index(
        "ix_sessions_project_end",
        "sessions",
        ["project_id", "end_time", "session_id"],
        sqlite_where=has_ended,
        postgresql_where=has_ended,
    )
    op.create_index("ix_revocations_project", "revocations", ["project_id", "revocation_id"])

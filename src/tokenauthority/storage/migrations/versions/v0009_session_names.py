"""Add names of sessions: their rooms on real-time servers."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from alembic import op
from sqlalchemy.dialects import postgresql


revision: Final = "0009"
down_revision: Final = "0008"

_ID: Final = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the column, and the index by which no two sessions of a project have one name."""
    op.add_column("sessions", sa.Column("name", _ID, nullable=True))
    named = sa.text("name IS NOT NULL")
    op.create_index(
        "uq_sessions_name",
        "sessions",
        ["project_id", "name"],
        unique=True,
        sqlite_where=named,
        postgresql_where=named,
    )

"""Add what says that a project is disabled or deleted."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from alembic import op


revision: Final = "0010"
down_revision: Final = "0009"


def upgrade() -> None:
    """Add the columns: no project is disabled or deleted. Add the index by which sessions are deleted."""
    op.add_column("projects", sa.Column("disabled", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("projects", sa.Column("delete_time", sa.BigInteger, nullable=True))
    deleted = sa.text("delete_time IS NOT NULL")
    op.create_index("ix_projects_deleted", "projects", ["delete_time"], sqlite_where=deleted, postgresql_where=deleted)
    op.create_index("ix_session_requests_session_id", "session_requests", ["session_id"])

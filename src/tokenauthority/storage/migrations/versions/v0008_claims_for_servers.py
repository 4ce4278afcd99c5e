"""Add the servers that a project's tokens have further claims for."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from alembic import op
from sqlalchemy.dialects import postgresql


revision: Final = "0008"
down_revision: Final = "0007"

_ID: Final = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the column."""
    op.add_column("projects", sa.Column("claims_for", _ID, nullable=False, server_default=""))

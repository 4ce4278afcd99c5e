"""Add the platform that creates the sessions of a project."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from alembic import op
from sqlalchemy.dialects import postgresql


revision: Final = "0006"
down_revision: Final = "0005"

_ID: Final = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the column: the authority creates the sessions of every project that there is."""
    op.add_column("projects", sa.Column("platform_url", _ID, nullable=False, server_default=""))

"""Add the records of running servers."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from alembic import op
from sqlalchemy.dialects import postgresql


revision: Final = "0012"
down_revision: Final = "0011"
oldest_program: Final = "0010"

_ID: Final = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "servers",
        sa.Column("server_id", _ID, nullable=False),
        sa.Column("seen", sa.BigInteger, nullable=False),
        sa.Column("settings", _ID, nullable=False),
        sa.PrimaryKeyConstraint("server_id", name="pk_servers"),
    )

"""Add the oldest program that works with the schema, by which older servers know that they may continue."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from alembic import op
from sqlalchemy.dialects import postgresql


revision: Final = "0011"
down_revision: Final = "0010"
oldest_program: Final = "0010"

_ID: Final = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the table, which `storage/migrate.py` fills after each upgrade."""
    op.create_table(
        "schema_support",
        sa.Column("id", sa.BigInteger, nullable=False),
        sa.Column("oldest_program", _ID, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_schema_support"),
    )

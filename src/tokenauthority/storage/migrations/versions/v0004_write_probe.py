"""Add the row that servers change to see that the store can be written."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from alembic import op


revision: Final = "0004"
down_revision: Final = "0003"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "write_probe",
        sa.Column("number", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("writes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_write_probe"),
    )

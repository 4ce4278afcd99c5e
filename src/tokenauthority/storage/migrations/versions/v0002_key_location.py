"""Signing keys may live outside of the store."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from alembic import op


revision: Final = "0002"
down_revision: Final = "0001"


def upgrade() -> None:
    """Say of each key where it is: until now, in its row."""
    op.add_column("signing_keys", sa.Column("location", sa.Text(), nullable=False, server_default=""))

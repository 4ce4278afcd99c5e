"""Signing keys may live outside of the store."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from alembic import op
from sqlalchemy.dialects import postgresql


revision: Final = "0002"
down_revision: Final = "0001"

_ID: Final = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Say of each key where it is: until now, in its row."""
    op.add_column("signing_keys", sa.Column("location", _ID, nullable=False, server_default=""))

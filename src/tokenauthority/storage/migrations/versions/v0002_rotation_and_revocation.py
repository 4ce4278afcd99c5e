"""Add the rotation of signing keys, revocations, and marks that tell two histories of changes apart."""

from __future__ import annotations

import secrets
import time

from typing import Final

import sqlalchemy as sa

from alembic import op
from sqlalchemy.dialects import postgresql


revision: Final = "0002"
down_revision: Final = "0001"

_ID: Final = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
_SEQUENCE: Final = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_DAY: Final = 24 * 60 * 60 * 1000
_KEY_LIFE: Final = 37 * _DAY
"""Milliseconds. How long keys of the first schema, which signed without an end, sign from now on."""

_GRACE: Final = 7 * _DAY
"""Milliseconds. How long an older key still signs: the next one has to be published before it signs."""


def upgrade() -> None:
    """Add the columns, table and indexes, and number the changes anew."""
    op.add_column("signing_keys", sa.Column("sign_until", sa.BigInteger(), nullable=True))
    op.add_column("signing_keys", sa.Column("location", _ID, nullable=False, server_default=""))
    _end_keys()
    has_ended = sa.text("end_time IS NOT NULL")
    op.create_index(
        "ix_sessions_end", "sessions", ["end_time", "session_id"], sqlite_where=has_ended, postgresql_where=has_ended
    )
    op.create_table(
        "revocations",
        sa.Column("revocation_id", _ID, nullable=False),
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("kind", _ID, nullable=False),
        sa.Column("target", _ID, nullable=False),
        sa.Column("issued_before", sa.BigInteger(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("revocation_id", name="pk_revocations"),
        sa.UniqueConstraint("project_id", "kind", "target", name="uq_revocations_project_id"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.project_id"], name="fk_revocations_projects"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_revocations_issued_before", "revocations", ["issued_before"])
    _number_changes_anew()


def _end_keys() -> None:
    connection = op.get_bind()
    life = sa.text("UPDATE signing_keys SET sign_until = activate_time + :life")
    connection.execute(life, {"life": _KEY_LIFE})
    grace = sa.text("UPDATE signing_keys SET sign_until = :soonest WHERE state = 'active' AND sign_until < :soonest")
    connection.execute(grace, {"soonest": time.time_ns() // 1_000_000 + _GRACE})


def _number_changes_anew() -> None:
    """Create the table of changes anew: only servers that run need them, and none runs during a migration."""
    op.drop_table("changes")
    op.create_table(
        "changes",
        sa.Column("sequence", _SEQUENCE, sa.Identity(always=True), nullable=False),
        sa.Column("mark", sa.BigInteger(), nullable=False),
        sa.Column("kind", _ID, nullable=False),
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("subject", _ID, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_changes"),
        sqlite_autoincrement=True,
    )
    origin = sa.text("INSERT INTO changes (mark, kind, project_id, subject) VALUES (:mark, 'origin', '', '')")
    op.get_bind().execute(origin, {"mark": secrets.randbits(63)})

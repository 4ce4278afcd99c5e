"""Create the first schema: projects, roles, sessions, signing keys and changes."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from alembic import op
from sqlalchemy.dialects import postgresql


revision: Final = "0001"
down_revision: Final = None

_ID: Final = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
_SEQUENCE: Final = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create every table in an empty database."""
    _projects()
    _roles()
    _sessions()
    _signing_keys()
    op.create_table(
        "changes",
        sa.Column("sequence", _SEQUENCE, sa.Identity(always=True), nullable=False),
        sa.Column("kind", _ID, nullable=False),
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("subject", _ID, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_changes"),
        sqlite_autoincrement=True,
    )


def _projects() -> None:
    op.create_table(
        "projects",
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("default_format", _ID, nullable=False),
        sa.Column("default_ttl", sa.BigInteger(), nullable=False),
        sa.Column("max_ttl", sa.BigInteger(), nullable=False),
        sa.Column("external_sessions", sa.Boolean(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("vonage_application_id", _ID, nullable=True),
        sa.PrimaryKeyConstraint("project_id", name="pk_projects"),
        sa.UniqueConstraint("number", name="uq_projects_number"),
        sa.UniqueConstraint("vonage_application_id", name="uq_projects_vonage_application_id"),
    )
    op.create_table(
        "project_credentials",
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("credential_id", _ID, nullable=False),
        sa.Column("kind", _ID, nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "credential_id", name="pk_project_credentials"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.project_id"], name="fk_project_credentials_projects"),
    )


def _roles() -> None:
    op.create_table(
        "roles",
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("name", _ID, nullable=False),
        sa.Column("permissions", _ID, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("update_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "name", name="pk_roles"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.project_id"], name="fk_roles_projects"),
    )


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("session_id", _ID, nullable=False),
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("media_mode", _ID, nullable=False),
        sa.Column("archive_mode", _ID, nullable=False),
        sa.Column("location", _ID, nullable=False),
        sa.Column("e2ee", sa.Boolean(), nullable=False),
        sa.Column("archive_name", sa.Text(), nullable=False),
        sa.Column("archive_resolution", _ID, nullable=False),
        sa.Column("state", _ID, nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("end_time", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("session_id", name="pk_sessions"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.project_id"], name="fk_sessions_projects"),
    )
    op.create_index("ix_sessions_newest", "sessions", ["project_id", "create_time", "session_id"])
    op.create_index("ix_sessions_state_newest", "sessions", ["project_id", "state", "create_time", "session_id"])
    op.create_table(
        "session_requests",
        sa.Column("caller", _ID, nullable=False),
        sa.Column("request_id", _ID, nullable=False),
        sa.Column("body_digest", _ID, nullable=False),
        sa.Column("session_id", _ID, nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("caller", "request_id", name="pk_session_requests"),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["sessions.session_id"],
            name="fk_session_requests_sessions",
            deferrable=True,
            initially="DEFERRED",
        ),
    )
    op.create_index("ix_session_requests_create_time", "session_requests", ["create_time"])


def _signing_keys() -> None:
    op.create_table(
        "signing_keys",
        sa.Column("key_id", _ID, nullable=False),
        sa.Column("algorithm", _ID, nullable=False),
        sa.Column("state", _ID, nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("activate_time", sa.BigInteger(), nullable=True),
        sa.Column("retire_time", sa.BigInteger(), nullable=True),
        sa.Column("expire_time", sa.BigInteger(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", name="pk_signing_keys"),
    )
    only_active = sa.text("state = 'active'")
    op.create_index(
        "uq_signing_keys_active",
        "signing_keys",
        ["state"],
        unique=True,
        sqlite_where=only_active,
        postgresql_where=only_active,
    )

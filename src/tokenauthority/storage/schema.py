"""The tables of a store, the same on SQLite and PostgreSQL.

Times are UTC milliseconds in BIGINT. Ids are text that is compared and ordered by its bytes: SQLite does so by itself,
PostgreSQL by the collation "C", whatever the locale of the database. What is secret is stored sealed.

Projects and sessions are never deleted. `migrations/` builds these tables; a test finds no difference between the two.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from sqlalchemy.dialects import postgresql


metadata: Final = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

_Id: Final = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
_Sequence: Final = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""SQLite counts by itself only in a column whose type is spelled INTEGER."""

projects: Final = sa.Table(
    "projects",
    metadata,
    sa.Column("project_id", _Id, primary_key=True),
    # The id as a number: what pages of projects are ordered by.
    sa.Column("number", sa.BigInteger, nullable=False, unique=True),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("default_format", _Id, nullable=False),
    sa.Column("default_ttl", sa.BigInteger, nullable=False),
    sa.Column("max_ttl", sa.BigInteger, nullable=False),
    sa.Column("external_sessions", sa.Boolean, nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("vonage_application_id", _Id, nullable=True, unique=True),
)

project_credentials: Final = sa.Table(
    "project_credentials",
    metadata,
    sa.Column("project_id", _Id, sa.ForeignKey(projects.c.project_id), primary_key=True),
    sa.Column("credential_id", _Id, primary_key=True),
    sa.Column("kind", _Id, nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)

roles: Final = sa.Table(
    "roles",
    metadata,
    sa.Column("project_id", _Id, sa.ForeignKey(projects.c.project_id), primary_key=True),
    sa.Column("name", _Id, primary_key=True),
    # Names in the order of the enum, with single spaces between.
    sa.Column("permissions", _Id, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("update_time", sa.BigInteger, nullable=False),
)

sessions: Final = sa.Table(
    "sessions",
    metadata,
    sa.Column("session_id", _Id, primary_key=True),
    sa.Column("project_id", _Id, sa.ForeignKey(projects.c.project_id), nullable=False),
    sa.Column("media_mode", _Id, nullable=False),
    sa.Column("archive_mode", _Id, nullable=False),
    sa.Column("location", _Id, nullable=False),
    sa.Column("e2ee", sa.Boolean, nullable=False),
    sa.Column("archive_name", sa.Text, nullable=False),
    sa.Column("archive_resolution", _Id, nullable=False),
    sa.Column("state", _Id, nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("end_time", sa.BigInteger, nullable=True),
    # One for each way to page: without the second, the ended sessions among a million active ones would cost a scan.
    sa.Index("ix_sessions_newest", "project_id", "create_time", "session_id"),
    sa.Index("ix_sessions_state_newest", "project_id", "state", "create_time", "session_id"),
)

_has_ended: Final = sa.text("end_time IS NOT NULL")
sa.Index(
    "ix_sessions_end",
    sessions.c.end_time,
    sessions.c.session_id,
    sqlite_where=_has_ended,
    postgresql_where=_has_ended,
)
sa.Index(
    "ix_sessions_project_end",
    sessions.c.project_id,
    sessions.c.end_time,
    sessions.c.session_id,
    sqlite_where=_has_ended,
    postgresql_where=_has_ended,
)

session_requests: Final = sa.Table(
    "session_requests",
    metadata,
    sa.Column("caller", _Id, primary_key=True),
    sa.Column("request_id", _Id, primary_key=True),
    sa.Column("body_digest", _Id, nullable=False),
    # Deferred, because the key is claimed before its session is written: whoever loses the claim then writes nothing.
    sa.Column(
        "session_id",
        _Id,
        sa.ForeignKey(sessions.c.session_id, deferrable=True, initially="DEFERRED"),
        nullable=False,
    ),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Index("ix_session_requests_create_time", "create_time"),
)

signing_keys: Final = sa.Table(
    "signing_keys",
    metadata,
    sa.Column("key_id", _Id, primary_key=True),
    sa.Column("algorithm", _Id, nullable=False),
    sa.Column("state", _Id, nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("activate_time", sa.BigInteger, nullable=True),
    sa.Column("sign_until", sa.BigInteger, nullable=True),
    sa.Column("retire_time", sa.BigInteger, nullable=True),
    sa.Column("expire_time", sa.BigInteger, nullable=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    # Empty: the private key is what is sealed. Else the URI of where it lives, and the public key is.
    sa.Column("location", _Id, nullable=False, server_default=""),
)

_only_active: Final = sa.text("state = 'active'")
sa.Index(
    "uq_signing_keys_active",
    signing_keys.c.state,
    unique=True,
    sqlite_where=_only_active,
    postgresql_where=_only_active,
)

revocations: Final = sa.Table(
    "revocations",
    metadata,
    sa.Column("revocation_id", _Id, primary_key=True),
    sa.Column("project_id", _Id, sa.ForeignKey(projects.c.project_id), nullable=False),
    sa.Column("kind", _Id, nullable=False),
    sa.Column("target", _Id, nullable=False),
    # In whole seconds, as tokens have it.
    sa.Column("issued_before", sa.BigInteger, nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("project_id", "kind", "target"),
    sa.Index("ix_revocations_issued_before", "issued_before"),
    sa.Index("ix_revocations_project", "project_id", "revocation_id"),
    # A server that starts reads them all in the order of their ids: so SQLite keeps the rows in that order.
    sqlite_with_rowid=False,
)

changes: Final = sa.Table(
    "changes",
    metadata,
    sa.Column("sequence", _Sequence, sa.Identity(always=True), primary_key=True),
    sa.Column("mark", sa.BigInteger, nullable=False),
    sa.Column("kind", _Id, nullable=False),
    sa.Column("project_id", _Id, nullable=False),
    sa.Column("subject", _Id, nullable=False),
    # Without it SQLite would give the number of a newest row that was deleted a second time.
    sqlite_autoincrement=True,
)

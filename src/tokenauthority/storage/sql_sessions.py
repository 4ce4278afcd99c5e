"""Store sessions in SQL, and the request ids that make it safe to repeat their creation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
import sqlalchemy as sa

from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.ids import other_spelling
from tokenauthority.domain.session import (
    NAME_PERIOD,
    ArchiveMode,
    IdempotencyKey,
    MediaMode,
    SessionSpec,
    SessionState,
    StoredSession,
)
from tokenauthority.domain.times import Millis
from tokenauthority.storage import errors
from tokenauthority.storage.database import Query, SqlOperations, insert_or, point_query, query, transaction
from tokenauthority.storage.schema import Id, metadata, partial_index
from tokenauthority.storage.sql_changes import ChangeLog
from tokenauthority.storage.sql_projects import projects, require_project
from tokenauthority.storage.store import IDEMPOTENCY_PERIOD


sessions: Final = sa.Table(
    "sessions",
    metadata,
    sa.Column("session_id", Id, primary_key=True),
    sa.Column("project_id", Id, sa.ForeignKey(projects.c.project_id), nullable=False),
    sa.Column("media_mode", Id, nullable=False),
    sa.Column("archive_mode", Id, nullable=False),
    sa.Column("location", Id, nullable=False),
    sa.Column("e2ee", sa.Boolean, nullable=False),
    sa.Column("archive_name", sa.Text, nullable=False),
    sa.Column("archive_resolution", Id, nullable=False),
    sa.Column("state", Id, nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("end_time", sa.BigInteger, nullable=True),
    sa.Column("name", Id, nullable=True),
    # One for each way to page: without the second, the ended sessions among a million active ones would cost a scan.
    sa.Index("ix_sessions_newest", "project_id", "create_time", "session_id"),
    sa.Index("ix_sessions_state_newest", "project_id", "state", "create_time", "session_id"),
)
_END: Final = (sessions.c.end_time, sessions.c.session_id)
partial_index("uq_sessions_name", "name IS NOT NULL", sessions.c.project_id, sessions.c.name, unique=True)
partial_index("ix_sessions_end", "end_time IS NOT NULL", *_END)
partial_index("ix_sessions_project_end", "end_time IS NOT NULL", sessions.c.project_id, *_END)

requests: Final = sa.Table(
    "session_requests",
    metadata,
    sa.Column("caller", Id, primary_key=True),
    sa.Column("request_id", Id, primary_key=True),
    sa.Column("body_digest", Id, nullable=False),
    # Deferred, because the key is claimed before its session is written: whoever loses the claim then writes nothing.
    sa.Column(
        "session_id", Id, sa.ForeignKey(sessions.c.session_id, deferrable=True, initially="DEFERRED"), nullable=False
    ),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Index("ix_session_requests_create_time", "create_time"),
    sa.Index("ix_session_requests_session_id", "session_id"),
)

_BY_ID: Final = sa.select(sessions).where(sessions.c.session_id.in_([sa.bindparam("wanted"), sa.bindparam("other")]))
_BY_NAME: Final = sa.select(sessions).where(
    sessions.c.project_id == sa.bindparam("project"), sessions.c.name == sa.bindparam("wanted")
)
_BY_REQUEST: Final = (
    sa.select(sessions, requests.c.body_digest)
    .join(requests, requests.c.session_id == sessions.c.session_id)
    .where(requests.c.caller == sa.bindparam("caller"), requests.c.request_id == sa.bindparam("request_id"))
)


class SqlSessionStore(SqlOperations):
    """Implements `SessionStore`."""

    @transaction
    def create_session(
        self, connection: sa.Connection, session: StoredSession, idempotency_key: IdempotencyKey | None
    ) -> StoredSession:
        require_project(connection, session.project_id)
        if idempotency_key is not None and not _claim_key(connection, session, idempotency_key):
            return _select_repeated(connection, idempotency_key)
        if session.spec.name:
            _require_free_name(connection, session)
        insert = insert_or(connection, sessions).on_conflict_do_nothing().returning(sessions.c.session_id)
        if connection.execute(insert, _row_of_session(session)).first() is None:
            # Another transaction may have taken the name meanwhile.
            if _select_named(connection, session.project_id, session.spec.name) is not None:
                raise errors.session_exists(session.spec.name)
            raise errors.session_taken(session)
        return session

    @point_query
    def find_repeated_session(
        self, connection: sa.Connection, idempotency_key: IdempotencyKey, now: Millis
    ) -> StoredSession | None:
        is_young = requests.c.create_time >= now - IDEMPOTENCY_PERIOD
        return _select_by_key(connection, _BY_REQUEST.where(is_young), idempotency_key)

    @point_query
    def get_session(self, connection: sa.Connection, session_id: str) -> StoredSession | None:
        return _select_session(connection, session_id)

    @point_query
    def find_session(self, connection: sa.Connection, project_id: str, name: str) -> StoredSession | None:
        return _select_named(connection, project_id, name)

    @query
    def list_sessions(
        self,
        connection: sa.Connection,
        project_id: str,
        *,
        before: tuple[Millis, str] | None,
        limit: int,
        state: SessionState | None,
    ) -> Sequence[StoredSession]:
        rows = connection.execute(page_of_sessions(project_id, before, limit, state)).mappings().all()
        return [_session_from_row(row) for row in rows]

    @transaction
    def end_session(self, connection: sa.Connection, session: StoredSession, now: Millis) -> StoredSession:
        log = ChangeLog(connection)
        require_project(connection, session.project_id)
        known = _select_session(connection, session.session_id)
        ended = (known or session).ended(now)
        if known is None:
            connection.execute(sa.insert(sessions), _row_of_session(ended))
        elif known.state is SessionState.ENDED:
            return known
        else:
            is_session = sessions.c.session_id == ended.session_id
            values = {"state": ended.state.value, "end_time": ended.end_time}
            connection.execute(sa.update(sessions).where(is_session).values(values))
        log.append(ChangeKind.SESSION_END, ended.project_id, ended.session_id)
        return ended

    @transaction
    def delete_old_requests(self, connection: sa.Connection, now: Millis, limit: int) -> int:
        """Delete at most *limit* request ids older than 24 hours, and return how many."""
        is_old = requests.c.create_time < now - IDEMPOTENCY_PERIOD
        key = (requests.c.caller, requests.c.request_id)
        page = sa.select(*key).where(is_old).order_by(requests.c.create_time).limit(limit)
        # The age is asked twice: a row that was claimed anew while this statement waited for it must stay.
        return connection.execute(sa.delete(requests).where(sa.tuple_(*key).in_(page), is_old)).rowcount


def page_of_sessions(
    project_id: str, before: tuple[Millis, str] | None, limit: int, state: SessionState | None
) -> Query:
    """Return the statement of `list_sessions`; its conditions and order are those of an index, read backwards."""
    newest_first = (sessions.c.create_time, sessions.c.session_id)
    statement = sa.select(sessions).where(sessions.c.project_id == project_id)
    if state is not None:
        statement = statement.where(sessions.c.state == state.value)
    if before is not None:
        statement = statement.where(sa.tuple_(*newest_first) < sa.tuple_(*before))
    return statement.order_by(*(column.desc() for column in newest_first)).limit(limit)


def _claim_key(connection: sa.Connection, session: StoredSession, key: IdempotencyKey) -> bool:
    """Give the key to *session* if it is new or older than 24 hours, and return whether it was.

    Of callers that overlap, one inserts and the others wait here for its commit. Then they find the row, too young to
    claim, and locked by this statement so that it cannot be deleted before `_select_repeated` reads it.
    """
    insert = insert_or(connection, requests)
    claim = insert.on_conflict_do_update(
        index_elements=[requests.c.caller, requests.c.request_id],
        set_={name: insert.excluded[name] for name in ("body_digest", "session_id", "create_time")},
        where=requests.c.create_time < insert.excluded.create_time - IDEMPOTENCY_PERIOD,
    ).returning(requests.c.session_id)
    row = {**attrs.asdict(key), "session_id": session.session_id, "create_time": session.create_time}
    return connection.execute(claim, row).first() is not None


def _select_repeated(connection: sa.Connection, key: IdempotencyKey) -> StoredSession:
    session = _select_by_key(connection, _BY_REQUEST, key)
    if session is None:
        raise sa.exc.NoResultFound("a key that could not be claimed has no session")
    return session


def _select_by_key(connection: sa.Connection, statement: Query, key: IdempotencyKey) -> StoredSession | None:
    values = {"caller": key.caller, "request_id": key.request_id}
    row = connection.execute(statement, values).mappings().first()
    if row is None:
        return None
    if row["body_digest"] != key.body_digest:
        raise errors.request_id_reused(key.request_id)
    return _session_from_row(row)


def _require_free_name(connection: sa.Connection, session: StoredSession) -> None:
    """Take the name from a session that ended long ago; raise AlreadyExistsError if another one has it."""
    known = _select_named(connection, session.project_id, session.spec.name)
    if known is None:
        return
    if known.end_time is None or known.end_time >= session.create_time - NAME_PERIOD:
        raise errors.session_exists(session.spec.name)
    connection.execute(sa.update(sessions).where(sessions.c.session_id == known.session_id).values(name=None))


def _select_named(connection: sa.Connection, project_id: str, name: str) -> StoredSession | None:
    row = connection.execute(_BY_NAME, {"project": project_id, "wanted": name}).mappings().first()
    return None if row is None else _session_from_row(row)


def _select_session(connection: sa.Connection, session_id: str) -> StoredSession | None:
    values = {"wanted": session_id, "other": other_spelling(session_id)}
    found = [_session_from_row(row) for row in connection.execute(_BY_ID, values).mappings()]
    return min(found, key=lambda s: (s.state is not SessionState.ENDED, s.session_id != session_id), default=None)


def _row_of_session(session: StoredSession) -> dict[str, str | int | bool | None]:
    return {
        "session_id": session.session_id,
        "project_id": session.project_id,
        **attrs.asdict(session.spec),
        "media_mode": session.spec.media_mode.value,
        "archive_mode": session.spec.archive_mode.value,
        "name": session.spec.name or None,
        "state": session.state.value,
        "create_time": session.create_time,
        "end_time": session.end_time,
    }


def _session_from_row(row: sa.RowMapping) -> StoredSession:
    try:
        media_mode, archive_mode = MediaMode(row["media_mode"]), ArchiveMode(row["archive_mode"])
        state = SessionState(row["state"])
    except ValueError as error:
        raise errors.unreadable(f"session {row['session_id']}") from error
    return StoredSession(
        session_id=row["session_id"],
        project_id=row["project_id"],
        spec=SessionSpec(
            media_mode=media_mode,
            archive_mode=archive_mode,
            location=row["location"],
            e2ee=row["e2ee"],
            archive_name=row["archive_name"],
            archive_resolution=row["archive_resolution"],
            name=row["name"] or "",
        ),
        create_time=row["create_time"],
        state=state,
        end_time=row["end_time"],
    )

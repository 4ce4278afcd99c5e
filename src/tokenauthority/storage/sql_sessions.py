"""Sessions and the request ids that make creating one repeatable, in SQL: functions over a Connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.session import (
    ArchiveMode,
    IdempotencyKey,
    MediaMode,
    SessionSpec,
    SessionState,
    StoredSession,
)
from tokenauthority.storage import refusals
from tokenauthority.storage.database import Query, insert_or
from tokenauthority.storage.schema import session_requests as requests
from tokenauthority.storage.schema import sessions
from tokenauthority.storage.sql_changes import ChangeLog
from tokenauthority.storage.sql_projects import require_project
from tokenauthority.storage.store import REPEAT_PERIOD


if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenauthority.domain.times import Millis


_BY_ID: Final = sa.select(sessions).where(sessions.c.session_id == sa.bindparam("wanted"))
_BY_REQUEST: Final = (
    sa.select(sessions, requests.c.body_digest)
    .join(requests, requests.c.session_id == sessions.c.session_id)
    .where(requests.c.caller == sa.bindparam("caller"), requests.c.request_id == sa.bindparam("request_id"))
)


def create_session(connection: sa.Connection, session: StoredSession, repeat: IdempotencyKey | None) -> StoredSession:
    """Keep a new session, or answer the one that *repeat* made."""
    require_project(connection, session.project_id)
    if repeat is not None and not _claim(connection, session, repeat):
        return _repeated(connection, repeat)
    connection.execute(sa.insert(sessions), _row(session))
    return session


def get_session(connection: sa.Connection, session_id: str) -> StoredSession | None:
    """The session, or None."""
    row = connection.execute(_BY_ID, {"wanted": session_id}).mappings().first()
    return None if row is None else _session(row)


def list_sessions(
    connection: sa.Connection,
    project_id: str,
    before: tuple[Millis, str] | None,
    limit: int,
    state: SessionState | None,
) -> Sequence[StoredSession]:
    """A page of a project's sessions, newest first."""
    rows = connection.execute(page_of_sessions(project_id, before, limit, state)).mappings().all()
    return [_session(row) for row in rows]


def page_of_sessions(
    project_id: str, before: tuple[Millis, str] | None, limit: int, state: SessionState | None
) -> Query:
    """The statement of `list_sessions`; its conditions and order are those of an index, read backwards."""
    newest_first = (sessions.c.create_time, sessions.c.session_id)
    statement = sa.select(sessions).where(sessions.c.project_id == project_id)
    if state is not None:
        statement = statement.where(sessions.c.state == state.value)
    if before is not None:
        statement = statement.where(sa.tuple_(*newest_first) < sa.tuple_(*before))
    return statement.order_by(*(column.desc() for column in newest_first)).limit(limit)


def end_session(connection: sa.Connection, session: StoredSession, now: Millis) -> StoredSession:
    """End a session as of *now*; one that is not known yet is kept, ended."""
    log = ChangeLog(connection)
    require_project(connection, session.project_id)
    known = get_session(connection, session.session_id)
    ended = (known or session).ended(now)
    if known is None:
        connection.execute(sa.insert(sessions), _row(ended))
    elif known.state is SessionState.ENDED:
        return known
    else:
        connection.execute(
            sa.update(sessions)
            .where(sessions.c.session_id == ended.session_id)
            .values(state=ended.state.value, end_time=ended.end_time)
        )
    log.append(ChangeKind.SESSION_END, ended.project_id, ended.session_id)
    return ended


def prune_requests(connection: sa.Connection, now: Millis, limit: int) -> int:
    """Forget at most *limit* request ids older than 24 hours; how many rows went."""
    old = requests.c.create_time < now - REPEAT_PERIOD
    key = (requests.c.caller, requests.c.request_id)
    some = sa.select(*key).where(old).order_by(requests.c.create_time).limit(limit)
    # The age is asked twice: a row that was claimed anew while this statement waited for it must stay.
    return connection.execute(sa.delete(requests).where(sa.tuple_(*key).in_(some), old)).rowcount


def _claim(connection: sa.Connection, session: StoredSession, repeat: IdempotencyKey) -> bool:
    """Take the key for *session* if it is new or older than 24 hours; whether it was.

    Of callers that overlap, one inserts and the others wait here for its commit; then they find the row, too young to
    take, and locked by this statement so that it cannot go away before `_repeated` reads it.
    """
    insert = insert_or(connection, requests)
    claim = insert.on_conflict_do_update(
        index_elements=[requests.c.caller, requests.c.request_id],
        set_={name: insert.excluded[name] for name in ("body_digest", "session_id", "create_time")},
        where=requests.c.create_time < insert.excluded.create_time - REPEAT_PERIOD,
    ).returning(requests.c.session_id)
    row = {
        "caller": repeat.caller,
        "request_id": repeat.request_id,
        "body_digest": repeat.body_digest,
        "session_id": session.session_id,
        "create_time": session.create_time,
    }
    return connection.execute(claim, row).first() is not None


def _repeated(connection: sa.Connection, repeat: IdempotencyKey) -> StoredSession:
    key = {"caller": repeat.caller, "request_id": repeat.request_id}
    row = connection.execute(_BY_REQUEST, key).mappings().one()
    if row["body_digest"] != repeat.body_digest:
        raise refusals.request_reused(repeat.request_id)
    return _session(row)


def _row(session: StoredSession) -> dict[str, str | int | bool | None]:
    return {
        "session_id": session.session_id,
        "project_id": session.project_id,
        "media_mode": session.spec.media_mode.value,
        "archive_mode": session.spec.archive_mode.value,
        "location": session.spec.location,
        "e2ee": session.spec.e2ee,
        "archive_name": session.spec.archive_name,
        "archive_resolution": session.spec.archive_resolution,
        "state": session.state.value,
        "create_time": session.create_time,
        "end_time": session.end_time,
    }


def _session(row: sa.RowMapping) -> StoredSession:
    return StoredSession(
        session_id=row["session_id"],
        project_id=row["project_id"],
        spec=SessionSpec(
            media_mode=MediaMode(row["media_mode"]),
            archive_mode=ArchiveMode(row["archive_mode"]),
            location=row["location"],
            e2ee=row["e2ee"],
            archive_name=row["archive_name"],
            archive_resolution=row["archive_resolution"],
        ),
        create_time=row["create_time"],
        state=SessionState(row["state"]),
        end_time=row["end_time"],
    )

"""Store revocations in SQL, and list them together with the ends of sessions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec
import sqlalchemy as sa

from tokenauthority.domain.change import Change, ChangeKind
from tokenauthority.domain.revocation import Event, RevokedTarget, StoredRevocation, StoredSessionEnd, TargetKind
from tokenauthority.domain.revocation_index import oldest_stored
from tokenauthority.domain.times import Millis, Seconds
from tokenauthority.storage import errors
from tokenauthority.storage.database import SqlOperations, query, transaction
from tokenauthority.storage.schema import PAGE, Id, metadata
from tokenauthority.storage.sql_changes import ChangeLog
from tokenauthority.storage.sql_projects import projects, require_project
from tokenauthority.storage.sql_sessions import sessions


revocations: Final = sa.Table(
    "revocations",
    metadata,
    sa.Column("revocation_id", Id, primary_key=True),
    sa.Column("project_id", Id, sa.ForeignKey(projects.c.project_id), nullable=False),
    sa.Column("kind", Id, nullable=False),
    sa.Column("target", Id, nullable=False),
    # In whole seconds, as tokens have it.
    sa.Column("issued_before", sa.BigInteger, nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("project_id", "kind", "target"),
    sa.Index("ix_revocations_issued_before", "issued_before"),
    sa.Index("ix_revocations_project", "project_id", "revocation_id"),
    # A server that starts reads them all in the order of their ids, so SQLite stores the rows in that order.
    sqlite_with_rowid=False,
)

_COLUMNS: Final = tuple(revocations.c[field] for field in StoredRevocation.__struct_fields__)
_KINDS: Final = {kind.value: kind for kind in TargetKind}
_OF_TARGET: Final = sa.select(*_COLUMNS).where(
    revocations.c.project_id == sa.bindparam("project_id"),
    revocations.c.kind == sa.bindparam("kind"),
    revocations.c.target == sa.bindparam("target"),
)
_IN_FORCE: Final = (
    sa.select(revocations.c.revocation_id)
    .where(revocations.c.revocation_id > sa.bindparam("after"), revocations.c.issued_before >= sa.bindparam("since"))
    .order_by(revocations.c.revocation_id)
    .limit(PAGE)
)
_WHOLE: Final = _IN_FORCE.with_only_columns(*_COLUMNS)
_TARGETS: Final = _IN_FORCE.with_only_columns(
    *(revocations.c[f] for f in ("revocation_id", "project_id", "kind", "target", "issued_before"))
)
_ENDS: Final = sa.select(sessions.c.session_id, sessions.c.project_id, sessions.c.end_time)


class SqlRevocationStore(SqlOperations):
    """Implements `RevocationStore`."""

    @transaction
    def create_revocation(self, connection: sa.Connection, revocation: StoredRevocation) -> StoredRevocation:
        log = ChangeLog(connection)
        require_project(connection, revocation.project_id)
        row = msgspec.structs.asdict(revocation) | {"kind": revocation.kind.value}
        present = connection.execute(_OF_TARGET, {name: row[name] for name in ("project_id", "kind", "target")}).first()
        if present is None:
            connection.execute(sa.insert(revocations), row)
        else:
            known = _revocation_from_row(present)
            if known.issued_before >= revocation.issued_before:
                return known
            revocation = msgspec.structs.replace(revocation, revocation_id=known.revocation_id)
            values = {name: row[name] for name in ("issued_before", "comment", "create_time")}
            is_known = revocations.c.revocation_id == known.revocation_id
            connection.execute(sa.update(revocations).where(is_known).values(values))
        log.append(ChangeKind.REVOCATION, revocation.project_id, revocation.revocation_id)
        return revocation

    @query
    def list_revocations(
        self,
        connection: sa.Connection,
        *,
        project_ids: Collection[str] | None = None,
        after: str,
        limit: int,
        now: Millis,
    ) -> Sequence[StoredRevocation]:
        page = {"after": after, "since": oldest_stored(now), "page": limit}
        statement = _WHOLE if project_ids is None else _WHOLE.where(revocations.c.project_id.in_(project_ids))
        return [_revocation_from_row(row) for row in connection.execute(statement, page)]

    @query
    def list_revoked(
        self, connection: sa.Connection, *, after: str, limit: int, now: Millis
    ) -> Sequence[RevokedTarget]:
        page = {"after": after, "since": oldest_stored(now), "page": limit}
        with connection.execute(_TARGETS, page) as result:
            # As the driver returns them: to make rows of a million costs more than to read them.
            return result.cursor.fetchall()

    @query
    def list_session_ends(
        self,
        connection: sa.Connection,
        *,
        project_ids: Collection[str] | None = None,
        since: Millis,
        after: tuple[Millis, str],
        limit: int,
    ) -> Sequence[StoredSessionEnd]:
        order = (sessions.c.end_time, sessions.c.session_id)
        statement = _ENDS.where(sessions.c.end_time >= since, sa.tuple_(*order) > sa.tuple_(*after)).order_by(*order)
        if project_ids is not None:
            statement = statement.where(sessions.c.project_id.in_(project_ids))
        return [_session_end_from_row(row) for row in connection.execute(statement.limit(limit))]

    @query
    def events_of(self, connection: sa.Connection, changes: Sequence[Change]) -> Mapping[int, Event]:
        found: dict[str, Event] = {}
        if subjects := _subjects(changes, ChangeKind.REVOCATION):
            statement = sa.select(*_COLUMNS).where(revocations.c.revocation_id.in_(subjects))
            found |= {row[0]: _revocation_from_row(row) for row in connection.execute(statement)}
        if subjects := _subjects(changes, ChangeKind.SESSION_END):
            statement = _ENDS.where(sessions.c.session_id.in_(subjects))
            found |= {row[0]: _session_end_from_row(row) for row in connection.execute(statement)}
        return {change.sequence: found[change.subject] for change in changes if change.subject in found}

    @transaction
    def delete_old_revocations(self, connection: sa.Connection, now: Millis, limit: int) -> int:
        """Delete at most *limit* revocations a day after the last token that they cover, and return how many."""
        is_old = revocations.c.issued_before < oldest_stored(now)
        page = sa.select(revocations.c.revocation_id).where(is_old).order_by(revocations.c.issued_before).limit(limit)
        # The age is asked twice: one that was renewed while this statement waited for it must stay.
        return connection.execute(sa.delete(revocations).where(revocations.c.revocation_id.in_(page), is_old)).rowcount


def _subjects(changes: Sequence[Change], kind: ChangeKind) -> Collection[str]:
    return {change.subject for change in changes if change.kind is kind}


def _revocation_from_row(row: sa.Row[str, str, str, str, Seconds, str, Millis]) -> StoredRevocation:
    revocation_id, project_id, kind, target, issued_before, comment, create_time = row
    if kind not in _KINDS:
        raise errors.unreadable(f"revocation {revocation_id}")
    return StoredRevocation(
        revocation_id=revocation_id,
        project_id=project_id,
        kind=_KINDS[kind],
        target=target,
        issued_before=issued_before,
        comment=comment,
        create_time=create_time,
    )


def _session_end_from_row(row: sa.Row[str, str, Millis]) -> StoredSessionEnd:
    session_id, project_id, end_time = row
    return StoredSessionEnd(session_id=session_id, project_id=project_id, end_time=end_time)

"""Revocations and the ends of sessions in SQL: functions over a Connection, each a whole unit of work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import sqlalchemy as sa

from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.revocation import StoredRevocation, StoredSessionEnd, TargetKind
from tokenauthority.domain.revoked import oldest_kept
from tokenauthority.storage.schema import revocations, sessions
from tokenauthority.storage.sql_changes import ChangeLog
from tokenauthority.storage.sql_projects import require_project


if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tokenauthority.domain.change import Change
    from tokenauthority.domain.revocation import Event, RevokedTarget
    from tokenauthority.domain.times import Millis, Seconds


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
    .limit(sa.bindparam("page", type_=sa.BigInteger))
)
_PAGE: Final = _IN_FORCE.with_only_columns(*_COLUMNS)
_TARGETS: Final = _IN_FORCE.with_only_columns(
    *(revocations.c[f] for f in ("revocation_id", "project_id", "kind", "target", "issued_before"))
)
_ENDS: Final = sa.select(sessions.c.session_id, sessions.c.project_id, sessions.c.end_time)


def revoke(connection: sa.Connection, revocation: StoredRevocation) -> StoredRevocation:
    """Keep a revocation, or answer the one of the same target that covers as much."""
    log = ChangeLog(connection)
    require_project(connection, revocation.project_id)
    target = {name: getattr(revocation, name) for name in ("project_id", "kind", "target")}
    row = connection.execute(_OF_TARGET, {**target, "kind": revocation.kind.value}).first()
    if row is None:
        kept = revocation
        connection.execute(sa.insert(revocations), {**msgspec.structs.asdict(kept), "kind": kept.kind.value})
    else:
        known = _revocation(row)
        if known.issued_before >= revocation.issued_before:
            return known
        kept = msgspec.structs.replace(revocation, revocation_id=known.revocation_id)
        connection.execute(
            sa.update(revocations)
            .where(revocations.c.revocation_id == kept.revocation_id)
            .values(issued_before=kept.issued_before, comment=kept.comment, create_time=kept.create_time)
        )
    log.append(ChangeKind.REVOCATION, kept.project_id, kept.revocation_id)
    return kept


def list_revocations(
    connection: sa.Connection, project_ids: Collection[str] | None, after: str, limit: int, now: Millis
) -> Sequence[StoredRevocation]:
    """A page of the revocations in force, by id."""
    page = {"after": after, "since": oldest_kept(now), "page": limit}
    statement = _PAGE if project_ids is None else _PAGE.where(revocations.c.project_id.in_(project_ids))
    return [_revocation(row) for row in connection.execute(statement, page)]


def list_revoked(connection: sa.Connection, after: str, limit: int, now: Millis) -> Sequence[RevokedTarget]:
    """The same as plain tuples."""
    page = {"after": after, "since": oldest_kept(now), "page": limit}
    with connection.execute(_TARGETS, page) as result:
        # As the driver gives them: to make rows of a million costs more than to read them.
        return result.cursor.fetchall()


def list_session_ends(
    connection: sa.Connection,
    project_ids: Collection[str] | None,
    since: Millis,
    after: tuple[Millis, str],
    limit: int,
) -> Sequence[StoredSessionEnd]:
    """A page of the sessions that ended at *since* or later, by end time and id."""
    order = (sessions.c.end_time, sessions.c.session_id)
    statement = _ENDS.where(sessions.c.end_time >= since, sa.tuple_(*order) > sa.tuple_(*after)).order_by(*order)
    if project_ids is not None:
        statement = statement.where(sessions.c.project_id.in_(project_ids))
    return [_session_end(row) for row in connection.execute(statement.limit(limit))]


def events_of(connection: sa.Connection, changes: Sequence[Change]) -> Mapping[int, Event]:
    """What the changes say, by sequence, where they are revocations or ended sessions."""
    found: dict[str, Event] = {}
    if wanted := _subjects(changes, ChangeKind.REVOCATION):
        statement = sa.select(*_COLUMNS).where(revocations.c.revocation_id.in_(wanted))
        found |= {row[0]: _revocation(row) for row in connection.execute(statement)}
    if wanted := _subjects(changes, ChangeKind.SESSION_END):
        statement = _ENDS.where(sessions.c.session_id.in_(wanted))
        found |= {row[0]: _session_end(row) for row in connection.execute(statement)}
    return {change.sequence: found[change.subject] for change in changes if change.subject in found}


def prune_revocations(connection: sa.Connection, now: Millis, limit: int) -> int:
    """Forget at most *limit* revocations that have been out of force for a day; how many rows went."""
    old = revocations.c.issued_before < oldest_kept(now)
    some = sa.select(revocations.c.revocation_id).where(old).order_by(revocations.c.issued_before).limit(limit)
    # The age is asked twice: one that was renewed while this statement waited for it must stay.
    return connection.execute(sa.delete(revocations).where(revocations.c.revocation_id.in_(some), old)).rowcount


def _subjects(changes: Sequence[Change], kind: ChangeKind) -> Collection[str]:
    return {change.subject for change in changes if change.kind is kind}


def _revocation(row: sa.Row[str, str, str, str, Seconds, str, Millis]) -> StoredRevocation:
    revocation_id, project_id, kind, target, issued_before, comment, create_time = row
    return StoredRevocation(
        revocation_id=revocation_id,
        project_id=project_id,
        kind=_KINDS[kind],
        target=target,
        issued_before=issued_before,
        comment=comment,
        create_time=create_time,
    )


def _session_end(row: sa.Row[str, str, Millis]) -> StoredSessionEnd:
    session_id, project_id, end_time = row
    return StoredSessionEnd(session_id=session_id, project_id=project_id, end_time=end_time)

"""Store the `changes` sequence in SQL: its numbers grow in commit order, so that no follower ever skips one."""

from __future__ import annotations

import secrets

from collections.abc import Callable, Sequence
from typing import Final

import sqlalchemy as sa

from tokenauthority.domain.change import Change, ChangeKind, Cursor, HistoryLostError
from tokenauthority.storage.database import SqlOperations, point_query, transaction
from tokenauthority.storage.postgres_listener import CHANNEL
from tokenauthority.storage.schema import PAGE, Id, metadata
from tokenauthority.storage.store import MAX_CHANGES


changes: Final = sa.Table(
    "changes",
    metadata,
    sa.Column(
        "sequence",
        # SQLite counts by itself only in a column whose type is spelled INTEGER.
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        sa.Identity(always=True),
        primary_key=True,
    ),
    sa.Column("mark", sa.BigInteger, nullable=False),
    sa.Column("kind", Id, nullable=False),
    sa.Column("project_id", Id, nullable=False),
    sa.Column("subject", Id, nullable=False),
    # Without it SQLite would give the number of a newest row that was deleted a second time.
    sqlite_autoincrement=True,
)

_KINDS: Final = frozenset(ChangeKind)

_LOCK_ID: Final = 0x746F6B656E6368
"""The key of the advisory lock; any number will do that nothing else on the database uses."""

_LOCK: Final = sa.select(
    sa.func.pg_advisory_xact_lock(sa.literal_column(str(_LOCK_ID))),
    sa.func.pg_notify(sa.literal_column(f"'{CHANNEL}'"), sa.literal_column("''")),
)
"""The server sends the notification when, and if, the transaction commits. Here it costs no round trip."""

_APPEND: Final = sa.insert(changes)
_LAST: Final = sa.select(changes.c.sequence, changes.c.mark).order_by(changes.c.sequence.desc()).limit(1)
_FROM: Final = (
    sa.select(changes).where(changes.c.sequence >= sa.bindparam("from")).order_by(changes.c.sequence).limit(PAGE)
)


class ChangeLog:
    """The right to append changes in a transaction. Make it before any other statement of the transaction.

    PostgreSQL numbers rows when they are inserted and not when they are committed. Of two writers that overlap, the one
    with the higher number may commit first. A follower that reads then goes on from that number and never sees the
    lower one. So writers hold a lock from before the number is drawn until after the commit, which makes the order of
    numbers the order of commits. The lock comes first so that two writers never hold rows that the other one waits
    for, and so that each statement after it sees what the last holder committed.

    On SQLite the transaction holds the only write lock from its beginning, which does the same.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        if connection.dialect.name == "postgresql":
            connection.execute(_LOCK)

    def append(self, kind: ChangeKind, project_id: str, subject: str) -> None:
        """Append one change to the sequence; followers see it when the transaction commits."""
        row = {"mark": secrets.randbits(63), "kind": kind.value, "project_id": project_id, "subject": subject}
        self._connection.execute(_APPEND, row)


class SqlChangeStore(SqlOperations):
    """Implements `ChangeStore`."""

    async def listen(self, heard: Callable[[], None]) -> None:
        await self._database.listen(heard)

    @point_query
    def last_change(self, connection: sa.Connection) -> Cursor:
        sequence, mark = connection.execute(_LAST).one()
        return Cursor(sequence, mark)

    @point_query
    def changes_after(self, connection: sa.Connection, cursor: Cursor, limit: int) -> Sequence[Change]:
        # One more, from the change of the cursor itself on: if that is not the same any more, the history is another.
        rows = connection.execute(_FROM, {"from": cursor.sequence, "page": limit + 1}).mappings().all()
        if cursor != Cursor():
            if not rows or Cursor(rows[0]["sequence"], rows[0]["mark"]) != cursor:
                raise HistoryLostError
            rows = rows[1:]
        if any(row["kind"] not in _KINDS for row in rows):
            # Nobody knows what such a change has changed: whoever reads everything anew does not miss it.
            raise HistoryLostError
        return [Change(**{**row, "kind": ChangeKind(row["kind"])}) for row in rows[:limit]]

    @transaction
    def delete_old_changes(self, connection: sa.Connection, limit: int) -> int:
        """Delete at most *limit* of the changes before the newest `MAX_CHANGES`, and return how many."""
        newest = sa.select(sa.func.max(changes.c.sequence)).scalar_subquery()
        old = sa.select(changes.c.sequence).where(changes.c.sequence <= newest - MAX_CHANGES)
        page = old.order_by(changes.c.sequence).limit(limit)
        return connection.execute(sa.delete(changes).where(changes.c.sequence.in_(page))).rowcount

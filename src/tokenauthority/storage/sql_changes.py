"""The `changes` sequence in SQL: numbers that grow in commit order, so that no follower ever passes one over."""

from __future__ import annotations

import secrets

from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from tokenauthority.domain.change import Change, ChangeKind, Cursor, HistoryLostError
from tokenauthority.storage.schema import changes


if TYPE_CHECKING:
    from collections.abc import Sequence


_TURN: Final = 0x746F6B656E6368
"""The key of the advisory lock; any number will do that nothing else on the database uses."""

_TAKE_TURN: Final = sa.select(sa.func.pg_advisory_xact_lock(sa.literal_column(str(_TURN))))
_APPEND: Final = sa.insert(changes)
_LAST: Final = sa.select(changes.c.sequence, changes.c.mark).order_by(changes.c.sequence.desc()).limit(1)
_FROM: Final = (
    sa.select(changes)
    .where(changes.c.sequence >= sa.bindparam("from"))
    .order_by(changes.c.sequence)
    .limit(sa.bindparam("page", type_=sa.BigInteger))
)


class ChangeLog:
    """The right to append changes in a transaction. Make it before any other statement of the transaction.

    PostgreSQL numbers rows when they are inserted and not when they are committed. Of two writers that overlap, the one
    with the higher number may commit first; a follower that reads then goes on from that number and never sees the
    lower one. So writers take turns: the lock is held from before the number is drawn until after the commit, which
    makes the order of numbers the order of commits. It comes first so that two writers never hold rows that the
    other one waits for, and so that everything that follows sees what the last holder committed.

    On SQLite the transaction holds the only write lock from its beginning, which does the same.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        if connection.dialect.name == "postgresql":
            connection.execute(_TAKE_TURN)

    def append(self, kind: ChangeKind, project_id: str, subject: str) -> None:
        """Append one change to the sequence; it is seen when the transaction commits."""
        row = {"mark": secrets.randbits(63), "kind": kind.value, "project_id": project_id, "subject": subject}
        self._connection.execute(_APPEND, row)


def last_change(connection: sa.Connection) -> Cursor:
    """The place after the newest change."""
    sequence, mark = connection.execute(_LAST).one()
    return Cursor(sequence, mark)


def changes_after(connection: sa.Connection, cursor: Cursor, limit: int) -> Sequence[Change]:
    """At most *limit* changes after *cursor*, in order."""
    # One more, from the change of the cursor itself on: whether that is still the same tells whether this is the
    # history that the cursor is a place in.
    rows = connection.execute(_FROM, {"from": cursor.sequence, "page": limit + 1}).mappings().all()
    found = [
        Change(
            sequence=row["sequence"],
            mark=row["mark"],
            kind=ChangeKind(row["kind"]),
            project_id=row["project_id"],
            subject=row["subject"],
        )
        for row in rows
    ]
    if cursor == Cursor():
        return found[:limit]
    if not found or found[0].cursor != cursor:
        raise HistoryLostError
    return found[1:]


def prune_changes(connection: sa.Connection, keep: int, limit: int) -> int:
    """Forget at most *limit* of the changes before the newest *keep*; how many rows went."""
    newest = sa.select(sa.func.max(changes.c.sequence)).scalar_subquery()
    old = sa.select(changes.c.sequence).where(changes.c.sequence <= newest - keep)
    some = old.order_by(changes.c.sequence).limit(limit)
    return connection.execute(sa.delete(changes).where(changes.c.sequence.in_(some))).rowcount

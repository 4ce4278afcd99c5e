"""What is sealed in SQL: functions over a Connection, each a whole unit of work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from tokenauthority.domain.sealed import SealedBlob, SealedCount, SealedKind
from tokenauthority.storage.schema import project_credentials, signing_keys
from tokenauthority.storage.sql_changes import ChangeLog


if TYPE_CHECKING:
    from collections.abc import Sequence


_OWNER: Final = {
    SealedKind.SIGNING_KEY: signing_keys.c.key_id,
    SealedKind.PROJECT_CREDENTIAL: project_credentials.c.project_id,
}
_OBJECT: Final = {
    SealedKind.SIGNING_KEY: signing_keys.c.key_id,
    SealedKind.PROJECT_CREDENTIAL: project_credentials.c.credential_id,
}
_SEALED: Final = {
    SealedKind.SIGNING_KEY: signing_keys.c.sealed,
    SealedKind.PROJECT_CREDENTIAL: project_credentials.c.sealed,
}


def count_sealed(connection: sa.Connection, length: int) -> Sequence[SealedCount]:
    """The different first *length* bytes of all envelopes, each with how many owners have it."""
    found = []
    for kind, owner in _OWNER.items():
        prefix = sa.func.substr(_SEALED[kind], 1, length, type_=sa.LargeBinary).label("prefix")
        statement = sa.select(prefix, sa.func.count(owner.distinct()), sa.func.min(owner)).group_by(prefix)
        # SQLite makes NULL of a part of no bytes.
        found += [
            SealedCount(kind=kind, prefix=start or b"", owners=owners, first=first)
            for start, owners, first in connection.execute(statement.order_by(prefix)).all()
        ]
    return found


def list_sealed(
    connection: sa.Connection, kind: SealedKind, after: tuple[str, str], limit: int
) -> Sequence[SealedBlob]:
    """A page of the envelopes of a kind, by owner and id."""
    owner, object_id, sealed = _OWNER[kind], _OBJECT[kind], _SEALED[kind]
    # Columns with names of their own: those of a signing key are one and the same.
    columns = (owner.label("owner"), object_id.label("object_id"), sealed)
    place = sa.tuple_(owner, object_id) > sa.tuple_(*(sa.literal(part, owner.type) for part in after))
    statement = sa.select(*columns).where(place).order_by(owner, object_id).limit(limit)
    return [
        SealedBlob(kind=kind, owner=row["owner"], object_id=row["object_id"], sealed=row["sealed"])
        for row in connection.execute(statement).mappings().all()
    ]


def replace_sealed(connection: sa.Connection, changes: Sequence[tuple[SealedBlob, bytes]]) -> int:
    """Put a new envelope in the place of each that is still there as it was; how many were."""
    # For its turn alone: whoever waits for a row that is changed here holds none that is changed next.
    ChangeLog(connection)
    replaced = 0
    for blob, envelope in changes:
        sealed = _SEALED[blob.kind]
        result = connection.execute(
            sa.update(sealed.table)
            .where(_OWNER[blob.kind] == blob.owner, _OBJECT[blob.kind] == blob.object_id, sealed == blob.sealed)
            .values({sealed: envelope})
        )
        replaced += result.rowcount
    return replaced

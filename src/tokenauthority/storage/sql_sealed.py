"""Count and replace envelopes in SQL, whichever table has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from tokenauthority.domain.sealed import SealedBlob, SealedCount, SealedKind
from tokenauthority.storage.database import SqlOperations, query, transaction
from tokenauthority.storage.sql_changes import ChangeLog
from tokenauthority.storage.sql_projects import project_credentials
from tokenauthority.storage.sql_signing_keys import signing_keys


_COLUMNS: Final = {
    SealedKind.SIGNING_KEY: (signing_keys.c.key_id, signing_keys.c.key_id, signing_keys.c.sealed),
    SealedKind.PROJECT_CREDENTIAL: (
        project_credentials.c.project_id,
        project_credentials.c.credential_id,
        project_credentials.c.sealed,
    ),
}
"""For each kind the columns of the owner's id, the object's id and the envelope."""


class SqlSealedStore(SqlOperations):
    """Implements `SealedStore`."""

    @query
    def count_sealed(self, connection: sa.Connection, length: int) -> Sequence[SealedCount]:
        found = []
        for kind, (owner, _, sealed) in _COLUMNS.items():
            prefix = sa.func.substr(sealed, 1, length, type_=sa.LargeBinary).label("prefix")
            statement = sa.select(prefix, sa.func.count(owner.distinct()), sa.func.min(owner)).group_by(prefix)
            # SQLite makes NULL of a part of no bytes.
            found += [
                SealedCount(kind=kind, prefix=start or b"", owners=owners, first=first)
                for start, owners, first in connection.execute(statement.order_by(prefix)).all()
            ]
        return found

    @transaction
    def replace_sealed(self, connection: sa.Connection, changes: Sequence[tuple[SealedBlob, bytes]]) -> int:
        # For its lock alone: whoever waits for a row that is changed here holds none that is changed next.
        ChangeLog(connection)
        replaced = 0
        for blob, envelope in changes:
            owner, object_id, sealed = _COLUMNS[blob.kind]
            is_unchanged = (owner == blob.owner, object_id == blob.object_id, sealed == blob.sealed)
            result = connection.execute(sa.update(sealed.table).where(*is_unchanged).values({sealed: envelope}))
            replaced += result.rowcount
        return replaced

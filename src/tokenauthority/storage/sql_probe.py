"""Write a value of its own to the store in SQL, which shows that the store can be written."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from tokenauthority.storage.database import SqlOperations, insert_or, transaction
from tokenauthority.storage.schema import metadata


write_probe: Final = sa.Table(
    "write_probe",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("writes", sa.BigInteger, nullable=False),
)
"""One row, number 1."""


class SqlProbeStore(SqlOperations):
    """Writes for the sake of writing."""

    @transaction
    def write_probe(self, connection: sa.Connection) -> None:
        """Change a row. SQLite writes nothing where an UPDATE leaves every byte as it was."""
        insert = insert_or(connection, write_probe).values(number=1, writes=1)
        changed = {"writes": write_probe.c.writes + 1}
        connection.execute(insert.on_conflict_do_update(index_elements=["number"], set_=changed))

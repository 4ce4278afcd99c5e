"""Store in SQL which servers use the store, and with which settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import sqlalchemy as sa

from tokenauthority.domain.server_record import RECORD_PERIOD, ServerRecord
from tokenauthority.storage.database import SqlOperations, insert_or, transaction
from tokenauthority.storage.schema import Id, metadata


servers: Final = sa.Table(
    "servers",
    metadata,
    sa.Column("server_id", Id, primary_key=True),
    sa.Column("seen", sa.BigInteger, nullable=False),
    # A JSON object of texts.
    sa.Column("settings", Id, nullable=False),
)

_DECODER: Final = msgspec.json.Decoder(dict[str, str])


class SqlServerStore(SqlOperations):
    """Implements `ServerStore`."""

    @transaction
    def report_server(self, connection: sa.Connection, record: ServerRecord) -> Sequence[ServerRecord]:
        values = {"seen": record.seen, "settings": msgspec.json.encode(record.settings).decode()}
        insert = insert_or(connection, servers).values(server_id=record.server_id, **values)
        connection.execute(insert.on_conflict_do_update(index_elements=[servers.c.server_id], set_=values))
        connection.execute(sa.delete(servers).where(servers.c.seen < record.seen - RECORD_PERIOD))
        others = sa.select(servers).where(servers.c.server_id != record.server_id).order_by(servers.c.server_id)
        return [_record(row) for row in connection.execute(others).mappings()]

    @transaction
    def remove_server(self, connection: sa.Connection, server_id: str) -> None:
        connection.execute(sa.delete(servers).where(servers.c.server_id == server_id))


def _record(row: sa.RowMapping) -> ServerRecord:
    try:
        settings = _DECODER.decode(row["settings"])
    except msgspec.MsgspecError:
        # Somebody has changed the row, which decides nothing.
        settings = {}
    return ServerRecord(row["server_id"], row["seen"], settings)

"""Store the ring of signing keys in SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import attrs
import sqlalchemy as sa

from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.key import Algorithm, KeyState, StoredKey
from tokenauthority.storage.database import SqlOperations, query, transaction
from tokenauthority.storage.schema import Id, envelope, member, metadata, partial_index
from tokenauthority.storage.sql_changes import ChangeLog


signing_keys: Final = sa.Table(
    "signing_keys",
    metadata,
    sa.Column("key_id", Id, primary_key=True),
    sa.Column("algorithm", Id, nullable=False),
    sa.Column("state", Id, nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("activate_time", sa.BigInteger, nullable=True),
    sa.Column("sign_until", sa.BigInteger, nullable=True),
    sa.Column("retire_time", sa.BigInteger, nullable=True),
    sa.Column("expire_time", sa.BigInteger, nullable=True),
    # The private key; the public key where `location` says that the private key is elsewhere.
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("location", Id, nullable=False, server_default=""),
)
partial_index("uq_signing_keys_active", "state = 'active'", signing_keys.c.state, unique=True)

_NEWEST_FIRST: Final = sa.select(signing_keys).order_by(signing_keys.c.create_time.desc(), signing_keys.c.key_id.desc())


class SqlSigningKeyStore(SqlOperations):
    """Implements `SigningKeyStore`."""

    @query
    def list_keys(self, connection: sa.Connection) -> Sequence[StoredKey]:
        return _select_ring(connection)

    @transaction
    def update_keys(
        self, connection: sa.Connection, change: Callable[[Sequence[StoredKey]], Sequence[StoredKey]]
    ) -> Sequence[StoredKey]:
        log = ChangeLog(connection)
        present = {key.key_id: key for key in _select_ring(connection)}
        changed_ring = {key.key_id: key for key in change(tuple(present.values()))}
        for key_id in present.keys() - changed_ring.keys():
            connection.execute(sa.delete(signing_keys).where(signing_keys.c.key_id == key_id))
            log.append(ChangeKind.KEY, "", key_id)
        changed = [key for key_id, key in changed_ring.items() if present.get(key_id) != key]
        # The key that signed goes before the one that follows it: an index holds that there are never two.
        for key in sorted(changed, key=lambda key: key.state is KeyState.ACTIVE):
            row = {**attrs.asdict(key), "algorithm": key.algorithm.value, "state": key.state.value}
            if key.key_id in present:
                connection.execute(sa.update(signing_keys).where(signing_keys.c.key_id == key.key_id).values(row))
            else:
                connection.execute(sa.insert(signing_keys), row)
            log.append(ChangeKind.KEY, "", key.key_id)
        return _select_ring(connection)


def _select_ring(connection: sa.Connection) -> list[StoredKey]:
    return [
        StoredKey(
            **{
                **row,
                "algorithm": member(Algorithm, row["algorithm"], Algorithm.ES256),
                "state": member(KeyState, row["state"], KeyState.RETIRED),
                "sealed": envelope(row["sealed"]),
            }
        )
        for row in connection.execute(_NEWEST_FIRST).mappings()
    ]

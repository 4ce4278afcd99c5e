"""Signing keys in SQL: functions over a Connection, each a whole unit of work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import sqlalchemy as sa

from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.key import Algorithm, KeyState, StoredKey
from tokenauthority.storage.schema import signing_keys
from tokenauthority.storage.sql_changes import ChangeLog


if TYPE_CHECKING:
    from collections.abc import Sequence


_NEWEST_FIRST: Final = sa.select(signing_keys).order_by(signing_keys.c.create_time.desc(), signing_keys.c.key_id.desc())


def add_first_key(connection: sa.Connection, key: StoredKey) -> StoredKey:
    """Keep *key* if there is no ACTIVE one, and answer the ACTIVE one."""
    log = ChangeLog(connection)
    active = next((known for known in list_keys(connection) if known.state is KeyState.ACTIVE), None)
    if active is not None:
        return active
    row = {**attrs.asdict(key), "algorithm": key.algorithm.value, "state": key.state.value}
    connection.execute(sa.insert(signing_keys), row)
    log.append(ChangeKind.KEY, "", key.key_id)
    return key


def list_keys(connection: sa.Connection) -> Sequence[StoredKey]:
    """All signing keys, newest first."""
    return [
        StoredKey(
            key_id=row["key_id"],
            algorithm=Algorithm(row["algorithm"]),
            state=KeyState(row["state"]),
            create_time=row["create_time"],
            activate_time=row["activate_time"],
            retire_time=row["retire_time"],
            expire_time=row["expire_time"],
            sealed=row["sealed"],
            location=row["location"],
        )
        for row in connection.execute(_NEWEST_FIRST).mappings().all()
    ]

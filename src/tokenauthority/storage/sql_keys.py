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
    from collections.abc import Callable, Sequence


_NEWEST_FIRST: Final = sa.select(signing_keys).order_by(signing_keys.c.create_time.desc(), signing_keys.c.key_id.desc())


def update_keys(
    connection: sa.Connection, change: Callable[[Sequence[StoredKey]], Sequence[StoredKey]]
) -> Sequence[StoredKey]:
    """Replace the ring by what *change* makes of it, and answer what was kept."""
    log = ChangeLog(connection)
    present = {key.key_id: key for key in list_keys(connection)}
    wanted = {key.key_id: key for key in change(tuple(present.values()))}
    for key_id in present.keys() - wanted.keys():
        connection.execute(sa.delete(signing_keys).where(signing_keys.c.key_id == key_id))
        log.append(ChangeKind.KEY, "", key_id)
    changed = [key for key_id, key in wanted.items() if present.get(key_id) != key]
    # The key that signed goes before the one that follows it: an index holds that there are never two.
    for key in sorted(changed, key=lambda key: key.state is KeyState.ACTIVE):
        row = {**attrs.asdict(key), "algorithm": key.algorithm.value, "state": key.state.value}
        if key.key_id in present:
            connection.execute(sa.update(signing_keys).where(signing_keys.c.key_id == key.key_id).values(row))
        else:
            connection.execute(sa.insert(signing_keys), row)
        log.append(ChangeKind.KEY, "", key.key_id)
    return list_keys(connection)


def list_keys(connection: sa.Connection) -> Sequence[StoredKey]:
    """All signing keys, newest first."""
    return [
        StoredKey(
            key_id=row["key_id"],
            algorithm=Algorithm(row["algorithm"]),
            state=KeyState(row["state"]),
            create_time=row["create_time"],
            activate_time=row["activate_time"],
            sign_until=row["sign_until"],
            retire_time=row["retire_time"],
            expire_time=row["expire_time"],
            sealed=row["sealed"],
            location=row["location"],
        )
        for row in connection.execute(_NEWEST_FIRST).mappings().all()
    ]

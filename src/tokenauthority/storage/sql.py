"""Compose the store over SQL, of one class for each subject, and open it at a URL."""

from __future__ import annotations

from typing import Final

from tokenauthority.domain.times import Millis
from tokenauthority.storage.address import SqliteAddress, parse_address
from tokenauthority.storage.database import StoreLimits
from tokenauthority.storage.postgres import PostgresDatabase
from tokenauthority.storage.sql_changes import SqlChangeStore
from tokenauthority.storage.sql_projects import SqlProjectStore
from tokenauthority.storage.sql_revocations import SqlRevocationStore
from tokenauthority.storage.sql_roles import SqlRoleStore
from tokenauthority.storage.sql_sealed import SqlSealedStore
from tokenauthority.storage.sql_sessions import SqlSessionStore
from tokenauthority.storage.sql_signing_keys import SqlSigningKeyStore
from tokenauthority.storage.sqlite import SqliteDatabase
from tokenauthority.storage.store import Store


_DELETED_AT_ONCE: Final = 1000


class SqlStore(
    SqlProjectStore,
    SqlRoleStore,
    SqlSessionStore,
    SqlSigningKeyStore,
    SqlRevocationStore,
    SqlChangeStore,
    SqlSealedStore,
):
    """A `Store` in a database whose schema is up to date (`check_schema`). It closes the database with itself."""

    def __repr__(self) -> str:
        return f"SqlStore({self._database!r})"

    async def delete_expired(self, now: Millis) -> int:
        """See `Store`. It deletes a page at a time, so that no other writer waits long."""
        deleted = 0
        while count := await self.delete_old_requests(now, _DELETED_AT_ONCE):
            deleted += count
        while count := await self.delete_old_revocations(now, _DELETED_AT_ONCE):
            deleted += count
        while count := await self.delete_old_changes(_DELETED_AT_ONCE):
            deleted += count
        return deleted

    async def close(self) -> None:
        await self._database.close()


def open_store(url: str, limits: StoreLimits | None = None) -> Store:
    """Return the store at *url* (see `parse_address`), within *limits*. Nothing is reached yet, and nothing is made.

    The schema must be up to date: call `migrate` or `check_schema` first. Whoever opens the store closes it.

    Raises:
        StoreAddressError: *url* is not the URL of a store.
    """
    address = parse_address(url)
    bounds = limits or StoreLimits()
    if isinstance(address, SqliteAddress):
        return SqlStore(SqliteDatabase(address.path, bounds))
    return SqlStore(PostgresDatabase(address.url, bounds))

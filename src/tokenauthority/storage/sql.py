"""Compose the store over SQL, of one class for each subject, and open it at a URL."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final

from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.times import Millis
from tokenauthority.storage.address import SqliteAddress, StoreAddress, parse_address
from tokenauthority.storage.database import StoreLimits
from tokenauthority.storage.postgres import PostgresDatabase
from tokenauthority.storage.sql_changes import SqlChangeStore
from tokenauthority.storage.sql_probe import SqlProbeStore
from tokenauthority.storage.sql_project_deletion import SqlProjectDeletionStore
from tokenauthority.storage.sql_projects import SqlProjectStore
from tokenauthority.storage.sql_revocations import SqlRevocationStore
from tokenauthority.storage.sql_roles import SqlRoleStore
from tokenauthority.storage.sql_sealed import SqlSealedStore
from tokenauthority.storage.sql_servers import SqlServerStore
from tokenauthority.storage.sql_sessions import SqlSessionStore
from tokenauthority.storage.sql_signing_keys import SqlSigningKeyStore
from tokenauthority.storage.sql_usage import SqlUsageStore
from tokenauthority.storage.sqlite import SqliteDatabase
from tokenauthority.storage.store import Store


_DELETED_AT_ONCE: Final = 1000


class SqlStore(
    SqlProjectStore,
    SqlProjectDeletionStore,
    SqlServerStore,
    SqlRoleStore,
    SqlSessionStore,
    SqlSigningKeyStore,
    SqlRevocationStore,
    SqlChangeStore,
    SqlUsageStore,
    SqlSealedStore,
    SqlProbeStore,
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
        while count := await self.purge_deleted(_DELETED_AT_ONCE):
            deleted += count
        deleted += await self.delete_old_projects(now)
        deleted += await self.delete_old_usage(now)
        while count := await self.delete_old_changes(_DELETED_AT_ONCE):
            deleted += count
        return deleted

    async def probe(self) -> None:
        if self._tracker.write_is_due:
            with suppress(UnavailableError):
                await self.write_probe()

    async def close(self) -> None:
        await self._database.close()


def open_store(
    place: str | StoreAddress, limits: StoreLimits | None = None, clock: Callable[[], float] = monotonic
) -> Store:
    """Return the store at *place*, an address or the URL of one, within *limits*. It reaches and makes nothing yet.

    The schema must be up to date: call `migrate` or `check_schema` first. Whoever opens the store closes it.

    Raises:
        StoreAddressError: *place* is not the URL of a store.
    """
    address = parse_address(place) if isinstance(place, str) else place
    bounds = limits or StoreLimits()
    if isinstance(address, SqliteAddress):
        return SqlStore(SqliteDatabase(address.path, bounds), clock)
    return SqlStore(PostgresDatabase(address, bounds), clock)

"""From a URL to a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenauthority.storage.address import SqliteAddress, parse_address
from tokenauthority.storage.limits import StoreLimits
from tokenauthority.storage.postgres import PostgresDatabase
from tokenauthority.storage.sql import SqlStore
from tokenauthority.storage.sqlite import SqliteDatabase


if TYPE_CHECKING:
    from tokenauthority.storage.store import Store


def open_store(url: str, limits: StoreLimits | None = None) -> Store:
    """The store at *url* (see `parse_address`), within *limits*. Nothing is reached yet, and nothing is created.

    The schema must be up to date: call `migrate` or `check_schema` first. Whoever opens the store closes it.

    Raises:
        StoreAddressError: *url* is not the URL of a store.
    """
    address = parse_address(url)
    bounds = limits or StoreLimits()
    if isinstance(address, SqliteAddress):
        return SqlStore(SqliteDatabase(address.path, bounds))
    return SqlStore(PostgresDatabase(address.url, bounds))

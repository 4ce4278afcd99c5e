"""The SQL store on a SQLite database in memory, for tests that need no file."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
import threading
import weakref

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from tokenauthority.domain.change import ChangeKind
from tokenauthority.storage.database import unavailable_on_failure
from tokenauthority.storage.schema import metadata
from tokenauthority.storage.sql import SqlStore
from tokenauthority.storage.sql_changes import ChangeLog


T = TypeVar("T")


class MemoryStore(SqlStore):
    """A store of this process alone. It outlives the server that closes it, so that another one can open it."""

    def __init__(self) -> None:
        self._memory = MemoryDatabase()
        super().__init__(self._memory)

    def backup(self) -> bytes:
        """Return everything in the store as it is now."""
        return self._memory.raw.serialize()

    def restore(self, backup: bytes) -> None:
        """Put the store back to *backup*."""
        self._memory.raw.deserialize(backup)

    def replace_history(self) -> None:
        """Give each change another mark: the same numbers, and other changes, as after a restore."""
        self.execute("UPDATE changes SET mark = (mark | 1) - (mark & 1)")

    def execute(self, statement: str, *parameters: object) -> None:
        """Write past the operations of a store."""
        self._memory.raw.execute(statement, parameters)


class MemoryDatabase:
    """A `Database` whose units of work run at once, on the caller's thread."""

    def __init__(self) -> None:
        self._connection = _engine().connect()
        self.raw = _raw(self._connection)
        self._lock = threading.Lock()
        weakref.finalize(self, self._connection.close)

    async def run_transaction(self, work: Callable[[sa.Connection], T]) -> T:
        """See `Database`."""
        with self._lock, unavailable_on_failure(), self.raw:
            self.raw.execute("BEGIN")
            return work(self._connection)

    async def run_query(self, work: Callable[[sa.Connection], T]) -> T:
        """See `Database`."""
        with self._lock, unavailable_on_failure():
            return work(self._connection)

    run_point_query = run_query

    async def listen(self, heard: Callable[[], None]) -> None:
        """See `ChangeStore`."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """See `Database`. The end of this object closes the connection."""


@functools.cache
def _engine() -> sa.Engine:
    """Return the engine whose connections are one store each; it compiles a statement once for all of them."""
    return sa.create_engine("sqlite+pysqlite://", creator=_open_copy, poolclass=sa.NullPool, hide_parameters=True)


def _open_copy() -> sqlite3.Connection:
    raw = _open()
    raw.deserialize(_template())
    raw.execute("PRAGMA foreign_keys=ON")
    return raw


@functools.cache
def _template() -> bytes:
    """Return a new store: the tables of the present schema, and the first change."""
    engine = sa.create_engine("sqlite+pysqlite://", creator=_open, poolclass=sa.StaticPool)
    with engine.begin() as connection:
        metadata.create_all(connection)
        ChangeLog(connection).append(ChangeKind.STORE_CREATED, "", "")
        content = _raw(connection).serialize()
    engine.dispose()
    return content


def _open() -> sqlite3.Connection:
    # Authorities have threads of their own, and share a store.
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)


def _raw(connection: sa.Connection) -> sqlite3.Connection:
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw

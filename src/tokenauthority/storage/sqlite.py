"""Run units of work on SQLite: WAL, FULL, one writer thread, and point reads on the event loop's own thread.

A point read of an embedded database takes some ten microseconds, a hop to a thread several hundred. So point reads run
on the caller's thread, over a connection of their own. That connection is never in a transaction: each statement sees
the newest commit, and none prevents a checkpoint of the write-ahead log.
"""

from __future__ import annotations

import asyncio
import sqlite3

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import sqlalchemy as sa

from tokenauthority.storage.database import StoreLimits, StoreThreads, unavailable_on_failure
from tokenauthority.storage.failures import primary_code


T = TypeVar("T")

_POINT_BUSY: Final = 0.1
"""Seconds. A reader waits only while another process recovers the log after a crash, but then it blocks the loop."""


_FILE: Final = "file"
"""The key under which a connection has the identity of the file that it opened."""

_DOUBTFUL: Final = frozenset(
    {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERNAL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)
"""Codes after which a connection is not used again, because it may hold what is not so any more."""


class SqliteDatabase:
    """A `Database` in one file, which must exist (`migrate` makes it)."""

    def __init__(self, path: Path, limits: StoreLimits) -> None:
        self._path = path
        self._write_engine = writing_engine(path, limits.busy_timeout)
        self._read_engine = _reading_engine(path, limits.busy_timeout)
        self._point_engine = _reading_engine(path, _POINT_BUSY)
        self._writer = StoreThreads("store-writer", 1, limits)
        self._reader = StoreThreads("store-reader", 1, limits)
        self._point: sa.Connection | None = None

    def __repr__(self) -> str:
        return f"SqliteDatabase({str(self._path)!r})"

    async def run_transaction(self, work: Callable[[sa.Connection], T]) -> T:
        """See `Database`. *work* runs on the writer's thread."""
        return await self._writer.run_unit(lambda: self._in_transaction(work))

    async def run_query(self, work: Callable[[sa.Connection], T]) -> T:
        """See `Database`. *work* runs on the reader's thread, so that a long page blocks no writer and not the loop."""
        return await self._reader.run_unit(lambda: self._in_query(work))

    async def run_point_query(self, work: Callable[[sa.Connection], T]) -> T:
        """See `Database`. *work* runs on the caller's thread."""
        with unavailable_on_failure():
            if self._point is not None and self._point.info[_FILE] != _file_at(self._path):
                self._discard_point()
            if self._point is None:
                self._point = self._point_engine.connect()
            try:
                return work(self._point)
            except (sa.exc.DBAPIError, sqlite3.Error):
                # The next read begins with a fresh connection, in case this one is what broke.
                self._discard_point()
                raise

    async def listen(self, heard: Callable[[], None]) -> None:  # noqa: ARG002 - it is never called
        """See `ChangeStore`. One process learns nothing from SQLite of what another one commits."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """See `Database`."""
        await self._writer.close()
        await self._reader.close()
        if self._point is not None:
            self._point.close()
            self._point = None
        for engine in (self._point_engine, self._read_engine, self._write_engine):
            engine.dispose()

    def _discard_point(self) -> None:
        if self._point is not None:
            self._point.invalidate()
            self._point = None

    def _in_transaction(self, work: Callable[[sa.Connection], T]) -> T:
        with unavailable_on_failure(), self._write_engine.begin() as connection:
            return work(connection)

    def _in_query(self, work: Callable[[sa.Connection], T]) -> T:
        with unavailable_on_failure(), self._read_engine.connect() as connection:
            return work(connection)


def writing_engine(path: Path, busy_timeout: float) -> sa.Engine:
    """Return an engine whose transactions acquire the write lock when they begin.

    They wait for it at most *busy_timeout* seconds. Later, after a read, SQLite could refuse the lock at once: a
    snapshot cannot be upgraded once another process has written, however long one waits.
    """
    pragmas = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
    engine = _engine(path, busy_timeout, pragmas)

    @sa.event.listens_for(engine, "begin")
    def begin_immediate(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _reading_engine(path: Path, busy_timeout: float) -> sa.Engine:
    return _engine(path, busy_timeout, ("query_only=ON",))


def _engine(path: Path, busy_timeout: float, pragmas: tuple[str, ...]) -> sa.Engine:
    # `mode=rw`: a path that is mistyped is an error and not a new, empty database.
    uri = f"{path.absolute().as_uri()}?mode=rw"

    def connect() -> sqlite3.Connection:
        # No isolation level: Python's sqlite3 would otherwise begin transactions by its own rules. Not bound to the
        # thread: the loop closes what the writer's thread opened.
        connection = sqlite3.connect(uri, uri=True, timeout=busy_timeout, isolation_level=None, check_same_thread=False)
        try:
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection

    engine = sa.create_engine(
        "sqlite+pysqlite://",
        creator=connect,
        poolclass=sa.QueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=busy_timeout,
        # The values of a statement that failed would be written into its error.
        hide_parameters=True,
    )
    sa.event.listen(engine, "connect", lambda _, record: record.info.update({_FILE: _file_at(path)}))
    sa.event.listen(engine, "checkout", partial(_require_file, path))
    sa.event.listen(engine, "handle_error", _discard_in_doubt)
    return engine


def _require_file(path: Path, _: object, record: sa.pool.ConnectionPoolEntry, __: object) -> None:
    """Have the pool open the file anew if it was moved or replaced: writes to the old one would be lost."""
    if record.info[_FILE] != _file_at(path):
        raise sa.exc.DisconnectionError


def _discard_in_doubt(context: sa.ExceptionContext) -> None:
    error = context.original_exception
    if context.connection is not None and isinstance(error, sqlite3.Error) and primary_code(error) in _DOUBTFUL:
        context.is_disconnect = True
        # Whoever holds the error holds the statement, and so, without this, the lock of a connection that is closed.
        with suppress(sqlite3.Error):
            context.connection.connection.rollback()


def _file_at(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino

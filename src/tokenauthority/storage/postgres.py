"""Run units of work on PostgreSQL: a thread for each connection of the pool, and a timeout on every wait.

Nothing relies on the session of a connection, because a pooler may give each transaction another one: no statement is
prepared, and what a transaction needs is set in the transaction itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import psycopg
import sqlalchemy as sa

from tokenauthority.storage.address import PostgresAddress
from tokenauthority.storage.database import StoreLimits, StoreThreads, unavailable_on_failure
from tokenauthority.storage.postgres_connection import AnswerTimeoutError, TimedConnection, connector
from tokenauthority.storage.postgres_listener import PostgresListener


T = TypeVar("T")

_ATTEMPTS: Final = 3

_ROLLED_BACK: Final = ("40001", "40P01")
"""SQLSTATE of a serialization failure and of a deadlock: the server has undone the transaction; it may be run again."""

_READ_ONLY: Final = "25006"
_LEFT: Final = ("08", "57P", _READ_ONLY)
"""Beginnings of SQLSTATE after which another connection may succeed: this one is lost, or takes no writes."""

_DOUBTFUL: Final = ("08", "25", "57", "58", "XX")
"""Classes of SQLSTATE after which nobody knows the state of the connection: it is not used again."""

_OWN_DOUBT: Final = ("57014", "XX")
"""Those of them that say nothing about the other connections: a canceled statement, an internal error."""

_IDLE_TRANSACTION: Final = 10_000
"""Milliseconds. A transaction holds a lock that all writers need, so one of a process that hangs is ended soon."""


class PostgresDatabase:
    """A `Database` on a server, which need not be up yet: connections are made when they are needed."""

    def __init__(self, address: PostgresAddress, limits: StoreLimits) -> None:
        self._address, self._limits = address, limits
        self._engine = postgres_engine(address, limits)
        self._transactions = with_transactions(self._engine, limits)
        self._threads = StoreThreads("store", limits.pool_size, limits)
        self._label = f"{address.parameters.get('host')}/{address.parameters.get('dbname')}"

    def __repr__(self) -> str:
        return f"PostgresDatabase({self._label!r})"

    async def run_transaction(self, work: Callable[[sa.Connection], T]) -> T:
        """See `Database`. It retries *work*, at most twice, where it certainly was not committed."""
        return await self._threads.run_unit(lambda: self._in_transaction(work))

    async def run_query(self, work: Callable[[sa.Connection], T]) -> T:
        """See `Database`. No transaction is around *work*, which saves two round trips."""
        return await self._threads.run_unit(lambda: self._in_query(work))

    async def run_point_query(self, work: Callable[[sa.Connection], T]) -> T:
        """See `Database`. It is as `run_query`: every statement crosses the network."""
        return await self.run_query(work)

    async def listen(self, heard: Callable[[], None]) -> None:
        """See `ChangeStore`."""
        await PostgresListener(self._address, self._limits, heard).run()

    async def close(self) -> None:
        """See `Database`. It waits no longer than callers do for a server that does not answer."""
        await self._threads.close()
        self._engine.dispose()

    def _in_transaction(self, work: Callable[[sa.Connection], T]) -> T:
        with unavailable_on_failure():
            for _ in range(_ATTEMPTS - 1):
                committing = False
                try:
                    with self._transactions.connect() as connection, connection.begin() as transaction:
                        answer = work(connection)
                        committing = True
                        transaction.commit()
                        return answer
                except sa.exc.DBAPIError as error:
                    if not _may_run_again(error, committing=committing):
                        raise
            with self._transactions.begin() as connection:
                return work(connection)

    def _in_query(self, work: Callable[[sa.Connection], T]) -> T:
        with unavailable_on_failure():
            try:
                return self._query(work)
            except sa.exc.DBAPIError as error:
                if not _may_run_again(error, committing=False):
                    raise
            # Once more, over a new connection: the pool has closed all that were as old as the broken one.
            return self._query(work)

    def _query(self, work: Callable[[sa.Connection], T]) -> T:
        with self._engine.connect() as connection:
            return work(connection)


def postgres_engine(address: PostgresAddress, limits: StoreLimits) -> sa.Engine:
    """Return an engine without transactions, for reading. It throws connections away whose state is in doubt."""
    engine = sa.create_engine(
        "postgresql+psycopg://",
        creator=connector(address, limits),
        pool_size=limits.pool_size,
        max_overflow=0,
        pool_timeout=limits.connect_timeout,
        pool_use_lifo=True,
        isolation_level="AUTOCOMMIT",
        # The look-up of hstore would cost every new connection a round trip.
        use_native_hstore=False,
        # The values of a statement that failed would be written into its error.
        hide_parameters=True,
    )
    sa.event.listen(engine, "handle_error", _discard_in_doubt)
    return engine


def with_transactions(engine: sa.Engine, limits: StoreLimits) -> sa.Engine:
    """Return an engine over the connections of *engine* whose work is in transactions, with the timeouts of *limits*.

    READ COMMITTED is set whatever the server's default is. Writers hold a lock (`ChangeLog`), and only at this level
    does the statement after the lock see what its last holder committed.
    """
    begin = "; ".join(
        (
            "BEGIN ISOLATION LEVEL READ COMMITTED",
            f"SET LOCAL statement_timeout = {round(limits.statement_timeout * 1000)}",
            f"SET LOCAL idle_in_transaction_session_timeout = {_IDLE_TRANSACTION}",
        )
    )
    writing = engine.execution_options()
    # In one round trip: psycopg in its AUTOCOMMIT mode sends no BEGIN of its own, and commits what was begun.
    sa.event.listen(writing, "begin", lambda connection: connection.exec_driver_sql(begin))
    return writing


def _discard_in_doubt(context: sa.ExceptionContext) -> None:
    error = context.original_exception
    if context.connection is None or not isinstance(error, psycopg.Error):
        return
    state = error.sqlstate or ""
    driver = context.connection.connection.driver_connection
    if state == _READ_ONLY and isinstance(driver, TimedConnection) and driver.is_new:
        # Another new one would be as it is. Else each write would cost one for as long as the database takes none.
        return
    if context.is_disconnect or state.startswith(_DOUBTFUL):
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = not state.startswith(_OWN_DOUBT)


def _may_run_again(error: sa.exc.DBAPIError, *, committing: bool) -> bool:
    """Return whether the work of *error* was certainly not committed and may succeed when it is run again.

    A connection that broke, such as one that a restarted server dropped while it was idle, ends its transaction. But if
    it broke during COMMIT, the transaction may have been committed. A statement that took too long would do so again.
    """
    state = getattr(error.orig, "sqlstate", None)
    if state in _ROLLED_BACK:
        return True
    if committing or not error.connection_invalidated or isinstance(error.orig, AnswerTimeoutError):
        return False
    return state is None or state.startswith(_LEFT)

"""Run units of work on PostgreSQL: a thread for each connection of the pool, and a timeout on every wait."""

from __future__ import annotations

import os
import socket

from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar
from weakref import WeakSet

import psycopg
import sqlalchemy as sa

from tokenauthority.storage.database import StoreLimits, StoreThreads, unavailable_on_failure


T = TypeVar("T")

_ATTEMPTS: Final = 3
_ROLLED_BACK: Final = frozenset({"40001", "40P01"})
"""SQLSTATE of a serialization failure and of a deadlock: the server has undone the transaction; it may be run again."""


class PostgresDatabase:
    """A `Database` on a server, which need not be up yet: connections are made when they are needed."""

    def __init__(self, url: sa.URL, limits: StoreLimits) -> None:
        self._engine = postgres_engine(url, limits)
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._threads = StoreThreads("store", limits.pool_size, limits)
        self._cut = False
        self._connections = WeakSet[psycopg.Connection]()
        sa.event.listen(self._engine, "connect", lambda connection, _: self._connections.add(connection))
        # Never the URL itself: a password can stand in its query too.
        self._label = f"{url.host}/{url.database}"

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

    async def close(self) -> None:
        """See `Database`. It waits no longer than callers do for a server that does not answer."""
        if not await self._threads.close():
            # Else the threads, and so the process, would wait for ever for a server that holds the connection open.
            self._cut_off()
        self._engine.dispose()

    def _in_transaction(self, work: Callable[[sa.Connection], T]) -> T:
        with unavailable_on_failure():
            for _ in range(_ATTEMPTS - 1):
                committing = False
                try:
                    with self._engine.connect() as connection, connection.begin() as transaction:
                        answer = work(connection)
                        committing = True
                        transaction.commit()
                        return answer
                except sa.exc.DBAPIError as error:
                    if self._cut or not _is_rolled_back(error, committing=committing):
                        raise
            with self._engine.begin() as connection:
                return work(connection)

    def _in_query(self, work: Callable[[sa.Connection], T]) -> T:
        with unavailable_on_failure():
            try:
                with self._autocommit.connect() as connection:
                    return work(connection)
            except sa.exc.DBAPIError as error:
                if self._cut or not error.connection_invalidated:
                    raise
            # Once more, over a new connection: the pool has closed all that were as old as the broken one.
            with self._autocommit.connect() as connection:
                return work(connection)

    def _cut_off(self) -> None:
        self._cut = True
        for connection in tuple(self._connections):
            # The wait of its thread ends as if the server had closed the connection, which stays to be closed there.
            with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)


def postgres_engine(url: sa.URL, limits: StoreLimits) -> sa.Engine:
    """Return an engine with the timeouts of *limits*; a connection parameter in *url* overrides ours.

    READ COMMITTED is set whatever the server's default is. Writers hold a lock (`ChangeLog`), and only at this level
    does the statement after the lock see what its last holder committed.
    """
    milliseconds = round(limits.statement_timeout * 1000)
    own: dict[str, str | int] = {
        "connect_timeout": max(2, round(limits.connect_timeout)),
        "application_name": "tokenauthority",
        # A server that disappears without closing its connections is noticed in some ten seconds instead of hours.
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
    }
    asked = url.query.get("options", "")
    options = asked if isinstance(asked, str) else " ".join(asked)
    return sa.create_engine(
        url,
        pool_size=limits.pool_size,
        max_overflow=0,
        pool_timeout=limits.connect_timeout,
        pool_use_lifo=True,
        isolation_level="READ COMMITTED",
        # The look-up of hstore would cost every new connection a round trip.
        use_native_hstore=False,
        connect_args={
            **{name: value for name, value in own.items() if name not in url.query},
            "options": f"-c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout=60000 {options}",
        },
        # The values of a statement that failed would be written into its error.
        hide_parameters=True,
    )


def _is_rolled_back(error: sa.exc.DBAPIError, *, committing: bool) -> bool:
    """Return whether the transaction of *error* was certainly not committed and may succeed when it is run again.

    A connection that broke, such as one that a restarted server dropped while it was idle, ends its transaction. But if
    it broke during COMMIT, the transaction may have been committed.
    """
    if getattr(error.orig, "sqlstate", None) in _ROLLED_BACK:
        return True
    return error.connection_invalidated and not committing

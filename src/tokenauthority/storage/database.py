"""Run units of work on a database: on the right thread, in a transaction or without, with one kind of error."""

from __future__ import annotations

import functools
import sqlite3

from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar

import attrs
import sqlalchemy as sa

from sqlalchemy.dialects import postgresql, sqlite

from tokenauthority.domain.errors import UnavailableError
from tokenauthority.durations import Durations
from tokenauthority.storage.condition import ConditionTracker, StoreCondition
from tokenauthority.storage.failures import cause_of
from tokenauthority.threads import BlockingPool, PoolError


P = ParamSpec("P")
T = TypeVar("T")

Query: TypeAlias = sa.Select[*tuple[object, ...]]
"""A SELECT of any columns."""


@attrs.frozen(kw_only=True)
class StoreLimits:
    """The bounds of a store: every wait ends. Times are in seconds; what a bound cuts off is an `UnavailableError`."""

    pool_size: int = 10
    """Connections to PostgreSQL of one process, and threads that use them. SQLite has one writer whatever this says."""

    connect_timeout: float = 5.0
    """To reach PostgreSQL. libpq rounds it up to at least 2 seconds and counts it for each address of the host."""

    statement_timeout: float = 5.0
    """For one statement on PostgreSQL, waits for locks included; in a transaction the server ends it. A client waits 3
    seconds longer, also for a read, and then closes the connection."""

    busy_timeout: float = 5.0
    """For SQLite's write lock while another process holds it."""

    unit_timeout: float = 15.0
    """For one unit of work as its caller sees it, time in the queue included. It may still be committed afterwards."""

    max_waiting: int = 1000
    """Units of work that run or wait at once; more are refused at once, so that a slow disk cannot fill the memory."""


class Database(Protocol):
    """A database behind its threads. Each method costs at most one hop to a thread and back, and raises the same."""

    async def run_transaction(self, work: Callable[[sa.Connection], T]) -> T:
        """Run *work* in one transaction that is durable when this returns. *work* may run more than once.

        Raises:
            UnavailableError: The database cannot be reached or written; the driver's error is its cause.
        """

    async def run_query(self, work: Callable[[sa.Connection], T]) -> T:
        """Run *work*, which only reads. Each of its statements sees everything that was committed before it."""

    async def run_point_query(self, work: Callable[[sa.Connection], T]) -> T:
        """Run *work*, which only reads and takes some microseconds, perhaps without a hop to a thread."""

    async def listen(self, heard: Callable[[], None]) -> None:
        """See `ChangeStore`."""

    async def close(self) -> None:
        """Finish the work that has begun, then close files and connections."""


class SqlOperations:
    """Operations of a store. Each is written as work over a connection, which a decorator below runs on a database."""

    def __init__(self, database: Database, clock: Callable[[], float] = monotonic) -> None:
        self._database = database
        self._tracker = ConditionTracker(clock)

    @property
    def condition(self) -> StoreCondition:
        """See `Store`."""
        return self._tracker.condition

    @property
    def durations(self) -> Mapping[str, Durations]:
        """See `Store`."""
        return self._tracker.durations


S = TypeVar("S", bound=SqlOperations)

_Work: TypeAlias = "Callable[Concatenate[S, sa.Connection, P], T]"
_Operation: TypeAlias = "Callable[Concatenate[S, P], Coroutine[Any, Any, T]]"


def transaction(work: _Work[S, P, T]) -> _Operation[S, P, T]:
    """Make *work* an operation that runs by `Database.run_transaction`."""

    @functools.wraps(work)
    def operation(self: S, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        unit = self._database.run_transaction(lambda connection: work(self, connection, *args, **kwargs))
        return self._tracker.observe(unit, writes=True)

    return operation


def query(work: _Work[S, P, T]) -> _Operation[S, P, T]:
    """Make *work* an operation that runs by `Database.run_query`."""

    @functools.wraps(work)
    def operation(self: S, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        unit = self._database.run_query(lambda connection: work(self, connection, *args, **kwargs))
        return self._tracker.observe(unit, writes=False)

    return operation


def point_query(work: _Work[S, P, T]) -> _Operation[S, P, T]:
    """Make *work* an operation that runs by `Database.run_point_query`."""

    @functools.wraps(work)
    def operation(self: S, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        unit = self._database.run_point_query(lambda connection: work(self, connection, *args, **kwargs))
        return self._tracker.observe(unit, writes=False)

    return operation


class StoreThreads:
    """Threads for the units of work of a store, within *limits*."""

    def __init__(self, name: str, threads: int, limits: StoreLimits) -> None:
        self._pool = BlockingPool(name, threads=threads, max_pending=limits.max_waiting)
        self._patience = limits.unit_timeout

    async def run_unit(self, work: Callable[[], T]) -> T:
        """Return what *work* returns; UnavailableError: too much is pending, it took too long, or it is closed."""
        try:
            return await self._pool.run(work, patience=self._patience)
        except PoolError as error:
            raise UnavailableError.store(cause_of(error)) from error

    async def close(self) -> bool:
        """Accept no more work, wait for what was accepted as long as its callers do, and return whether it ended."""
        return await self._pool.close(self._patience)


@contextmanager
def unavailable_on_failure() -> Iterator[None]:
    """Turn a driver's error into `UnavailableError`, with the error as its cause.

    Errors in the data pass unchanged: a broken key or a value out of range is a bug of the caller, and a retry is no
    help. sqlite3's own class is named too, because SQLAlchemy wraps no error of its connect hooks.
    """
    try:
        yield
    except (sa.exc.IntegrityError, sa.exc.DataError):
        raise
    except (sa.exc.DBAPIError, sa.exc.TimeoutError, sqlite3.Error) as error:
        raise UnavailableError.store(cause_of(error)) from error


def insert_or(connection: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that has `on_conflict_...`; both dialects have it, each as its own class."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)

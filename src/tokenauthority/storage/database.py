"""How the store reaches a database: units of work over a Connection, on the right thread, with one kind of error."""

from __future__ import annotations

import sqlite3

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

import sqlalchemy as sa

from sqlalchemy.dialects import postgresql, sqlite

from tokenauthority.domain.errors import UnavailableError


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


T = TypeVar("T")

Query: TypeAlias = sa.Select[*tuple[object, ...]]
"""A SELECT of any columns."""


class Database(Protocol):
    """A database behind its threads. Each method costs at most one hop to a thread and back."""

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run *work* in one transaction that is durable when this returns; *work* may run more than once.

        Raises:
            UnavailableError: the database cannot be reached or written; the driver's error is its cause.
        """

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run *work*, which only reads; each of its statements sees everything that was committed before it.

        Raises:
            UnavailableError: as `write`.
        """

    async def read_point(self, work: Callable[[sa.Connection], T]) -> T:
        """The same for work of a few microseconds, which may run without any hop.

        Raises:
            UnavailableError: as `write`.
        """

    async def close(self) -> None:
        """Finish what is under way, then let go of files and connections."""


@contextmanager
def unavailable_on_failure() -> Iterator[None]:
    """Turn a driver's error into `UnavailableError`, with the error as its cause.

    Errors in the data alone pass: a broken key or a value out of range is a bug of the caller, and trying again is
    no help. sqlite3's own class is named too, because SQLAlchemy wraps no error of its connect hooks.
    """
    try:
        yield
    except (sa.exc.IntegrityError, sa.exc.DataError):
        raise
    except (sa.exc.DBAPIError, sa.exc.TimeoutError, sqlite3.Error) as error:
        raise UnavailableError.store() from error


def insert_or(connection: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that can say what happens on a conflict; both dialects have it, each as its own class."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)

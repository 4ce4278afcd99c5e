"""Hold what the tables of a store have in common; each table stands in the module of its subject (`sql_...`).

Times are UTC milliseconds in BIGINT. Ids are text that is compared and ordered by its bytes: SQLite does so by itself,
PostgreSQL by the collation "C", whatever the locale of the database. What is secret is stored sealed.

`migrations/` makes the tables in a database; a test finds no difference between the two.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeVar

import sqlalchemy as sa

from sqlalchemy.dialects import postgresql


metadata: Final = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

Id: Final = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
"""The type of ids, names and enum values."""

PAGE: Final = sa.bindparam("page", type_=sa.BigInteger)
"""The limit of a prepared statement."""


def partial_index(name: str, condition: str, *columns: sa.Column[object], unique: bool = False) -> None:
    """Add an index of the rows that meet *condition* to the table of *columns*."""
    where = sa.text(condition)
    sa.Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


E = TypeVar("E", bound=StrEnum)


def member(kind: type[E], value: object, otherwise: E) -> E:
    """Return the member of *kind* that a row names, or *otherwise* where somebody has written what is none.

    For what a seal binds: the object then does not open, unless *otherwise* is what was sealed. Anything else is marked
    as `unreadable`.
    """
    return next((each for each in kind if each == value), otherwise)


def envelope(value: object) -> bytes:
    """Return an envelope as a row has it, and none where somebody has written text: SQLite takes that."""
    return value if isinstance(value, bytes) else b""

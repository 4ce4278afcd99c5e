"""Hold what the tables of a store have in common; each table stands in the module of its subject (`sql_...`).

Times are UTC milliseconds in BIGINT. Ids are text that is compared and ordered by its bytes: SQLite does so by itself,
PostgreSQL by the collation "C", whatever the locale of the database. What is secret is stored sealed.

`migrations/` makes the tables in a database; a test finds no difference between the two.
"""

from __future__ import annotations

from typing import Final

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

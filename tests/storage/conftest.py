"""Stores to test: in a SQLite file, and in a database of a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import psycopg
import pytest
import sqlalchemy as sa

from psycopg import sql

from tests.support.postgres import PostgresServer
from tokenauthority.storage.address import PostgresAddress, SqliteAddress, parse_address
from tokenauthority.storage.database import StoreLimits
from tokenauthority.storage.migrate import migrate
from tokenauthority.storage.postgres import PostgresDatabase
from tokenauthority.storage.schema import metadata
from tokenauthority.storage.sql import open_store
from tokenauthority.storage.sqlite import SqliteDatabase
from tokenauthority.storage.store import Store


Opener = Callable[[], Store]
"""Opens one more store on the same data, as a second server would."""

ClosedLater = Callable[[Store], Store]
"""Takes a store to be closed in the end, and gives it back."""


_TABLES: Final = [sql.Identifier(name) for name in ("alembic_version", *metadata.tables)]
_DISCONNECT_OTHERS: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
_NUMBER_CHANGES_ANEW: Final = "SELECT setval(pg_get_serial_sequence('changes', 'sequence'), max(sequence)) FROM changes"


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite store that is up to date."""
    url = f"sqlite:///{tmp_path}/store/authority.db"
    migrate(url)
    return url


@pytest.fixture(scope="session")
def migrated_database(postgres_server: PostgresServer) -> str:
    """The URL of a PostgreSQL store that is up to date, with a copy of its rows in another schema."""
    url = postgres_server.url(postgres_server.create_database())
    migrate(url)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE SCHEMA migrated")
        for table in _TABLES:
            connection.execute(sql.SQL("CREATE TABLE migrated.{0} AS TABLE {0}").format(table))
    return url


@pytest.fixture
def migrated_postgres_url(migrated_database: str) -> Iterator[str]:
    """The URL of a PostgreSQL store that is up to date and that only this test uses; it may not change the schema."""
    yield migrated_database
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        connection.execute(_DISCONNECT_OTHERS)
        connection.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(sql.Identifier(connection.info.dbname)))
        # Foreign keys need no order then.
        connection.execute("SET session_replication_role = replica")
        with connection.transaction():
            for table in _TABLES:
                connection.execute(sql.SQL("DELETE FROM {}").format(table))
                again = "INSERT INTO {0} OVERRIDING SYSTEM VALUE TABLE migrated.{0}"
                connection.execute(sql.SQL(again).format(table))
            connection.execute(_NUMBER_CHANGES_ANEW)


@pytest.fixture(params=["sqlite", "postgres"])
def sql_url(request: pytest.FixtureRequest) -> str:
    """The URL of a store that is up to date, on each engine."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "migrated_postgres_url")
    return url


@pytest.fixture(params=["sqlite", "postgres"])
async def opener(request: pytest.FixtureRequest) -> AsyncIterator[Opener]:
    """Opens stores on the same data; closes them in the end."""
    url = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "migrated_postgres_url")
    async with AsyncExitStack() as opened:

        def open_one() -> Store:
            store = open_store(url)
            opened.push_async_callback(store.close)
            return store

        yield open_one


@pytest.fixture
async def closed_later() -> AsyncIterator[ClosedLater]:
    """Closes in the end what a test opens itself, also when the test fails; ask for it after the URL."""
    async with AsyncExitStack() as opened:

        def keep(store: Store) -> Store:
            opened.push_async_callback(store.close)
            return store

        yield keep


@pytest.fixture
def store(opener: Opener) -> Store:
    """A store of each kind."""
    return opener()


@pytest.fixture
def second_store(opener: Opener) -> Store:
    """Another one on the same data."""
    return opener()


def sqlite_path_of(url: str) -> Path:
    """The file of a SQLite store."""
    address = parse_address(url)
    assert isinstance(address, SqliteAddress)
    return address.path


def postgres_address_of(url: str) -> PostgresAddress:
    """The address of a PostgreSQL store."""
    address = parse_address(url)
    assert isinstance(address, PostgresAddress)
    return address


@pytest.fixture
async def sqlite(sqlite_url: str) -> AsyncIterator[SqliteDatabase]:
    """A SQLite database that is up to date."""
    database = SqliteDatabase(sqlite_path_of(sqlite_url), StoreLimits())
    yield database
    await database.close()


@pytest.fixture
async def postgres(migrated_postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    """A PostgreSQL database that is up to date, over two connections."""
    database = PostgresDatabase(postgres_address_of(migrated_postgres_url), StoreLimits(pool_size=2))
    yield database
    await database.close()


@pytest.fixture(params=["sqlite", "postgres"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that is not there yet, on each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/made/here/authority.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


def engine_of(url: str) -> sa.Engine:
    """An engine of SQLAlchemy for a store."""
    address = parse_address(url)
    if isinstance(address, SqliteAddress):
        return sa.create_engine(sa.URL.create("sqlite", database=str(address.path)))
    return sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))

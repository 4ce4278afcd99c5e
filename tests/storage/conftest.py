"""Stores to test: in memory, in a SQLite file, and in a database of a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.support.memory_store import MemoryStore
from tests.support.postgres import PostgresServer
from tokenauthority.storage.address import PostgresAddress, SqliteAddress, parse_address
from tokenauthority.storage.database import StoreLimits
from tokenauthority.storage.migrate import migrate
from tokenauthority.storage.postgres import PostgresDatabase
from tokenauthority.storage.sql import open_store
from tokenauthority.storage.sqlite import SqliteDatabase
from tokenauthority.storage.store import Store


Opener = Callable[[], Store]
"""Opens one more store on the same data, as a second server would."""

ClosedLater = Callable[[Store], Store]
"""Takes a store to be closed in the end, and gives it back."""


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite store that is up to date."""
    url = f"sqlite:///{tmp_path}/store/authority.db"
    migrate(url)
    return url


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> str:
    """A PostgreSQL database that is up to date, to be copied."""
    name = postgres_server.create_database()
    migrate(postgres_server.url(name))
    return name


@pytest.fixture
def migrated_postgres_url(postgres_server: PostgresServer, migrated_template: str) -> Iterator[str]:
    """The URL of a PostgreSQL store that is up to date and that only this test uses."""
    name = postgres_server.create_database(migrated_template)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture(params=["sqlite", "postgres"])
def sql_url(request: pytest.FixtureRequest) -> str:
    """The URL of a store that is up to date, on each engine."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "migrated_postgres_url")
    return url


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def opener(request: pytest.FixtureRequest) -> AsyncIterator[Opener]:
    """Opens stores on the same data; closes them in the end."""
    if request.param == "memory":
        only = MemoryStore()
        yield lambda: only
        return
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


def postgres_url_of(url: str) -> sa.URL:
    """The URL of a PostgreSQL store, as SQLAlchemy has it."""
    address = parse_address(url)
    assert isinstance(address, PostgresAddress)
    return address.url


@pytest.fixture
async def sqlite(sqlite_url: str) -> AsyncIterator[SqliteDatabase]:
    """A SQLite database that is up to date."""
    database = SqliteDatabase(sqlite_path_of(sqlite_url), StoreLimits())
    yield database
    await database.close()


@pytest.fixture
async def postgres(migrated_postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    """A PostgreSQL database that is up to date, over two connections."""
    database = PostgresDatabase(postgres_url_of(migrated_postgres_url), StoreLimits(pool_size=2))
    yield database
    await database.close()

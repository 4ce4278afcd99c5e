"""A database that cannot be reached or written is `UnavailableError`, and the store works again when it can."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import sqlite3
import threading

from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import attrs
import psycopg
import pytest
import sqlalchemy as sa

from tests.storage.builders import PROJECT, make_credential, make_project, make_session
from tests.storage.conftest import ClosedLater, postgres_address_of
from tests.support.postgres import PostgresServer, running_postgres
from tokenauthority.domain.errors import Reason, UnavailableError
from tokenauthority.domain.project import Project
from tokenauthority.storage.address import SqliteAddress, parse_address
from tokenauthority.storage.database import StoreLimits
from tokenauthority.storage.migrate import check_schema, migrate
from tokenauthority.storage.postgres import PostgresDatabase
from tokenauthority.storage.sql import SqlStore, open_store
from tokenauthority.storage.store import Store


SHORT = StoreLimits(pool_size=2, connect_timeout=2, statement_timeout=0.2, busy_timeout=0.1)


async def _unavailable(call: Awaitable[object]) -> BaseException:
    with pytest.raises(UnavailableError) as caught:
        await call
    assert Reason.STORE_UNAVAILABLE == caught.value.reason
    assert caught.value.__cause__ is not None
    return caught.value.__cause__


@pytest.fixture
async def sqlite_store(sqlite_url: str) -> AsyncIterator[Store]:
    """A SQLite store with a project in it."""
    store = open_store(sqlite_url, SHORT)
    try:
        await store.create_project(make_project())
        yield store
    finally:
        await store.close()


@pytest.fixture
def path(sqlite_url: str) -> Path:
    """The file of the SQLite store."""
    address = parse_address(sqlite_url)
    assert isinstance(address, SqliteAddress)
    return address.path


@pytest.fixture
async def postgres(migrated_postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    """A PostgreSQL database with a project in it."""
    database = PostgresDatabase(postgres_address_of(migrated_postgres_url), SHORT)
    try:
        await SqlStore(database).create_project(make_project())
        yield database
    finally:
        await database.close()


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A PostgreSQL that no other test uses."""
    with running_postgres() as server:
        yield server


@contextmanager
def _files_limited_to(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_sqlite_that_cannot_grow(sqlite_store: Store, path: Path) -> None:
    """When the disk takes no more bytes, writes are unavailable and leave nothing; reads go on, and writes later."""
    log = path.with_name(f"{path.name}-wal")

    with _files_limited_to(log.stat().st_size):
        cause = await _unavailable(sqlite_store.create_session(make_session(), None))
        read = await sqlite_store.get_project(PROJECT)
        stored = await sqlite_store.get_session("2_session")
    written = await sqlite_store.create_session(make_session(), None)

    assert isinstance(cause, sa.exc.OperationalError)
    assert make_project() == read
    assert stored is None
    assert make_session() == written


async def test_sqlite_that_another_process_writes(sqlite_store: Store, path: Path) -> None:
    """While another process holds the write lock for long, writes are unavailable; reads go on, and writes later."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        cause = await _unavailable(sqlite_store.create_session(make_session(), None))
        read = await sqlite_store.get_project(PROJECT)
        other.execute("ROLLBACK")
    written = await sqlite_store.create_session(make_session(), None)

    assert "database is locked" in str(cause)
    assert make_project() == read
    assert make_session() == written


async def test_sqlite_file_that_is_broken(sqlite_url: str, path: Path, closed_later: ClosedLater) -> None:
    """A file that is no database is unavailable, for every kind of call."""
    path.write_bytes(b"not a database, " * 1000)
    store = closed_later(open_store(sqlite_url, SHORT))

    causes = [
        await _unavailable(store.create_project(make_project())),
        await _unavailable(store.get_project(PROJECT)),
        await _unavailable(store.list_roles(PROJECT)),
    ]

    assert all("not a database" in str(cause) for cause in causes)


async def test_sqlite_file_that_is_not_there(tmp_path: Path, closed_later: ClosedLater) -> None:
    """A store never makes a file of its own accord, and works as soon as there is one."""
    url = f"sqlite:///{tmp_path}/authority.db"
    store = closed_later(open_store(url, SHORT))
    for call in (store.get_project(PROJECT), store.create_project(make_project()), store.list_keys()):
        await _unavailable(call)
    made = list(tmp_path.iterdir())

    migrate(url)
    await store.create_project(make_project())
    found = await store.get_project(PROJECT)

    assert [] == made
    assert make_project() == found


async def test_database_without_its_tables(postgres_url: str, closed_later: ClosedLater) -> None:
    """A schema that is not there is unavailable, and works as soon as it is."""
    store = closed_later(open_store(postgres_url, SHORT))
    await _unavailable(store.get_project(PROJECT))
    await _unavailable(store.create_project(make_project()))

    migrate(postgres_url)
    await store.create_project(make_project())
    found = await store.get_project(PROJECT)

    assert make_project() == found


async def test_postgresql_that_stops_and_returns(own_server: PostgresServer, closed_later: ClosedLater) -> None:
    """While PostgreSQL is down every call is unavailable; when it is back the same store works, with all it held."""
    url = own_server.url(own_server.create_database())
    migrate(url)
    store = closed_later(open_store(url, SHORT))
    await store.create_project(make_project())

    own_server.stop()
    for call in (store.get_project(PROJECT), store.create_session(make_session(), None), store.last_change()):
        await _unavailable(call)
    with pytest.raises(UnavailableError):
        check_schema(url)
    own_server.start()
    found = await store.get_project(PROJECT)
    written = await store.create_session(make_session(), None)

    assert make_project() == found
    assert make_session() == written


async def test_postgresql_that_restarts_between_two_calls(
    own_server: PostgresServer, closed_later: ClosedLater
) -> None:
    """A restart that happens while nobody asks is not noticed: connections that it cut are replaced."""
    url = own_server.url(own_server.create_database())
    migrate(url)
    store = closed_later(open_store(url, SHORT))
    await store.create_project(make_project())

    own_server.stop()
    own_server.start()
    await store.create_session(make_session(), None)
    own_server.stop()
    own_server.start()
    found = await store.get_session("2_session")

    assert make_session() == found


async def test_unreachable_server_is_reported_without_the_password(closed_later: ClosedLater) -> None:
    """No error of a server that does not answer shows the password."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    url = f"postgresql://user:hunter2secret@127.0.0.1:{port}/db?sslpassword=hunter2secret"
    store = closed_later(open_store(url, SHORT))

    cause = await _unavailable(store.get_project(PROJECT))
    with pytest.raises(UnavailableError) as caught:
        migrate(url)

    assert "refused" in str(cause)
    assert "hunter2secret" not in f"{cause} {cause!r} {caught.value.__cause__!r}"


async def test_statement_that_takes_too_long(postgres: PostgresDatabase, migrated_postgres_url: str) -> None:
    """A statement that waits for a lock for too long is given up, and the store goes on."""
    store = SqlStore(postgres)

    def renamed(project: Project) -> Project:
        return attrs.evolve(project, display_name="new")

    with psycopg.connect(migrated_postgres_url) as other:
        other.execute("LOCK TABLE projects")
        causes = [
            await _unavailable(store.update_project(PROJECT, renamed)),
            await _unavailable(store.get_project(PROJECT)),
        ]
    await store.update_project(PROJECT, renamed)

    assert all("statement timeout" in str(cause) for cause in causes)
    assert make_project(display_name="new") == await store.get_project(PROJECT)


async def test_server_that_answers_nothing_is_left(migrated_postgres_url: str) -> None:
    """A server that hangs, its connections open, leaves no caller and no `close` waiting, and no thread for ever."""
    database = PostgresDatabase(postgres_address_of(migrated_postgres_url), StoreLimits(pool_size=1, unit_timeout=0.2))
    backend = await database.run_transaction(lambda c: c.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
    ended = threading.Event()

    def work(connection: sa.Connection) -> None:
        os.kill(backend, signal.SIGSTOP)
        try:
            connection.exec_driver_sql("SELECT 1")
        finally:
            ended.set()

    try:
        await _unavailable(database.run_transaction(work))
        ended_early = ended.is_set()
        await database.close()
        ended_late = await asyncio.to_thread(ended.wait, 30)
    finally:
        os.kill(backend, signal.SIGCONT)

    assert (False, True) == (ended_early, ended_late)


@pytest.mark.parametrize("code", ["40001", "40P01"])
@pytest.mark.parametrize(("failures", "runs"), [(2, 3), (3, 3)])
async def test_transactions_that_postgresql_gives_back(
    postgres: PostgresDatabase, code: str, failures: int, runs: int
) -> None:
    """A serialization failure or a deadlock is tried again, three times in all, and leaves nothing behind."""
    tried = 0

    def work(connection: sa.Connection) -> str:
        nonlocal tried
        tried += 1
        connection.exec_driver_sql("DELETE FROM projects WHERE project_id = 'x'")
        if tried <= failures:
            connection.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$")
        return "done"

    outcome = (
        await postgres.run_transaction(work)
        if failures < runs
        else type(await _unavailable(postgres.run_transaction(work))).__name__
    )

    assert runs == tried
    assert ("done" if failures < runs else "OperationalError") == outcome


async def test_commit_of_unknown_outcome_is_not_repeated(postgres: PostgresDatabase) -> None:
    """When the connection breaks during the commit, nobody knows whether it happened: the work is not run again."""
    await postgres.run_transaction(
        lambda c: c.exec_driver_sql(
            """
            CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER at_commit AFTER UPDATE ON projects
                DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die();
            """
        )
    )
    tried = 0

    def work(connection: sa.Connection) -> None:
        nonlocal tried
        tried += 1
        connection.exec_driver_sql("UPDATE projects SET max_ttl = 1")

    await _unavailable(postgres.run_transaction(work))
    await postgres.run_transaction(lambda c: c.exec_driver_sql("DROP FUNCTION die CASCADE"))

    assert 1 == tried
    assert make_project() == await SqlStore(postgres).get_project(PROJECT)


async def test_a_broken_promise_is_no_outage(sql_url: str, closed_later: ClosedLater) -> None:
    """Two credentials of one id are a bug of the caller, not an outage, and the error shows no values."""
    store = closed_later(open_store(sql_url))

    with pytest.raises(sa.exc.IntegrityError) as caught:
        await store.create_project(make_project(credentials=(make_credential(), make_credential())))

    assert "SQL parameters hidden" in str(caught.value)

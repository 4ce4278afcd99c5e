"""What the SQL stores promise beyond the contract: durability, indexes, threads, transactions."""

from __future__ import annotations

import asyncio
import sqlite3
import threading

from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from tests.storage.builders import (
    NOW,
    PROJECT,
    later,
    make_idempotency_key,
    make_key,
    make_project,
    make_role,
    make_session,
)
from tests.storage.conftest import ClosedLater
from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.session import SessionState
from tokenauthority.domain.times import Millis
from tokenauthority.storage import StoreLimits, open_store
from tokenauthority.storage.address import PostgresAddress, SqliteAddress, parse_address
from tokenauthority.storage.database import Query
from tokenauthority.storage.postgres import PostgresDatabase, postgres_engine
from tokenauthority.storage.sql_changes import ChangeLog
from tokenauthority.storage.sql_sessions import page_of_sessions
from tokenauthority.storage.sqlite import SqliteDatabase


def _path(url: str) -> Path:
    address = parse_address(url)
    assert isinstance(address, SqliteAddress)
    return address.path


def _postgres(url: str) -> sa.URL:
    address = parse_address(url)
    assert isinstance(address, PostgresAddress)
    return address.url


@pytest.fixture
async def sqlite(sqlite_url: str) -> AsyncIterator[SqliteDatabase]:
    """A SQLite database that is up to date."""
    database = SqliteDatabase(_path(sqlite_url), StoreLimits())
    yield database
    await database.close()


@pytest.fixture
async def postgres(migrated_postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    """A PostgreSQL database that is up to date, over two connections."""
    database = PostgresDatabase(_postgres(migrated_postgres_url), StoreLimits(pool_size=2))
    yield database
    await database.close()


async def test_everything_outlives_the_process(sql_url: str, closed_later: ClosedLater) -> None:
    """What was kept is there when the store is opened again, and its changes go on from their number."""
    first = closed_later(open_store(sql_url))
    await first.create_project(make_project())
    await first.create_role(make_role())
    session = await first.create_session(make_session(), make_idempotency_key())
    ended = await first.end_session(session, later(1))
    [key] = await first.update_keys(lambda _: [make_key()])
    last = await first.last_change()
    await first.close()

    second = closed_later(open_store(sql_url))
    kept = (
        await second.get_project(PROJECT),
        await second.list_roles(PROJECT),
        await second.create_session(make_session("2_other"), make_idempotency_key()),
        await second.list_keys(),
        await second.last_change(),
    )
    await second.update_project(PROJECT, lambda project: project)
    now = await second.last_change()

    assert (make_project(), [make_role()], ended, [key], last) == kept
    assert now.sequence > last.sequence


async def test_numbers_of_changes_are_never_used_again(sqlite: SqliteDatabase) -> None:
    """A number stays above all earlier ones, even where their rows are gone."""
    await sqlite.write(lambda c: ChangeLog(c).append(ChangeKind.KEY, "", "a"))
    before = await sqlite.read(lambda c: c.exec_driver_sql("SELECT max(sequence) FROM changes").scalar_one())
    await sqlite.write(lambda c: c.exec_driver_sql("DELETE FROM changes"))
    await sqlite.write(lambda c: ChangeLog(c).append(ChangeKind.KEY, "", "b"))
    after = await sqlite.read(lambda c: c.exec_driver_sql("SELECT max(sequence) FROM changes").scalar_one())

    assert after > before


@pytest.mark.parametrize("before", [None, (NOW, "2_x")], ids=["first page", "later page"])
@pytest.mark.parametrize(
    ("state", "index"), [(None, "ix_sessions_newest"), (SessionState.ACTIVE, "ix_sessions_state_newest")]
)
async def test_pages_of_sessions_come_from_an_index(
    sqlite: SqliteDatabase, state: SessionState | None, index: str, before: tuple[Millis, str] | None
) -> None:
    """However many sessions there are, a page reads its own rows and sorts nothing."""
    page = page_of_sessions(PROJECT, before, 50, state)
    compiled = page.compile(dialect=sa.dialects.sqlite.dialect(), compile_kwargs={"literal_binds": True})

    plan = await sqlite.read(lambda c: c.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}").all())

    assert 1 == len(plan)
    assert f"SEARCH sessions USING INDEX {index} (project_id=?" in plan[0][3]
    assert (before is None) == ("create_time" not in plan[0][3])


async def test_pages_of_sessions_come_from_an_index_on_postgresql(postgres: PostgresDatabase) -> None:
    """PostgreSQL can answer a page, with or without a state, by walking an index backwards."""
    plans = []
    for state in (None, SessionState.ENDED):
        page = page_of_sessions(PROJECT, (NOW, "2_x"), 50, state)

        def explain(connection: sa.Connection, page: Query = page) -> str:
            # A table this small would rather be scanned.
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
            compiled = page.compile(connection, compile_kwargs={"literal_binds": True})
            return "\n".join(connection.exec_driver_sql(f"EXPLAIN {compiled}").scalars())

        plans.append(await postgres.write(explain))

    assert "Index Scan Backward using ix_sessions_newest" in plans[0]
    assert "Index Scan Backward using ix_sessions_state_newest" in plans[1]
    assert "Sort" not in "".join(plans)


async def test_sqlite_writes_are_durable_and_keep_foreign_keys(sqlite: SqliteDatabase) -> None:
    """A commit is on the disk before it is answered (WAL, FULL), and the schema's references hold."""
    names = ("journal_mode", "synchronous", "foreign_keys")

    settings = await sqlite.write(lambda c: [c.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names])

    assert ["wal", 2, 1] == settings


async def test_sqlite_reads_cannot_write(sqlite: SqliteDatabase) -> None:
    """A connection for reading is only that."""
    kinds = []
    for read in (sqlite.read, sqlite.read_point):
        with pytest.raises(Exception, match="store cannot be reached") as caught:
            await read(lambda c: c.exec_driver_sql("DELETE FROM changes"))
        kinds.append(str(caught.value.__cause__))

    assert all("readonly database" in kind for kind in kinds)


async def test_sqlite_point_reads_stay_on_the_loop_and_writes_on_one_thread(sqlite: SqliteDatabase) -> None:
    """A point read costs no hop; all writes share one thread; a page of reads holds up neither."""
    points = {await sqlite.read_point(lambda _: threading.get_ident()) for _ in range(3)}
    writes = set(await asyncio.gather(*(sqlite.write(lambda _: threading.get_ident()) for _ in range(9))))
    reads = {await sqlite.read(lambda _: threading.get_ident())}

    assert {threading.get_ident()} == points
    assert 1 == len(writes)
    assert 3 == len(points | writes | reads)


async def test_sqlite_reads_hold_no_transaction(sqlite: SqliteDatabase, sqlite_url: str) -> None:
    """After a read the whole log can be folded in, so that it cannot grow without end."""
    await sqlite.write(lambda c: ChangeLog(c).append(ChangeKind.KEY, "", "a"))
    await sqlite.read_point(lambda c: c.exec_driver_sql("SELECT * FROM changes").all())
    await sqlite.read(lambda c: c.exec_driver_sql("SELECT * FROM changes").all())

    other = sqlite3.connect(_path(sqlite_url))
    busy, log_pages, folded = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    other.close()

    assert (0, 0, 0) == (busy, log_pages, folded)


async def test_postgresql_uses_a_thread_for_each_connection(postgres: PostgresDatabase) -> None:
    """Two connections serve two units of work at once, each seeing the other under way."""
    both = threading.Barrier(2, timeout=30)

    threads = await asyncio.gather(
        *(
            postgres.write(lambda c: (c.exec_driver_sql("SELECT 1"), both.wait(), threading.get_ident())[2])
            for _ in range(2)
        )
    )

    assert 2 == len(set(threads))


async def test_postgresql_sets_what_its_writers_rely_on(migrated_postgres_url: str) -> None:
    """Isolation and timeouts are ours whatever the database's defaults are; the URL's own options are kept."""
    with psycopg.connect(migrated_postgres_url, autocommit=True) as admin:
        name = admin.info.dbname
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    url = _postgres(f"{migrated_postgres_url}?options=-c%20work_mem%3D5MB&application_name=mine")
    engine = postgres_engine(url, StoreLimits(statement_timeout=1.5))
    names = ("transaction_isolation", "statement_timeout", "work_mem", "application_name")
    with engine.begin() as connection:
        settings = [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names]
    engine.dispose()

    assert ["read committed", "1500ms", "5MB", "mine"] == settings


async def test_later_writer_waits_for_the_commit_of_an_earlier_one(
    postgres: PostgresDatabase, migrated_postgres_url: str, closed_later: ClosedLater
) -> None:
    """A change that has its number but is not committed keeps later ones from being seen before it."""
    store = closed_later(open_store(migrated_postgres_url))
    engine = sa.create_engine(_postgres(migrated_postgres_url))
    start = await store.last_change()
    with psycopg.connect(migrated_postgres_url, autocommit=True) as watcher:
        with engine.begin() as earlier:
            ChangeLog(earlier).append(ChangeKind.KEY, "", "earlier")
            later_one = asyncio.create_task(postgres.write(lambda c: ChangeLog(c).append(ChangeKind.KEY, "", "later")))
            async with asyncio.timeout(30):
                while not watcher.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchall():
                    assert not later_one.done()
                    await asyncio.sleep(0)
            seen_meanwhile = await store.changes_after(start, 10)
        await later_one
    seen = await store.changes_after(start, 10)
    engine.dispose()

    assert [] == list(seen_meanwhile)
    assert ["earlier", "later"] == [change.subject for change in seen]

"""SQLite: durable writes, threads and transactions."""

from __future__ import annotations

import asyncio
import sqlite3
import threading

from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.storage.builders import NOW, PROJECT, make_project
from tests.storage.conftest import sqlite_path_of
from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.session import SessionState
from tokenauthority.domain.times import Millis
from tokenauthority.storage.address import SqliteAddress
from tokenauthority.storage.migrate import migrate
from tokenauthority.storage.sql import open_store
from tokenauthority.storage.sql_changes import ChangeLog
from tokenauthority.storage.sql_sessions import page_of_sessions
from tokenauthority.storage.sqlite import SqliteDatabase


async def test_sqlite_writes_are_durable_and_keep_foreign_keys(sqlite: SqliteDatabase) -> None:
    """A commit is on the disk before it is answered (WAL, FULL), and the schema's references hold."""
    names = ("journal_mode", "synchronous", "foreign_keys")

    settings = await sqlite.run_transaction(
        lambda c: [c.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names]
    )

    assert ["wal", 2, 1] == settings


async def test_sqlite_reads_cannot_write(sqlite: SqliteDatabase) -> None:
    """A connection for reading is only that."""
    kinds = []
    for read in (sqlite.run_query, sqlite.run_point_query):
        with pytest.raises(Exception, match="store cannot be reached") as caught:
            await read(lambda c: c.exec_driver_sql("DELETE FROM changes"))
        kinds.append(str(caught.value.__cause__))

    assert all("readonly database" in kind for kind in kinds)


async def test_sqlite_point_reads_stay_on_the_loop_and_writes_on_one_thread(sqlite: SqliteDatabase) -> None:
    """A point read costs no hop; all writes share one thread; a page of reads blocks neither."""
    points = {await sqlite.run_point_query(lambda _: threading.get_ident()) for _ in range(3)}
    writes = set(await asyncio.gather(*(sqlite.run_transaction(lambda _: threading.get_ident()) for _ in range(9))))
    reads = {await sqlite.run_query(lambda _: threading.get_ident())}

    assert {threading.get_ident()} == points
    assert 1 == len(writes)
    assert 3 == len(points | writes | reads)


async def test_sqlite_reads_hold_no_transaction(sqlite: SqliteDatabase, sqlite_url: str) -> None:
    """After a read a checkpoint can empty the write-ahead log, so that the log cannot grow without end."""
    await sqlite.run_transaction(lambda c: ChangeLog(c).append(ChangeKind.KEY, "", "a"))
    await sqlite.run_point_query(lambda c: c.exec_driver_sql("SELECT * FROM changes").all())
    await sqlite.run_query(lambda c: c.exec_driver_sql("SELECT * FROM changes").all())

    other = sqlite3.connect(sqlite_path_of(sqlite_url))
    busy, log_pages, folded = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    other.close()

    assert (0, 0, 0) == (busy, log_pages, folded)


async def test_sqlite_that_is_moved_while_it_is_open(sqlite: SqliteDatabase, sqlite_url: str) -> None:
    """What is at the path counts, and not the file that was opened: nothing is written where nobody looks for it."""
    path, elsewhere = sqlite_path_of(sqlite_url), sqlite_path_of(sqlite_url).with_name("elsewhere.db")
    reads = (sqlite.run_point_query, sqlite.run_query)
    for run in (*reads, sqlite.run_transaction):
        await run(lambda c: c.exec_driver_sql("SELECT * FROM changes").all())
    path.rename(elsewhere)
    for run in (*reads, sqlite.run_transaction):
        with pytest.raises(UnavailableError) as refused:
            await run(lambda c: c.exec_driver_sql("SELECT 1").scalar_one())
        assert "SQLITE_CANTOPEN: unable to open database file" == refused.value.cause
    elsewhere.rename(path)
    answers = [
        await run(lambda c: c.exec_driver_sql("SELECT 1").scalar_one()) for run in (*reads, sqlite.run_transaction)
    ]

    assert [1, 1, 1] == answers


@pytest.mark.parametrize("name", ["a%20b", "x%2Fy", "q?z", "h#x", "s p", "ü", "line\nfeed", "b\udcff"])
async def test_sqlite_opens_the_file_whose_name_it_is_given(tmp_path: Path, name: str) -> None:
    """A path is a path: no character of it has another meaning."""
    path = tmp_path / name / "authority.db"
    migrate(SqliteAddress(path))
    store = open_store(SqliteAddress(path))
    await store.create_project(make_project())
    found = await store.get_project(PROJECT)
    await store.close()

    assert make_project() == found
    assert [path] == [*tmp_path.glob("*/*.db")]


async def test_sqlite_uses_no_connection_in_doubt(sqlite: SqliteDatabase) -> None:
    """After an error of the disk the file is opened anew, without what the old connection had set."""

    def write(connection: sa.Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE filler AS SELECT zeroblob(1000000)")

    def write_beyond_the_limit(connection: sa.Connection) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
        write(connection)

    with pytest.raises(UnavailableError) as refused:
        await sqlite.run_transaction(write_beyond_the_limit)
    await sqlite.run_transaction(write)

    assert "SQLITE_FULL: database or disk is full" == refused.value.cause


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

    plan = await sqlite.run_query(lambda c: c.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}").all())

    assert 1 == len(plan)
    assert f"SEARCH sessions USING INDEX {index} (project_id=?" in plan[0][3]
    assert (before is None) == ("create_time" not in plan[0][3])

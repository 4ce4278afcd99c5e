"""PostgreSQL: threads and the settings that its writers rely on."""

from __future__ import annotations

import asyncio
import threading

from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

import psycopg
import pytest
import sqlalchemy as sa

from tests.storage.builders import NOW, PROJECT
from tests.storage.conftest import postgres_address_of
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.session import SessionState
from tokenauthority.storage.database import Query, StoreLimits
from tokenauthority.storage.postgres import PostgresDatabase, postgres_engine, with_transactions
from tokenauthority.storage.postgres_connection import TimedConnection
from tokenauthority.storage.sql_sessions import page_of_sessions


Work: TypeAlias = Callable[[sa.Connection], object]


async def test_postgresql_uses_a_thread_for_each_connection(postgres: PostgresDatabase) -> None:
    """Two connections serve two units of work at once, each seeing the other under way."""
    both = threading.Barrier(2, timeout=30)

    threads = await asyncio.gather(
        *(
            postgres.run_transaction(lambda c: (c.exec_driver_sql("SELECT 1"), both.wait(), threading.get_ident())[2])
            for _ in range(2)
        )
    )

    assert 2 == len(set(threads))


async def test_postgresql_sets_what_its_writers_rely_on(migrated_postgres_url: str) -> None:
    """Isolation and timeouts are ours whatever the database's defaults are; the URL's own options stay."""
    with psycopg.connect(migrated_postgres_url, autocommit=True) as admin:
        name = admin.info.dbname
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    address = postgres_address_of(f"{migrated_postgres_url}?options=-c%20work_mem%3D5MB&application_name=mine")
    limits = StoreLimits(statement_timeout=1.5)
    engine = with_transactions(postgres_engine(address, limits), limits)
    names = ("transaction_isolation", "statement_timeout", "work_mem", "application_name")
    with engine.begin() as connection:
        settings = [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names]
    engine.dispose()

    assert ["read committed", "1500ms", "5MB", "mine"] == settings


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

        plans.append(await postgres.run_transaction(explain))

    assert "Index Scan Backward using ix_sessions_newest" in plans[0]
    assert "Index Scan Backward using ix_sessions_state_newest" in plans[1]
    assert "Sort" not in "".join(plans)


def _raise(state: str) -> Work:
    return lambda c: c.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state}'; END $$")


async def test_a_connection_in_doubt_is_not_used_again(migrated_postgres_url: str) -> None:
    """After a lost connection, a cancelation or an internal error nobody knows its state; after others it is known."""
    doubtful = dict.fromkeys(("08006", "25P02", "57014", "57P01", "58030", "XX000", "XX002"), True)
    known = dict.fromkeys(("22012", "42P01", "53100", "55P03"), False)
    database = PostgresDatabase(postgres_address_of(migrated_postgres_url), StoreLimits(pool_size=1))
    replaced = {}
    for state in (*doubtful, *known):
        before = await database.run_query(_backend_of)
        with pytest.raises((UnavailableError, sa.exc.DataError)):
            await database.run_transaction(_raise(state))
        replaced[state] = before != await database.run_query(_backend_of)
    await database.close()

    assert {**doubtful, **known} == replaced


async def test_work_is_run_again_where_another_connection_may_succeed(postgres: PostgresDatabase) -> None:
    """Such as over one that leads to the new primary; not where a statement took too long."""
    expected = {"57014": 1, "XX000": 1, "53100": 1, "57P01": 3}
    tried: Counter[str] = Counter()
    for state, fail in ((state, _raise(state)) for state in expected):

        def work(connection: sa.Connection, state: str = state, fail: Work = fail) -> None:
            tried.update([state])
            fail(connection)

        with pytest.raises(UnavailableError):
            await postgres.run_transaction(work)

    assert expected == tried


async def test_a_connection_that_takes_no_writes_is_replaced_unless_it_is_new(
    migrated_postgres_url: str,
) -> None:
    """The database may take writes again; but while it takes none, a write costs no connection each time."""
    database = PostgresDatabase(postgres_address_of(migrated_postgres_url), StoreLimits(pool_size=1))
    backends: list[int] = []

    def work(connection: sa.Connection) -> None:
        backends.append(_backend_of(connection))
        _raise("25006")(connection)

    def make_old(connection: sa.Connection) -> None:
        driver = connection.connection.driver_connection
        assert isinstance(driver, TimedConnection)
        driver.made -= 2

    for _ in range(2):
        with pytest.raises(UnavailableError):
            await database.run_transaction(work)
    await database.run_query(make_old)
    with pytest.raises(UnavailableError):
        await database.run_transaction(work)
    await database.close()

    first, second, third, fourth = backends
    assert first == second == third != fourth


async def test_backends_that_are_terminated_are_not_noticed(
    postgres: PostgresDatabase, migrated_postgres_url: str
) -> None:
    """Whoever terminates them between two calls: each next call gets another connection."""
    with psycopg.connect(migrated_postgres_url, autocommit=True) as admin:
        for run in (postgres.run_query, postgres.run_transaction):
            backend = await run(_backend_of)
            admin.execute("SELECT pg_terminate_backend(%s)", [backend])
            assert backend != await run(_backend_of)


def _backend_of(connection: sa.Connection) -> int:
    backend: int = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    return backend

"""PostgreSQL: threads and the settings that its writers rely on."""

from __future__ import annotations

import asyncio
import threading

import psycopg
import sqlalchemy as sa

from tests.storage.builders import NOW, PROJECT
from tests.storage.conftest import postgres_url_of
from tokenauthority.domain.session import SessionState
from tokenauthority.storage.database import Query, StoreLimits
from tokenauthority.storage.postgres import PostgresDatabase, postgres_engine
from tokenauthority.storage.sql_sessions import page_of_sessions


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
    url = postgres_url_of(f"{migrated_postgres_url}?options=-c%20work_mem%3D5MB&application_name=mine")
    engine = postgres_engine(url, StoreLimits(statement_timeout=1.5))
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

"""Each commit of a change is heard at once, over a connection that is made again when it is lost."""

from __future__ import annotations

import asyncio
import itertools
import socket

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psycopg
import pytest

from psycopg import sql
from structlog.typing import EventDict

from tests.storage.builders import PROJECT, make_project, make_session
from tests.storage.conftest import ClosedLater
from tests.support.authority import WAIT, eventually
from tests.support.cable import cable_to
from tests.support.logs import capture_logs
from tests.support.pgbouncer import running_pgbouncer
from tests.support.postgres import PostgresServer
from tokenauthority.storage.database import StoreLimits
from tokenauthority.storage.postgres_listener import CHANNEL
from tokenauthority.storage.sql import open_store
from tokenauthority.storage.store import Store


LISTENERS = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'"


class Heard:
    """How often a listener called."""

    def __init__(self) -> None:
        self.count = 0
        self.times: list[float] = []
        self._changed = asyncio.Event()

    def __call__(self) -> None:
        """Count one call."""
        self.count += 1
        self.times.append(asyncio.get_running_loop().time())
        self._changed.set()

    async def above(self, count: int) -> None:
        """Wait, for a bounded time, until it was called more often than *count* times."""
        async with asyncio.timeout(WAIT):
            while self.count <= count:
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def listening(store: Store) -> AsyncIterator[Heard]:
    """A listener that has begun, while the block runs."""
    heard = Heard()
    task = asyncio.create_task(store.listen(heard))
    try:
        await heard.above(0)
        yield heard
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def logged(events: list[EventDict], event: str) -> None:
    """Wait, for a bounded time, until *event* was logged."""
    await asyncio.to_thread(eventually, lambda: any(event == each["event"] for each in events), f"no {event}")


async def test_a_commit_of_a_change_is_heard(migrated_postgres_url: str, closed_later: ClosedLater) -> None:
    """A change of any server; another write, such as a new session, is not."""
    here, there = (closed_later(open_store(migrated_postgres_url)) for _ in range(2))

    async with listening(here) as heard:
        before = heard.count
        await there.create_project(make_project())
        await heard.above(before)
        seen = await here.get_project(PROJECT)
        before = heard.count
        await there.create_session(make_session(), None)
        await there.update_project(PROJECT, lambda project: project)
        await heard.above(before)

    assert make_project() == seen
    assert before + 1 == heard.count


async def test_many_changes_are_few_calls(migrated_postgres_url: str, closed_later: ClosedLater) -> None:
    """Whoever reads at each call reads at most fifty times a second, and the last change is among what it reads."""
    here, there = (closed_later(open_store(migrated_postgres_url)) for _ in range(2))
    await there.create_project(make_project())

    async with listening(here) as heard:
        for _ in range(50):
            await there.update_project(PROJECT, lambda project: project)
        before, last = heard.count, asyncio.get_running_loop().time()
        await there.update_project(PROJECT, lambda project: project)
        await heard.above(before)

    # The first call, at the beginning, is for no notification.
    gaps = [later - earlier for earlier, later in itertools.pairwise(heard.times[1:])]
    assert [] == [gap for gap in gaps if gap < 0.019]
    assert last <= heard.times[-1]


async def test_a_lost_connection_is_made_again_and_reported_once(
    postgres_server: PostgresServer, migrated_postgres_url: str, closed_later: ClosedLater
) -> None:
    """Its loss once, however many attempts fail and why, and its return once. What came meanwhile is heard then."""
    with (
        socket.create_server(("127.0.0.1", 0)) as refusing,
        cable_to(postgres_server.port) as cable,
        capture_logs() as events,
    ):
        url = migrated_postgres_url.replace(f":{postgres_server.port}/", f":{cable.port}/")
        async with listening(closed_later(open_store(url, StoreLimits()))) as heard:
            before = heard.count
            cable.cut()
            cable.lead_to(refusing.getsockname()[1])
            for answer in (b"", b"no PostgreSQL"):
                attempt, _ = await asyncio.to_thread(refusing.accept)
                attempt.sendall(answer)
                attempt.close()
            cable.lead_to(postgres_server.port)
            await heard.above(before)

    assert ["store.listener_lost", "store.listener_recovered"] == [event["event"] for event in events]
    assert "OperationalError: server closed the connection" == events[0]["cause"]


async def test_a_connection_that_the_server_ends_is_made_again(
    migrated_postgres_url: str, closed_later: ClosedLater
) -> None:
    """As after `pg_terminate_backend`."""
    with psycopg.connect(migrated_postgres_url, autocommit=True) as other:
        async with listening(closed_later(open_store(migrated_postgres_url))) as heard:
            before = heard.count
            [ended] = other.execute(f"SELECT pg_terminate_backend(pid) {LISTENERS}").fetchall()
            await heard.above(before)

    assert (True,) == ended


async def test_an_idle_session_timeout_does_not_end_it(migrated_postgres_url: str, closed_later: ClosedLater) -> None:
    """Whatever the database sets: a listener is idle for as long as nobody changes anything."""
    with psycopg.connect(migrated_postgres_url, autocommit=True) as other:
        name = sql.Identifier(other.info.dbname)
        other.execute(sql.SQL("ALTER DATABASE {} SET idle_session_timeout = 200").format(name))
        async with listening(closed_later(open_store(migrated_postgres_url))) as heard:
            await asyncio.to_thread(other.execute, "SELECT pg_sleep(0.4)")
            before = heard.count
            other.execute(f"NOTIFY {CHANNEL}")
            await heard.above(before)

    assert before == 1


async def test_a_listener_that_ends_leaves_no_connection(migrated_postgres_url: str, closed_later: ClosedLater) -> None:
    """Nor does one that ends while it connects."""
    store = closed_later(open_store(migrated_postgres_url))
    async with listening(store):
        pass
    task = asyncio.create_task(store.listen(lambda: None))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    with psycopg.connect(migrated_postgres_url, autocommit=True) as other:
        gone = f"SELECT NOT EXISTS (SELECT 1 {LISTENERS})"
        await asyncio.to_thread(eventually, lambda: other.execute(gone).fetchone() == (True,), "a connection stays")

    assert task.cancelled()


async def test_through_a_pooler_it_does_not_listen(
    postgres_server: PostgresServer, migrated_postgres_url: str, closed_later: ClosedLater
) -> None:
    """It says so once, and leaves no session of the pooler that listens for nobody."""
    with running_pgbouncer(postgres_server) as bouncer, capture_logs() as events:
        url = bouncer.url(migrated_postgres_url.rpartition("/")[2])
        task = asyncio.create_task(closed_later(open_store(url)).listen(lambda: pytest.fail("nothing is heard")))
        await logged(events, "store.not_listening")
        with psycopg.connect(migrated_postgres_url) as other:
            listeners = other.execute(f"SELECT 1 {LISTENERS}").fetchall()
        task.cancel()
        await asyncio.wait([task])

    assert [] == listeners
    assert ["store.not_listening"] == [event["event"] for event in events]


async def test_sqlite_is_never_heard(sqlite_url: str, closed_later: ClosedLater) -> None:
    """It runs until it is cancelled all the same."""
    task = asyncio.create_task(closed_later(open_store(sqlite_url)).listen(lambda: pytest.fail("nothing is heard")))
    done, _ = await asyncio.wait([task], timeout=0.05)
    task.cancel()

    assert set() == done

"""A pooler in transaction mode gives each transaction another session: the store works behind it as without it."""

from __future__ import annotations

import asyncio

from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import attrs
import pytest

from tests.storage.builders import PROJECT, make_project, make_session
from tests.storage.conftest import ClosedLater, postgres_address_of
from tests.support.authority import WAIT
from tests.support.cable import cable_to
from tests.support.pgbouncer import PgBouncer, running_pgbouncer
from tests.support.postgres import PostgresServer, running_postgres
from tokenauthority.domain.change import Cursor
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.project import Project
from tokenauthority.storage.database import StoreLimits
from tokenauthority.storage.migrate import check_schema, migrate
from tokenauthority.storage.postgres_connection import AnswerTimeoutError, TimedConnection, connector
from tokenauthority.storage.sql import open_store
from tokenauthority.storage.store import Store


T = TypeVar("T")

LIMITS = StoreLimits(pool_size=1, statement_timeout=1)


@pytest.fixture(scope="module")
def pooler(postgres_server: PostgresServer) -> Iterator[PgBouncer]:
    """A PgBouncer in transaction mode, with three connections for each database."""
    with running_pgbouncer(postgres_server) as bouncer:
        yield bouncer


@pytest.fixture
def pooled_url(pooler: PgBouncer, postgres_url: str) -> str:
    """The URL of an up-to-date store behind it."""
    url = pooler.url(postgres_url.rpartition("/")[2])
    migrate(url)
    return url


async def _eventually(call: Callable[[], Awaitable[T]]) -> T:
    async with asyncio.timeout(WAIT):
        while True:
            try:
                return await call()
            except UnavailableError:
                await asyncio.sleep(0.05)


async def test_every_answer_is_that_of_its_own_statement(pooled_url: str, closed_later: ClosedLater) -> None:
    """Two servers with more connections than the pooler has, all statements at once: none sees another's rows."""
    await asyncio.to_thread(check_schema, pooled_url)
    stores = [closed_later(open_store(pooled_url, StoreLimits(pool_size=6))) for _ in range(2)]
    await stores[0].create_project(make_project())

    async def use(number: int) -> None:
        store, session = stores[number % 2], make_session(f"2_{number}")
        for _ in range(5):
            assert make_project() == await store.get_project(PROJECT)
            assert (await store.last_change()).sequence
        assert session == await store.create_session(session, None)
        assert session == await store.get_session(session.session_id)
        assert await store.get_session("2_none") is None

    await asyncio.gather(*(use(number) for number in range(40)))


async def test_writers_behind_a_pooler_take_turns(pooled_url: str, closed_later: ClosedLater) -> None:
    """The lock of a writer belongs to its transaction, whatever session that gets: no update is lost."""
    stores = [closed_later(open_store(pooled_url, StoreLimits(pool_size=6))) for _ in range(2)]
    await stores[0].create_project(make_project(display_name=""))

    def longer(project: Project) -> Project:
        return attrs.evolve(project, display_name=f"{project.display_name}x")

    await asyncio.gather(*(stores[number % 2].update_project(PROJECT, longer) for number in range(30)))
    project = await stores[0].get_project(PROJECT)

    assert project is not None
    assert "x" * 30 == project.display_name


async def test_a_pooler_is_restarted(
    postgres_server: PostgresServer, migrated_postgres_url: str, closed_later: ClosedLater
) -> None:
    """While it is down the store is unavailable, and then the same store works."""
    with running_pgbouncer(postgres_server) as bouncer:
        store = closed_later(open_store(bouncer.url(migrated_postgres_url.rpartition("/")[2]), LIMITS))
        await store.create_project(make_project())
        bouncer.kill()
        with pytest.raises(UnavailableError) as refused:
            await store.create_session(make_session(), None)
        await asyncio.to_thread(bouncer.start)
        written = await store.create_session(make_session(), None)

    assert "OperationalError: connection refused" == refused.value.cause
    assert make_session() == written


async def test_a_server_behind_a_pooler_is_lost_or_becomes_a_standby(closed_later: ClosedLater) -> None:
    """The connections to the pooler stay open, and nothing is read or written until there is a primary again."""
    with running_postgres() as server, running_pgbouncer(server) as bouncer:
        await asyncio.to_thread(migrate, bouncer.url("postgres"))
        store = closed_later(open_store(bouncer.url("postgres"), LIMITS))
        await store.create_project(make_project())
        await asyncio.to_thread(server.stop, "fast")
        with pytest.raises(UnavailableError):
            await store.create_session(make_session(), None)
        await asyncio.to_thread(server.write, "data/standby.signal", b"")
        await asyncio.to_thread(server.start)
        for _ in range(3):
            with pytest.raises(UnavailableError):
                await store.get_project(PROJECT)
        await asyncio.to_thread(server.promote)
        written = await _eventually(lambda: store.create_session(make_session(), None))
        found = await _eventually(lambda: store.get_project(PROJECT))

    assert make_session() == written
    assert make_project() == found


async def test_an_outdated_standby_behind_a_pooler_answers_nothing(closed_later: ClosedLater) -> None:
    """Whatever the pooler reports about its servers: the one that answers is asked, in the same batch.

    No call sees the change of the server before the one that must be refused, and the standby has not replayed what was
    written. After a restart the pooler reports for ever that its servers are standbys.
    """
    calls: tuple[Callable[[Store], Awaitable[object]], ...] = (
        lambda store: store.get_project(PROJECT),
        lambda store: store.get_session("2_new"),
        lambda store: store.last_change(),
        lambda store: store.changes_after(Cursor(), 10),
        lambda store: store.update_project(PROJECT, lambda project: project),
        lambda store: store.create_session(make_session(), None),
    )
    with (
        running_postgres() as primary,
        running_postgres(primary) as standby,
        cable_to(primary.port) as cable,
        running_pgbouncer(cable) as bouncer,
    ):
        await asyncio.to_thread(migrate, primary.url("postgres"))
        direct = closed_later(open_store(primary.url("postgres"), LIMITS))
        stores = [closed_later(open_store(bouncer.url("postgres"), LIMITS)) for _ in calls]
        for store in stores:
            await store.last_change()
        await asyncio.to_thread(standby.pause_replay, primary)
        await direct.create_project(make_project())
        await direct.create_session(make_session("2_new"), None)
        cable.cut()
        cable.lead_to(standby.port)
        causes = [await _refusal_of(call(store)) for store, call in zip(stores, calls, strict=True)]
        bouncer.kill()
        await asyncio.to_thread(bouncer.start)
        causes += [await _refusal_of(call(stores[0])) for call in calls]
        await asyncio.to_thread(standby.promote)
        await _eventually(lambda: stores[0].create_project(make_project("47000001")))
        written = await _eventually(lambda: stores[0].get_project("47000001"))

    assert ["OperationalError: server is in hot standby mode"] * 12 == causes
    assert make_project("47000001") == written


async def _refusal_of(call: Awaitable[object]) -> str:
    with pytest.raises(UnavailableError) as refused:
        await call
    return refused.value.cause


def test_a_pooler_in_statement_mode_is_refused(postgres_server: PostgresServer) -> None:
    """It takes no transactions, and the error says so."""
    with (
        running_pgbouncer(postgres_server, pool_mode="statement") as bouncer,
        pytest.raises(UnavailableError) as refused,
    ):
        migrate(bouncer.url("postgres"))

    assert "transaction blocks not allowed in statement pooling mode" in refused.value.cause


def test_an_option_that_a_pooler_does_not_pass_on_is_named(pooler: PgBouncer) -> None:
    """The store sends no startup option; an operator who writes one reads why the pooler refuses it."""
    with pytest.raises(UnavailableError) as refused:
        check_schema(f"{pooler.url('postgres')}?options=-c%20work_mem%3D5MB")

    assert "OperationalError: unsupported startup parameter" == refused.value.cause


def test_cancels_nothing_through_a_pooler(pooled_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several cancel requests at once end PgBouncer 1.18, and all its clients lose the store."""
    canceled: list[object] = []
    monkeypatch.setattr(TimedConnection, "cancel_safe", lambda connection, **_: canceled.append(connection))
    connection = connector(postgres_address_of(pooled_url), LIMITS)()
    connection.answer_timeout = 0.2
    with pytest.raises(AnswerTimeoutError):
        connection.execute("SELECT pg_sleep(600)")

    assert connection.closed
    assert [] == canceled

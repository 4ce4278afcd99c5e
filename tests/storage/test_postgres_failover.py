"""A store outlives the end of its primary: another server is promoted, and nothing is started again."""

from __future__ import annotations

import asyncio

from collections.abc import Iterator

import psycopg
import pytest

from tests.storage.builders import make_project, make_session
from tests.storage.conftest import ClosedLater
from tests.support.authority import WAIT
from tests.support.cable import Cable, cable_to
from tests.support.postgres import PostgresServer, running_postgres
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.session import StoredSession
from tokenauthority.storage.condition import StoreCondition
from tokenauthority.storage.database import StoreLimits
from tokenauthority.storage.migrate import migrate
from tokenauthority.storage.sql import open_store
from tokenauthority.storage.store import Store


_TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tokenauthority'"

LIMITS = StoreLimits(pool_size=2, connect_timeout=2, statement_timeout=0.2, unit_timeout=4)


@pytest.fixture
def primary() -> Iterator[PostgresServer]:
    """A server that no other test uses, with a store that is up to date."""
    with running_postgres() as server:
        migrate(server.url("postgres"))
        yield server


@pytest.fixture
def standby(primary: PostgresServer) -> Iterator[PostgresServer]:
    """A standby of it."""
    with running_postgres(primary) as server:
        yield server


@pytest.fixture
def cable(primary: PostgresServer) -> Iterator[Cable]:
    """The one address of the primary."""
    with cable_to(primary.port) as made:
        yield made


async def _eventually_written(store: Store) -> StoredSession:
    """Write as soon as that succeeds, and at most for the 30 seconds that a failover may take."""
    async with asyncio.timeout(WAIT):
        while True:
            try:
                return await store.create_session(make_session(), None)
            except UnavailableError:
                await asyncio.sleep(0.05)


def _fail_over(primary: PostgresServer, standby: PostgresServer) -> None:
    """Promote the standby, and make the primary its standby."""
    primary.stop("fast")
    standby.promote()
    primary.follow(standby)


async def test_a_primary_is_demoted_and_another_promoted_behind_one_address(
    primary: PostgresServer, standby: PostgresServer, cable: Cable, closed_later: ClosedLater
) -> None:
    """While the address leads to a standby, nothing is written or read from it; at the new primary all goes on."""
    store = closed_later(open_store(f"postgresql://postgres@127.0.0.1:{cable.port}/postgres", LIMITS))
    await store.create_project(make_project())
    await asyncio.to_thread(_fail_over, primary, standby)

    causes = []
    for call in (lambda: store.create_session(make_session(), None), lambda: store.get_project("47000000")):
        with pytest.raises(UnavailableError) as refused:
            await call()
        causes.append(refused.value.cause)
    lost = store.condition
    cable.lead_to(standby.port)
    written = await _eventually_written(store)

    assert ["OperationalError: server is in hot standby mode"] * 2 == causes
    assert (False, False) == (lost.can_read, lost.can_write)
    assert make_session() == written
    assert make_project() == await store.get_project("47000000")


async def test_a_primary_is_demoted_and_another_promoted_among_several_hosts(
    primary: PostgresServer, standby: PostgresServer, closed_later: ClosedLater
) -> None:
    """A URL with several hosts leads to the one that is the primary, whichever it is."""
    url = f"postgresql://postgres@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/postgres"
    store = closed_later(open_store(url, LIMITS))
    await store.create_project(make_project())

    await asyncio.to_thread(_fail_over, primary, standby)
    written = await _eventually_written(store)

    assert make_session() == written
    assert make_project() == await store.get_project("47000000")


async def test_a_primary_freezes_with_its_connections_open(
    primary: PostgresServer, standby: PostgresServer, cable: Cable, closed_later: ClosedLater
) -> None:
    """Every connection waits for a server that does not answer any more; each is given up, and new ones are made."""
    store = closed_later(open_store(f"postgresql://postgres@127.0.0.1:{cable.port}/postgres", LIMITS))
    await asyncio.gather(*(store.get_project("47000000") for _ in range(4)))
    await store.create_project(make_project())
    with psycopg.connect(primary.url("postgres")) as watcher, psycopg.connect(standby.url("postgres")) as follower:
        await asyncio.to_thread(_until_replayed, watcher, follower)

    with primary.frozen():
        outcomes = await asyncio.gather(
            *(store.get_project("47000000") for _ in range(3)),
            store.create_session(make_session(), None),
            return_exceptions=True,
        )
        await asyncio.to_thread(standby.promote)
        cable.lead_to(standby.port)
        written = await _eventually_written(store)
        found = await store.get_project("47000000")

    assert [UnavailableError] * 4 == [type(outcome) for outcome in outcomes]
    assert make_session() == written
    assert make_project() == found


async def test_a_primary_pauses(primary: PostgresServer, closed_later: ClosedLater) -> None:
    """Calls that come meanwhile are unavailable; when it goes on, so does the store, with all that it held."""
    store = closed_later(open_store(primary.url("postgres"), LIMITS))
    await store.create_project(make_project())

    with primary.frozen():
        with pytest.raises(UnavailableError) as refused:
            await store.create_project(make_project("47000001"))
        lost = store.condition
    written = await _eventually_written(store)

    assert refused.value.cause
    assert not lost.can_write
    assert make_session() == written
    assert make_project() == await store.get_project("47000000")


@pytest.mark.parametrize("whose", ["DATABASE postgres", "SYSTEM"])
async def test_a_database_that_takes_no_writes_for_a_time(
    primary: PostgresServer, closed_later: ClosedLater, whose: str
) -> None:
    """Writes are unavailable and say why, also over connections that are older than that; reads go on."""
    store = closed_later(open_store(primary.url("postgres"), LIMITS))
    await store.create_project(make_project())
    with psycopg.connect(primary.url("postgres"), autocommit=True) as admin:
        admin.execute("SET default_transaction_read_only = off")

        def fence(state: str) -> None:
            admin.execute(f"ALTER {whose} SET default_transaction_read_only = {state}".encode())
            admin.execute("SELECT pg_reload_conf()")
            admin.execute(_TERMINATE)

        await asyncio.to_thread(fence, "on")
        with pytest.raises(UnavailableError) as refused:
            await store.create_session(make_session(), None)
        fenced, read = store.condition, await store.get_project("47000000")
        await asyncio.to_thread(fence, "off")
        written = await _eventually_written(store)

    assert "25006: cannot execute INSERT in a read-only transaction" == refused.value.cause
    assert StoreCondition(can_write=False, cause=refused.value.cause, since=fenced.since) == fenced
    assert make_project() == read
    assert make_session() == written


def _until_replayed(watcher: psycopg.Connection, follower: psycopg.Connection) -> None:
    row = watcher.execute("SELECT pg_current_wal_flush_lsn()").fetchone()
    assert row is not None
    while follower.execute("SELECT pg_last_wal_replay_lsn() < %s", row).fetchone() != (False,):
        follower.rollback()

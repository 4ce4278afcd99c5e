"""The sequence of changes: what `ChangeStore` promises, held for every store, and its numbers in SQL."""

from __future__ import annotations

import asyncio

import attrs
import psycopg
import pytest

from tests.storage.builders import (
    DAY,
    NOW,
    PROJECT,
    later,
    make_credential,
    make_idempotency_key,
    make_key,
    make_project,
    make_revocation,
    make_role,
    make_session,
)
from tests.storage.conftest import ClosedLater, postgres_address_of
from tests.storage.contract import changes_of, refusal_of
from tokenauthority.domain.change import Change, ChangeKind, Cursor, HistoryLostError
from tokenauthority.domain.errors import (
    AlreadyExistsError,
    NotFoundError,
)
from tokenauthority.storage.database import StoreLimits
from tokenauthority.storage.postgres import PostgresDatabase, postgres_engine, with_transactions
from tokenauthority.storage.sql import open_store
from tokenauthority.storage.sql_changes import ChangeLog
from tokenauthority.storage.sqlite import SqliteDatabase
from tokenauthority.storage.store import Store


async def test_begins_with_an_origin(store: Store) -> None:
    """A new store has one change, so that every store has a position to follow it from."""
    [origin] = await store.changes_after(Cursor(), 10)

    assert ChangeKind.STORE_CREATED is origin.kind
    assert origin.cursor == await store.last_change()
    assert [] == list(await store.changes_after(origin.cursor, 10))


@pytest.mark.parametrize(("step", "other"), [(0, 1), (1, 0), (1_000_000, 0)])
async def test_refuses_a_cursor_of_another_history(store: Store, step: int, other: int) -> None:
    """A cursor that the store does not know, by number or by mark, is an error and not an empty page."""
    await store.create_project(make_project())
    last = await store.last_change()

    with pytest.raises(HistoryLostError):
        await store.changes_after(Cursor(last.sequence + step, last.mark + other), 10)


async def test_appends_every_change_once(store: Store) -> None:
    """Each method that makes a cache stale appends a change, by kind, project and subject; no other does."""
    await store.create_project(make_project())
    await store.update_project(PROJECT, lambda project: attrs.evolve(project, display_name="new"))
    await store.update_credentials(PROJECT, lambda _: make_project(credentials=(make_credential("secret-2"),)))
    await store.create_role(make_role())
    await store.update_role(PROJECT, "host", lambda role, _: role)
    await store.delete_role(PROJECT, "host")
    session = await store.create_session(make_session(), make_idempotency_key())
    await store.end_session(session, NOW)
    await store.update_keys(lambda _: [make_key()])
    await store.create_revocation(make_revocation())
    await store.delete_expired(later(2 * DAY))

    appended = await changes_of(store)

    project, role = (ChangeKind.PROJECT, PROJECT, PROJECT), (ChangeKind.ROLE, PROJECT, "host")
    assert [
        *[project] * 3,
        *[role] * 3,
        (ChangeKind.SESSION_END, PROJECT, session.session_id),
        (ChangeKind.KEY, "", "key-1"),
        (ChangeKind.REVOCATION, PROJECT, "rev_1"),
    ] == appended


async def test_refusals_append_no_change(store: Store) -> None:
    """What did not happen appends no change."""
    await store.create_project(make_project())
    await store.create_role(make_role())
    before = await store.last_change()

    await refusal_of(store.create_project(make_project()), AlreadyExistsError)
    await refusal_of(store.update_project("3", lambda project: project), NotFoundError)
    await refusal_of(store.update_credentials("3", lambda project: project), NotFoundError)
    await refusal_of(store.create_role(make_role()), AlreadyExistsError)
    await refusal_of(store.delete_role(PROJECT, "absent"), NotFoundError)

    assert before == await store.last_change()


async def test_pages_in_order(store: Store) -> None:
    """Pages give every change above a number once, in order, up to the newest."""
    start, found = await store.last_change(), list[Change]()
    for project_id in map(str, range(1, 8)):
        await store.create_project(make_project(project_id))
    while page := await store.changes_after(found[-1].cursor if found else start, 3):
        found += page

    assert list(map(str, range(1, 8))) == [change.subject for change in found]
    assert sorted({change.sequence for change in found}) == [change.sequence for change in found]
    assert found[-1].cursor == await store.last_change()


async def test_follower_misses_nothing_while_writers_overlap(store: Store, second_store: Store) -> None:
    """Who follows from the last number that it saw sees every change, however writers overlap."""
    await store.create_project(make_project())
    start = await store.last_change()
    names = {f"2_{n}" for n in range(60)}

    async def follow() -> list[str]:
        seen: list[str] = []
        last = start
        while len(seen) < len(names):
            for change in await store.changes_after(last, 7):
                seen.append(change.subject)
                last = change.cursor
            await asyncio.sleep(0)
        return seen

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        follower = group.create_task(follow())
        for n, name in enumerate(sorted(names)):
            group.create_task((store, second_store)[n % 2].end_session(make_session(name), NOW))

    assert sorted(names) == sorted(follower.result())


async def test_numbers_of_changes_are_never_used_again(sqlite: SqliteDatabase) -> None:
    """A number stays above all earlier ones, even where their rows are deleted."""
    await sqlite.run_transaction(lambda c: ChangeLog(c).append(ChangeKind.KEY, "", "a"))
    before = await sqlite.run_query(lambda c: c.exec_driver_sql("SELECT max(sequence) FROM changes").scalar_one())
    await sqlite.run_transaction(lambda c: c.exec_driver_sql("DELETE FROM changes"))
    await sqlite.run_transaction(lambda c: ChangeLog(c).append(ChangeKind.KEY, "", "b"))
    after = await sqlite.run_query(lambda c: c.exec_driver_sql("SELECT max(sequence) FROM changes").scalar_one())

    assert after > before


async def test_later_writer_waits_for_the_commit_of_an_earlier_one(
    postgres: PostgresDatabase, migrated_postgres_url: str, closed_later: ClosedLater
) -> None:
    """A change that has its number but is not committed stops later ones from being seen before it."""
    store = closed_later(open_store(migrated_postgres_url))
    limits = StoreLimits()
    engine = with_transactions(postgres_engine(postgres_address_of(migrated_postgres_url), limits), limits)
    start = await store.last_change()
    with psycopg.connect(migrated_postgres_url, autocommit=True) as watcher:
        with engine.begin() as earlier:
            ChangeLog(earlier).append(ChangeKind.KEY, "", "earlier")
            later_one = asyncio.create_task(
                postgres.run_transaction(lambda c: ChangeLog(c).append(ChangeKind.KEY, "", "later"))
            )
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

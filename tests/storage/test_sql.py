"""The store over SQL is durable, and its servers see each other's writes."""

from __future__ import annotations

from tests.storage.builders import (
    PROJECT,
    later,
    make_idempotency_key,
    make_key,
    make_project,
    make_role,
    make_session,
)
from tests.storage.conftest import ClosedLater
from tokenauthority.storage.sql import open_store
from tokenauthority.storage.store import Store


async def test_everything_outlives_the_process(sql_url: str, closed_later: ClosedLater) -> None:
    """What was stored is there when the store is opened again, and its changes go on from their number."""
    first = closed_later(open_store(sql_url))
    await first.create_project(make_project())
    await first.create_role(make_role())
    session = await first.create_session(make_session(), make_idempotency_key())
    ended = await first.end_session(session, later(1))
    [key] = await first.update_keys(lambda _: [make_key()])
    last = await first.last_change()
    await first.close()

    second = closed_later(open_store(sql_url))
    stored = (
        await second.get_project(PROJECT),
        await second.list_roles(PROJECT),
        await second.create_session(make_session("2_other"), make_idempotency_key()),
        await second.list_keys(),
        await second.last_change(),
    )
    await second.update_project(PROJECT, lambda project: project)
    now = await second.last_change()

    assert (make_project(), [make_role()], ended, [key], last) == stored
    assert now.sequence > last.sequence


async def test_another_server_reads_what_was_stored(store: Store, second_store: Store) -> None:
    """What one server's call has returned from, another server reads at once, again and again."""
    seen = []
    for n in range(5):
        await store.create_project(make_project(str(n + 1)))
        seen.append((await second_store.get_project(str(n + 1)) is not None, await second_store.last_change()))

    assert [(True, n + 1) for n in range(5)] == [(found, n + 1) for n, (found, _) in enumerate(seen)]
    assert sorted({last.sequence for _, last in seen}) == [last.sequence for _, last in seen]

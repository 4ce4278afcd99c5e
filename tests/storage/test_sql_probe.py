"""A probe shows that the store can be written: it writes."""

from __future__ import annotations

from tests.storage.conftest import sqlite_path_of
from tokenauthority.storage.condition import StoreCondition
from tokenauthority.storage.sql import open_store


async def test_a_probe_changes_nothing_that_a_follower_sees(sql_url: str) -> None:
    """On each engine, where nothing has been written before and where something has."""
    now = 0.0
    store = open_store(sql_url, clock=lambda: now)
    try:
        before = await store.last_change()
        for _ in range(2):
            now += 10
            await store.probe()
        after, condition = await store.last_change(), store.condition
    finally:
        await store.close()

    assert before == after
    assert StoreCondition() == condition


async def test_each_probe_writes_to_the_disk(sqlite_url: str) -> None:
    """What an UPDATE to the same bytes does not: only what is written can find a full disk."""
    now, log = 0.0, sqlite_path_of(sqlite_url).with_name("authority.db-wal")
    store = open_store(sqlite_url, clock=lambda: now)
    sizes = []
    try:
        for _ in range(3):
            now += 10
            await store.probe()
            sizes.append(log.stat().st_size)
    finally:
        await store.close()

    assert 0 < sizes[0] < sizes[1] < sizes[2]

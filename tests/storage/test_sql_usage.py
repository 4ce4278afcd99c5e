"""The usage of callers: what `UsageStore` promises, held for every store."""

from __future__ import annotations

import asyncio
import time

from collections.abc import Sequence

import pytest

from tests.storage.builders import DAY, NOW, later
from tests.storage.conftest import ClosedLater
from tokenauthority.domain.caller import Rate
from tokenauthority.domain.leases import Lease, LeaseRequest
from tokenauthority.domain.times import Millis
from tokenauthority.storage.sql import open_store
from tokenauthority.storage.store import Store


SLOW = Rate(0.001, 50)
"""In a test no item of it comes back. One is ahead, so 51 can be leased."""


def request(
    caller: str = "one", *, needed: int = 0, rate: Rate | None = None, quota: int | None = None, ahead: int = 0
) -> LeaseRequest:
    """A request for items."""
    return LeaseRequest(caller=caller, rate=rate, quota=quota, needed=needed, ahead=ahead)


async def lease(store: Store, *requests: LeaseRequest) -> list[int]:
    """The items that were leased."""
    return [lease.items for lease in await store.lease(requests, NOW)]


async def test_servers_lease_of_one_usage(store: Store, second_store: Store) -> None:
    """Of the rate and of the quota, for many callers at once."""
    first = await lease(store, request(needed=40, rate=SLOW), request("two", needed=7, quota=10))
    second = await lease(second_store, request("two", needed=7, quota=10), request(needed=40, rate=SLOW))

    assert [40, 7] == first
    assert [3, 11] == second
    assert [("one", 51), ("two", 10)] == [(usage.caller, usage.day.used) for usage in await store.list_usage()]


async def test_servers_that_lease_at_once_take_turns(store: Store, second_store: Store) -> None:
    """However many ask for a caller that nobody knows yet: together they get the quota, and no item more."""
    requests = [lease((store, second_store)[number % 2], request(needed=3, quota=50)) for number in range(40)]
    leased = await asyncio.gather(*requests)

    assert 50 == sum(items for [items] in leased)


async def test_what_is_returned_can_be_leased_again(store: Store) -> None:
    """By any server."""
    [first] = await store.lease([request(needed=10, quota=10)], NOW)
    back = LeaseRequest(caller="one", rate=None, quota=10, returned=4, day=first.day)
    [nothing] = await store.lease([back], NOW)

    assert (0, 4) == (nothing.items, nothing.left)
    assert [4] == await lease(store, request(needed=10, quota=10))


async def test_usage_outlives_its_server(sql_url: str, closed_later: ClosedLater) -> None:
    """A restart begins no new count."""
    store = open_store(sql_url)
    await lease(store, request(needed=30, rate=SLOW, quota=100))
    await store.close()

    assert [21] == await lease(closed_later(open_store(sql_url)), request(needed=30, rate=SLOW, quota=100))


async def test_nothing_is_written_for_what_is_refused(store: Store) -> None:
    """A caller beyond its limits costs no row and no write."""
    await lease(store, request(needed=10, quota=10))
    before = await store.list_usage()
    leased = await lease(store, request(needed=1, quota=10), request("nobody", needed=0, quota=10))

    assert [0, 0] == leased
    assert before == await store.list_usage()


async def test_the_time_is_that_of_the_database(migrated_postgres_url: str, closed_later: ClosedLater) -> None:
    """On PostgreSQL no server with a wrong clock begins a new day or refills a bucket, for whatever it says."""
    store = closed_later(open_store(migrated_postgres_url))
    today = int(time.time() // 86_400)
    leases: list[Lease] = []
    for moment in (0, NOW, 10**15):
        leases += await store.lease([request(needed=3, quota=10)], Millis(moment))

    assert {True} == {lease.day - today in {0, 1} for lease in leases}
    assert [7, 4, 1] == [lease.left for lease in leases]


async def test_the_time_is_that_of_the_server_of_sqlite(sqlite_url: str, closed_later: ClosedLater) -> None:
    """It is on the same machine."""
    store = closed_later(open_store(sqlite_url))
    leased: Sequence[Lease] = []
    for moment in (NOW, later(DAY)):
        leased = [*leased, *await store.lease([request(needed=10, quota=10)], moment)]

    assert [10, 10] == [lease.items for lease in leased]


@pytest.mark.parametrize("rate", [SLOW, None], ids=["rate", "quota"])
@pytest.mark.parametrize("engine", ["sqlite_url", "migrated_postgres_url"])
async def test_usage_that_is_a_month_old_is_deleted(
    engine: str, rate: Rate | None, request: pytest.FixtureRequest, closed_later: ClosedLater
) -> None:
    """The names of former callers do not pile up. No younger usage is deleted, whichever limits there are."""
    store = closed_later(open_store(request.getfixturevalue(engine)))
    now = Millis(time.time_ns() // 1_000_000)
    await store.lease([LeaseRequest(caller="one", rate=rate, quota=10, needed=1)], now)
    early = await store.delete_expired(Millis(now + 30 * DAY))
    deleted = await store.delete_expired(Millis(now + 32 * DAY))

    assert (0, 1) == (early, deleted)
    assert [] == list(await store.list_usage())

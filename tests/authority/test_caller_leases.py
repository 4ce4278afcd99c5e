"""Leases of callers: memory alone while they last, one renewal for all who wait, and nothing beyond them."""

from __future__ import annotations

import asyncio

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest

from tests.support.authority import EVERYTHING, make_caller
from tests.support.faulty_store import FaultyStore
from tokenauthority.authority.caller_leases import CallerLeases
from tokenauthority.domain.caller import Caller, Rate
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.leases import LeaseRequest
from tokenauthority.domain.times import Millis
from tokenauthority.storage.store import Store


NOON = Millis(1_700_049_600_000)


class Server:
    """The leases of one server, whose clock a test sets; a renewal runs whenever a call waits for one."""

    def __init__(self, store: Store) -> None:
        self.now = NOON
        self.leases = CallerLeases(store, lambda: self.now)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Server]:
        """Renew while the block runs."""

        async def renew() -> None:
            while await self.leases.woken.wait():
                self.leases.woken.clear()
                await self.leases.renew()

        task = asyncio.create_task(renew())
        try:
            yield self
        finally:
            task.cancel()

    async def use(self, caller: Caller, items: int = 1) -> bool:
        """Use items as the rate limiter does."""
        while not self.leases.try_use(caller, items, self.now):
            if self.leases.refuses(caller, self.now):
                return False
            await self.leases.obtain(caller, items)
        return True

    async def use_up(self, caller: Caller) -> int:
        """Use items until one is refused, and return how many there were."""
        used = 0
        while await self.use(caller):
            used += 1
        return used

    def after(self, seconds: float) -> None:
        """Let time pass."""
        self.now = Millis(self.now + round(seconds * 1000))


def limited(rate: Rate | None = None, quota: int | None = None) -> Caller:
    """A caller with limits."""
    return make_caller("limited", attrs.evolve(EVERYTHING, rate=rate, daily_quota=quota))


async def used_in_store(store: Store) -> int:
    """What the store has counted."""
    return sum(usage.day.used for usage in await store.list_usage())


@pytest.fixture
def store() -> FaultyStore:
    """A store of several servers."""
    return FaultyStore()


async def test_a_lease_is_used_without_the_store(store: FaultyStore) -> None:
    """The first call leases for those that follow."""
    caller = limited(Rate(100, 100))
    async with Server(store).running() as server:
        assert [True] * 10 == [await server.use(caller) for _ in range(10)]

    assert 1 == store.count("lease")


async def test_calls_that_wait_share_one_renewal(store: FaultyStore) -> None:
    """A burst that nobody expected passes as a whole, as far as the limit lets it."""
    caller = limited(Rate(1, 100), quota=80)
    async with Server(store).running() as server:
        passed = await asyncio.gather(*(server.use(caller) for _ in range(100)))

    assert (80, 20) == (passed.count(True), passed.count(False))
    assert 2 >= store.count("lease")


async def test_servers_together_have_one_quota(store: FaultyStore) -> None:
    """Whatever each of them used first."""
    caller = limited(quota=1000)
    async with Server(store).running() as one, Server(store).running() as other:
        used = [await (one, other)[number % 2].use(caller) for number in range(500)]
        rest = await one.use_up(caller) + await other.use_up(caller)
        again = await one.use(caller)

    assert all(used)
    # What the other server still held when the first one was refused was used by the other one.
    assert 500 == rest
    assert not again


async def test_a_new_server_goes_on_with_what_is_left(store: FaultyStore) -> None:
    """After a clean stop nothing is lost, neither of the quota nor of the rate."""
    caller = limited(Rate(0.001, 500), quota=1000)
    async with Server(store).running() as server:
        await server.use(caller, 100)
        await server.leases.close()
        counted = await used_in_store(store)
        with pytest.raises(UnavailableError):
            await server.use(caller)
    async with Server(store).running() as restarted:
        rest = await restarted.use_up(caller)

    assert 100 == counted
    assert 401 == rest


async def test_a_killed_server_takes_at_most_a_hundredth_of_the_quota_along(store: FaultyStore) -> None:
    """What it held may have been used, so it stays counted; what it had not leased is there for the others."""
    caller = limited(quota=1000)
    async with Server(store).running() as killed:
        for _ in range(55):
            await killed.use(caller)
    async with Server(store).running() as other:
        rest = await other.use_up(caller)

    assert 1000 - 55 - 10 <= rest <= 1000 - 55


async def test_the_rate_that_a_killed_server_held_is_back_in_time(store: FaultyStore) -> None:
    """Without anybody's help: the bucket in the store refills."""
    caller = limited(Rate(10, 20))
    async with Server(store).running() as killed:
        await killed.use(caller)
        killed.after(1)
        await killed.leases.renew()
    async with Server(store).running() as other:
        other.after(4)
        assert 30 == await other.use_up(caller)


async def test_a_store_that_is_lost_lets_what_is_leased_be_used_and_no_more(store: FaultyStore) -> None:
    """Then calls are UNAVAILABLE, and pass again when the store is back."""
    caller = limited(quota=5000)
    async with Server(store).running() as server:
        assert await server.use(caller)
        store.fail("lease")
        held = 0
        while server.leases.try_use(caller, 1, server.now):
            held += 1
        with pytest.raises(UnavailableError):
            await server.use(caller)
        asked = store.count("lease")
        with pytest.raises(UnavailableError):
            await server.use(caller)
        store.recover()
        server.after(1.001)
        back = await server.use(caller)

    assert 10 == held
    assert asked == store.count("lease") - 1
    assert back


async def test_a_store_that_hangs_holds_a_call_for_two_seconds(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And those that come after it not at all."""
    monkeypatch.setattr("tokenauthority.authority.caller_leases._PATIENCE", 0.01)
    hold = store.hold("lease")
    async with Server(store).running() as server:
        for _ in range(2):
            with pytest.raises(UnavailableError):
                await server.use(limited(quota=500))
    hold.release()

    assert 1 == len(hold.calls)


async def test_a_refusal_is_known_without_the_store(store: FaultyStore) -> None:
    """For a fifth of a second by the rate, for five seconds by the quota: a caller beyond its limits costs little."""
    by_rate, by_quota = limited(Rate(1, 1)), attrs.evolve(limited(quota=1), name="other")
    async with Server(store).running() as server:
        assert (2, 1) == (await server.use_up(by_rate), await server.use_up(by_quota))
        asked = store.count("lease")
        waits = [server.leases.waits(caller, 1, server.now) for caller in (by_rate, by_quota)]
        assert [0, 0] == [await server.use_up(caller) for caller in (by_rate, by_quota)]
        still = store.count("lease")
        server.after(0.2)
        await server.use_up(by_rate)
        await server.use_up(by_quota)

    assert (asked, asked + 1) == (still, store.count("lease"))
    assert [(1000, 0), (0, 12 * 60 * 60 * 1000)] == waits


async def test_another_grant_is_not_refused_for_the_former_one(store: FaultyStore) -> None:
    """A higher quota counts from the first call after the reload."""
    async with Server(store).running() as server:
        await server.use_up(limited(quota=10))

        assert 10 == await server.use_up(limited(quota=20))


async def test_a_lease_of_yesterday_is_worth_nothing(store: FaultyStore) -> None:
    """It was counted yesterday."""
    caller = limited(quota=1000)
    async with Server(store).running() as server:
        await server.use(caller)
        server.after(12 * 60 * 60)

        assert not server.leases.try_use(caller, 1, server.now)
        assert 1000 == await server.use_up(caller)


@pytest.mark.parametrize(
    ("caller", "leased", "renewals"), [(limited(quota=10**6), 600, 10), (limited(Rate(100, 10_000)), 40, 32)]
)
async def test_a_lease_is_renewed_before_it_is_used_up(
    store: FaultyStore, caller: Caller, leased: int, renewals: int
) -> None:
    """For the use of half a minute, or of two seconds: so a caller that goes on as before never waits for the store."""
    server = Server(store)
    async with server.running():
        assert [True] * 20 == [await server.use(caller) for _ in range(20)]
    asked = store.observe("lease")
    for _ in range(30):
        server.after(1)
        await server.leases.renew()
        assert all(server.leases.try_use(caller, 1, server.now) for _ in range(20))

    ahead = [request.ahead for request in requests_of(asked.arguments("requests"))]
    assert leased >= max(ahead) >= leased / 2
    assert renewals >= len(ahead)


async def test_the_lease_of_a_caller_that_is_gone_is_returned(store: FaultyStore) -> None:
    """After a minute without a call."""
    server = Server(store)
    async with server.running():
        await server.use(limited(quota=5000))
    leased = await used_in_store(store)
    server.after(61)
    await server.leases.renew()

    assert (11, 1) == (leased, await used_in_store(store))
    assert not server.leases.try_use(limited(quota=5000), 1, server.now)


async def test_servers_hold_little_of_a_rate_in_advance(store: FaultyStore) -> None:
    """However long they were used for less than the rate: all of it could be used at once."""
    caller = limited(Rate(20, 20))
    servers = [Server(store) for _ in range(3)]
    for _ in range(60):
        for server in servers:
            async with server.running():
                assert [True] * 5 == [await server.use(caller) for _ in range(5)]
            server.after(1)
            await server.leases.renew()
    at_once = 0
    for server in servers:
        async with server.running():
            at_once += await server.use_up(caller)

    # The burst, what is ahead, and what they held: two seconds of what they used.
    assert 20 <= at_once <= 20 + 20 + 30


async def test_a_refused_batch_holds_nothing_for_long(store: FaultyStore) -> None:
    """What there was of it goes to the other servers, also while the caller goes on here."""
    caller = limited(quota=1000)
    async with Server(store).running() as server, Server(store).running() as other:
        assert await server.use(caller, 950)
        assert not await server.use(caller, 100)
        server.after(1)
        assert await server.use(caller)
        await server.leases.renew()
        smaller = await server.use(caller, 25)
        rest = await other.use_up(caller)

    assert smaller
    assert 1000 - 950 - 1 - 25 - 10 <= rest


async def test_a_lower_limit_holds_from_the_first_call_after_the_reload(store: FaultyStore) -> None:
    """What was leased by the former one is returned, and not used."""
    async with Server(store).running() as server:
        await server.use(limited(quota=100_000), 20)
        await server.leases.renew()

        assert not server.leases.try_use(limited(quota=20), 1, server.now)
        assert 0 == await server.use_up(limited(quota=20))
        assert 20 == await used_in_store(store)
        assert await server.use(limited(quota=100_000))


async def test_a_reload_that_changes_no_limit_leaves_the_lease(store: FaultyStore) -> None:
    """While the store is lost, too, an operator can let a caller do more or less."""
    caller = limited(quota=1000)
    async with Server(store).running() as server:
        await server.use(caller)
        store.fail("lease")

        assert await server.use(attrs.evolve(caller, grant=attrs.evolve(caller.grant, roles=frozenset())))


async def test_a_lease_ends_at_midnight_however_long_the_store_took(store: FaultyStore) -> None:
    """The time until midnight is that of the moment when the store answered."""
    caller = limited(quota=1000)
    hold = store.hold("lease")
    async with Server(store).running() as server:
        server.after(12 * 60 * 60 - 1)
        use = asyncio.create_task(server.use(caller))
        await hold.reached()
        server.after(0.5)
        hold.release()
        assert await use
        server.after(0.5)

        assert not server.leases.try_use(caller, 1, server.now)


async def test_a_clock_that_is_set_back_after_an_outage_shuts_nobody_out(store: FaultyStore) -> None:
    """The store is there again, and that is what counts."""
    caller = limited(quota=1000)
    async with Server(store).running() as server:
        store.fail("lease")
        with pytest.raises(UnavailableError):
            await server.use(caller)
        store.recover()
        server.after(-3600)

        assert await server.use(caller)


async def test_a_clock_that_is_set_back_shuts_nobody_out(store: FaultyStore) -> None:
    """What was refused until then is asked again."""
    caller = limited(Rate(10, 10))
    async with Server(store).running() as server:
        await server.use_up(caller)
        server.after(-3600)
        await server.use(caller)
        server.after(1)

        assert 10 <= await server.use_up(caller)


def requests_of(pages: list[object]) -> list[LeaseRequest]:
    """All requests of some calls of `lease`."""
    return [request for page in pages if isinstance(page, list) for request in page]

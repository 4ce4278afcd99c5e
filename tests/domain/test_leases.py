"""Leases: whatever servers ask, use, return and lose, all together never use more than the limits."""

from __future__ import annotations

from fractions import Fraction

import attrs
import pytest

from hypothesis import given
from hypothesis import strategies as st

from tests.support.authority import EVERYTHING
from tokenauthority.domain.caller import Rate
from tokenauthority.domain.leases import (
    AHEAD,
    CallerUsage,
    DayCount,
    Lease,
    LeaseRequest,
    ahead_of,
    last_used_on,
    lease_items,
    lease_size,
)
from tokenauthority.domain.rates import Bucket, take_items
from tokenauthority.domain.times import Millis


DAY = 86_400_000
NOON = Millis(1_700_049_600_000)
NEW = CallerUsage(caller="one")

rates = st.builds(Rate, per_second=st.floats(0.001, 5_000), burst=st.integers(1, 1_000))
quotas = st.integers(1, 5_000)
events = st.lists(
    st.tuples(
        st.sampled_from(["ask", "use", "return", "kill", "wait"]),
        st.integers(0, 2),
        st.integers(0, 500),
        st.integers(0, 500),
    ),
    max_size=60,
)


@attrs.define
class Server:
    """What a server holds."""

    items: int = 0
    day: int = 0


@given(st.none() | rates, st.none() | quotas, events, st.integers(0, 60_000))
def test_servers_together_never_use_more_than_the_limits(
    rate: Rate | None, quota: int | None, script: list[tuple[str, int, int, int]], step: int
) -> None:
    """Three servers, any interleaving, also over midnight: the quota of each day, and burst, rate and what is ahead.

    A server that is killed loses what it holds, and whatever it has used was counted before.
    """
    if rate is None and quota is None:
        return
    start = now = Millis(NOON + DAY // 2 - 60_000)
    usage, servers, used, used_of_day = NEW, [Server() for _ in range(3)], 0, dict[int, int]()
    for what, number, items, more in script:
        server, today = servers[number], now // DAY
        if server.day != today:
            server.items, server.day = 0, today
        if what == "wait":
            now = Millis(now + items * step // 500)
        elif what == "use":
            spent = min(items, server.items)
            server.items -= spent
            used += spent
            used_of_day[today] = used_of_day.get(today, 0) + spent
        elif what == "kill":
            server.items = 0
        else:
            returned = min(items, server.items) if what == "return" else 0
            server.items -= returned
            asked = {"returned": returned} if returned else {"needed": items, "ahead": more}
            request = LeaseRequest(caller="one", rate=rate, quota=quota, day=server.day, **asked)
            usage, lease = lease_items(usage, request, now)
            server.items += lease.items

        if rate is not None:
            free = rate.burst + Fraction(rate.per_second) * Fraction(now - start + 1000 * AHEAD) / 1000 + 1
            assert used + sum(each.items for each in servers) <= free
        if quota is not None:
            assert all(count <= quota for count in used_of_day.values())


@given(rates, st.lists(st.tuples(st.integers(1, 200), st.integers(0, 100_000), st.integers(0, 500)), max_size=40))
def test_one_server_alone_is_refused_nothing_that_its_own_bucket_grants(
    rate: Rate, calls: list[tuple[int, int, int]]
) -> None:
    """However much it leases ahead: the limits of one server are as they are without leases."""
    usage, bucket, held, now = NEW, Bucket(), 0, NOON
    for items, step, ahead in calls:
        now = Millis(now + step)
        decision = take_items(bucket, rate, items, now)
        bucket = decision.state
        if not decision.granted:
            continue
        needed = max(0, items - held)
        request = LeaseRequest(caller="one", rate=rate, quota=None, needed=needed, ahead=ahead)
        usage, lease = lease_items(usage, request, now)
        held += lease.items - items

        assert lease.items >= needed


@given(rates, quotas, st.integers(0, 2_000), st.integers(0, 2_000))
def test_leases_what_is_needed_and_half_of_the_rest(rate: Rate, quota: int, needed: int, ahead: int) -> None:
    """All that is needed if it is free, so that one server alone is refused nothing that its own bucket would grant."""
    free = min(ahead_of(rate).burst, quota)
    request = LeaseRequest(caller="one", rate=rate, quota=quota, needed=needed, ahead=ahead)
    usage, lease = lease_items(NEW, request, NOON)
    expected = min(needed, free)

    assert expected + min(ahead, (free - expected) // 2) == lease.items
    assert lease.items == usage.day.used
    assert quota - lease.items == lease.left
    assert (NOON // DAY, DAY // 2) == (lease.day, lease.ends_in)


@given(st.builds(Rate, per_second=st.floats(0.1, 5_000), burst=st.integers(1, 1_000)), st.integers(1, 1_000))
def test_states_how_long_the_rest_of_what_is_needed_waits(rate: Rate, more: int) -> None:
    """After it the rest is leased, and a millisecond earlier it is not; more than the burst is never leased at once."""
    full = ahead_of(rate).burst
    usage, _ = ask(NEW, rate, full, NOON)
    usage, short = ask(usage, rate, more, NOON)
    rest = min(more, full)
    early, late = (ask(usage, rate, rest, Millis(NOON + short.wait - step))[1] for step in (1, 0))

    assert 0 == short.items
    assert (more > full) == (short.wait == 0)
    if more <= full:
        assert (early.items < rest, late.items) == (True, rest)


def ask(usage: CallerUsage, rate: Rate | None, needed: int, now: Millis) -> tuple[CallerUsage, Lease]:
    """Ask for items by a rate alone."""
    return lease_items(usage, LeaseRequest(caller="one", rate=rate, quota=None, needed=needed), now)


@given(rates, st.integers(1, 100))
def test_what_is_returned_is_free_again(rate: Rate, items: int) -> None:
    """At once, for the rate and for the quota."""
    request = LeaseRequest(caller="one", rate=rate, quota=100, needed=items)
    usage, lease = lease_items(NEW, request, NOON)
    back = LeaseRequest(caller="one", rate=rate, quota=100, returned=lease.items, day=lease.day)
    usage, nothing = lease_items(usage, back, NOON)

    assert (0, 0) == (usage.day.used, usage.bucket.missing)
    assert (0, 100) == (nothing.items, nothing.left)


def test_what_yesterday_was_leased_does_not_make_today_longer() -> None:
    """Items of yesterday that are returned today were counted yesterday."""
    today = NOON // DAY
    usage = CallerUsage(caller="one", day=DayCount(today, 50))
    back = LeaseRequest(caller="one", rate=None, quota=100, returned=40, day=today - 1)

    assert DayCount(today, 50) == lease_items(usage, back, NOON)[0].day


def test_a_day_begins_with_a_use() -> None:
    """So the day says when the caller called last, although an idle server returns its items later."""
    today = NOON // DAY
    usage = CallerUsage(caller="one", day=DayCount(today - 1, 50))
    back = LeaseRequest(caller="one", rate=None, quota=100, returned=40, day=today - 1)
    used = LeaseRequest(caller="one", rate=None, quota=100, needed=1)

    assert DayCount(today - 1, 50) == lease_items(usage, back, NOON)[0].day
    assert DayCount(today, 1) == lease_items(usage, used, NOON)[0].day


@pytest.mark.parametrize(
    ("day", "shown"), [(0, None), (1, "1970-01-02"), (20_787, "2026-11-30"), (2**62, "9999-12-31"), (-1, None)]
)
def test_says_the_day_of_the_last_use(day: int, shown: str | None) -> None:
    """Also of what no server has written."""
    last = last_used_on(CallerUsage(caller="one", day=DayCount(day, 1)))

    assert shown == (last and last.isoformat())


@given(st.integers(1, 1_000), st.integers(-2, 2))
def test_a_used_up_quota_is_there_again_at_midnight(quota: int, days: int) -> None:
    """UTC midnight, to the millisecond, and never by a clock that goes back."""
    request = LeaseRequest(caller="one", rate=None, quota=quota, needed=quota)
    usage, first = lease_items(NEW, request, NOON)
    midnight = Millis(NOON + first.ends_in)
    _, before = lease_items(usage, request, Millis(midnight - 1))
    _, after = lease_items(usage, request, midnight)
    _, other_day = lease_items(usage, request, Millis(NOON + days * DAY))

    assert (quota, 0, 1, quota) == (first.items, before.items, before.ends_in, after.items)
    assert (quota if days > 0 else 0) == other_day.items


@given(st.integers(-(10**15), 10**15), st.integers(-(10**15), 10**15), st.integers(0, 2**62), st.integers(0, 2**62))
def test_whatever_the_store_has_gives_no_more_than_the_limits(used: int, missing: int, day: int, at: int) -> None:
    """Somebody may have written what no server has."""
    usage = CallerUsage(caller="one", day=DayCount(day, used), bucket=Bucket(missing, Millis(at)))
    request = LeaseRequest(caller="one", rate=Rate(1, 10), quota=20, needed=100)

    assert 0 <= lease_items(usage, request, NOON)[1].items <= 11


def test_the_size_of_a_lease_follows_from_use() -> None:
    """Half a minute of use, ten items at least, and no more than a hundredth of a quota."""
    large, small, tiny = (attrs.evolve(EVERYTHING, daily_quota=quota) for quota in (10**6, 5_000, 99))

    assert [10, 10, 300] == [lease_size(large, use) for use in (0.0, 0.2, 10.0)]
    assert [10, 50] == [lease_size(small, use) for use in (0.0, 10.0)]
    assert 0 == lease_size(tiny, 10.0)


def test_the_size_of_a_lease_of_a_rate_is_small() -> None:
    """Two seconds of use, and no more than a second of the rate: what is held can be used on top of the rate."""
    fast, slow = (attrs.evolve(EVERYTHING, rate=Rate(rate, 100)) for rate in (100, 0.1))

    assert [10, 20, 100] == [lease_size(fast, use) for use in (0.0, 10.0, 90.0)]
    assert [1, 1] == [lease_size(slow, use) for use in (0.0, 10.0)]

"""Lease items of a caller's rate and daily quota to the servers of one store, ahead of their need.

An item that is leased is counted already: a server that holds it may use it without asking again. So all servers
together never use more than the quota of a UTC day, nor more than the burst, the rate and `AHEAD` of the rate, and
what they hold. Each holds at most another second of the rate.

Pure: usage in, usage and lease out. All servers of a store take `now` from one clock.
"""

from __future__ import annotations

import math

from datetime import date
from typing import Final

import msgspec

from tokenauthority.domain.caller import Grant, Rate
from tokenauthority.domain.rates import Bucket, free_items, return_items, take_items
from tokenauthority.domain.times import DAY, Millis


AHEAD: Final = 1.0
"""Seconds of a rate that may be leased before they have passed; else a small burst would allow small leases only."""

LEASE_TIME: Final = 30.0
"""Seconds for which a lease of a quota is meant to last, if the caller goes on as before."""

RATE_LEASE_TIME: Final = 2.0
"""The same where there is a rate: what servers hold can be used at once, in addition to what refills meanwhile."""

_MOST_OF_RATE: Final = 1.0
"""Seconds of the rate that a server holds at most, however much is used there."""

_LEAST: Final = 10
"""Items that a lease is meant to have at least, so that a caller with few calls does not need one for each."""

_SHARE_OF_QUOTA: Final = 100
"""A server holds at most a hundredth of a quota: what a killed server held stays counted, as it may have been used."""

_DAY: Final = DAY * 1000
_EPOCH: Final = date(1970, 1, 1).toordinal()


class DayCount(msgspec.Struct, frozen=True):
    """The items of a UTC day, which is numbered from 1970."""

    day: int = 0
    used: int = 0


class CallerUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What all servers together have used or leased of a caller's limits. `bucket` is that of `ahead_of`."""

    caller: str
    day: DayCount = DayCount()
    bucket: Bucket = Bucket()


class LeaseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a server asks for: the items that it needs now, and those *ahead* that it would like to have too.

    *returned* are items that it leased on *day* and will not use. At least one of *rate* and *quota* is set.
    """

    caller: str
    rate: Rate | None
    quota: int | None
    needed: int = 0
    ahead: int = 0
    returned: int = 0
    day: int = 0


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """So many `items`, for the rest of `day`, which ends in `ends_in` milliseconds.

    If they are fewer than were needed, `wait` is how long the rate makes the rest wait, in milliseconds. `left` is what
    is left of the quota after this lease; None without a quota.
    """

    caller: str
    items: int
    day: int
    ends_in: Millis
    wait: Millis = Millis(0)
    left: int | None = None


def lease_items(usage: CallerUsage, request: LeaseRequest, now: Millis) -> tuple[CallerUsage, Lease]:
    """Accept what is returned, then lease as many of the needed items as are free, and up to half of the others."""
    rate, quota = request.rate, request.quota
    day = now // _DAY
    used = used_on_day(usage, now)
    if request.day == day:
        used = max(0, used - request.returned)
    bucket = return_items(usage.bucket, request.returned)
    left = None if quota is None else max(0, quota - used)
    free = [] if left is None else [left]
    if rate is not None:
        free.append(free_items(bucket, ahead_of(rate), now))
    items = min(*free, request.needed)
    # Half, so that the next server that asks finds some.
    items += min(request.ahead, (min(free) - items) // 2)
    wait: Millis | None = Millis(0)
    if rate is not None:
        bucket = take_items(bucket, ahead_of(rate), items, now).state
        wait = take_items(bucket, ahead_of(rate), max(0, request.needed - items), now).wait
    lease = Lease(
        caller=request.caller,
        items=items,
        day=day,
        ends_in=Millis((day + 1) * _DAY - now),
        wait=wait or Millis(0),
        left=None if left is None else left - items,
    )
    # Only a use begins a day, so that the day says when the caller called last: an idle server returns items later.
    counted = DayCount(day, used + items) if items or day <= usage.day.day else usage.day
    return CallerUsage(caller=usage.caller, day=counted, bucket=bucket), lease


def used_on_day(usage: CallerUsage, now: Millis) -> int:
    """Return how many items are counted on the UTC day of *now*.

    If the clock goes back over midnight, the count stays, so that the day does not begin again.
    """
    return 0 if now // _DAY > usage.day.day else max(0, usage.day.used)


def last_used_on(usage: CallerUsage) -> date | None:
    """Return the last UTC day on which a server leased items for the caller; None if none has in the last month."""
    return date.fromordinal(min(_EPOCH + usage.day.day, date.max.toordinal())) if usage.day.day > 0 else None


def ahead_of(rate: Rate) -> Rate:
    """Return the rate by which leases are counted: its burst is larger by `AHEAD` of the rate."""
    return Rate(rate.per_second, rate.burst + math.ceil(rate.per_second * AHEAD))


def free_burst(usage: CallerUsage, rate: Rate, now: Millis) -> int:
    """Return how many items of the burst are left, without those that may be leased before their time."""
    ahead = ahead_of(rate)
    return max(0, free_items(usage.bucket, ahead, now) - (ahead.burst - rate.burst))


def lease_size(grant: Grant, per_second: float) -> int:
    """Return how many items a server should hold for a caller that uses so many *per_second* there."""
    lasting = LEASE_TIME if grant.rate is None else RATE_LEASE_TIME
    return min(max(_LEAST, math.ceil(per_second * lasting)), most_held(grant))


def most_held(grant: Grant) -> int:
    """Return how many items a server may hold for a caller while no call waits for them."""
    most = []
    if grant.rate is not None:
        most.append(math.ceil(grant.rate.per_second * _MOST_OF_RATE))
    if grant.daily_quota is not None:
        most.append(grant.daily_quota // _SHARE_OF_QUOTA)
    return min(most, default=0)

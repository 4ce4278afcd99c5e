"""How many items a caller may request at a rate: a token bucket.

Pure: state in, decision and state out. All numbers are whole, so that the wait of a refusal is exact: after it, and not
a millisecond earlier, the same request is granted. A bucket never grants more than its burst and what has refilled.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tokenauthority.domain.caller import Rate
from tokenauthority.domain.times import Millis


_UNIT: Final = 1_000_000_000
"""Billionths in an item: the unit of a bucket, of which every rate refills a whole number in a millisecond."""


class Bucket(msgspec.Struct, frozen=True):
    """What a bucket lacks at the moment *at*, in billionths of an item. A new bucket is full."""

    missing: int = 0
    at: Millis = Millis(0)


class Decision(msgspec.Struct, frozen=True):
    """A decision: `wait` is 0 if it is granted, else the milliseconds to wait, or None if no wait is enough.

    Store `state` also after a refusal: the clock may have stepped.
    """

    state: Bucket
    wait: Millis | None = Millis(0)

    @property
    def granted(self) -> bool:
        """Return whether the items were taken."""
        return self.wait == 0


def take_items(bucket: Bucket, rate: Rate, items: int, now: Millis, *, paid: int = 0) -> Decision:
    """Take *items*, of which *paid* were taken before, all or none; the wait of a refusal is for all of them again.

    If the clock went back, the bucket refills from the new moment on.
    """
    missing = _missing(bucket, rate, now)
    if items > rate.burst:
        return Decision(Bucket(missing, now), None)
    after = missing + (items - paid) * _UNIT
    if after <= rate.burst * _UNIT:
        return Decision(Bucket(after, now))
    short = missing + (items - rate.burst) * _UNIT
    return Decision(Bucket(missing, now), Millis(-(-short // _refill(rate))))


def free_items(bucket: Bucket, rate: Rate, now: Millis) -> int:
    """Return how many items the bucket has."""
    return (rate.burst * _UNIT - _missing(bucket, rate, now)) // _UNIT


def return_items(bucket: Bucket, items: int) -> Bucket:
    """Put back *items* that were taken and not used."""
    return Bucket(max(0, bucket.missing - items * _UNIT), bucket.at)


def is_full(bucket: Bucket, rate: Rate, now: Millis) -> bool:
    """Return whether the bucket is as a new one, so that it need not be stored."""
    return bucket.missing <= (now - bucket.at) * _refill(rate)


def _missing(bucket: Bucket, rate: Rate, now: Millis) -> int:
    return max(0, min(bucket.missing, rate.burst * _UNIT) - max(0, now - bucket.at) * _refill(rate))


def _refill(rate: Rate) -> int:
    """Return the billionths that refill in a millisecond, rounded down: never more than the rate."""
    return max(1, int(rate.per_second * (_UNIT // 1000)))

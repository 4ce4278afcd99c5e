"""How much a caller may ask for: a bucket of items that refills, and a count for each UTC day.

Pure: state in, decision and state out. Everything is whole numbers, so that a wait that is told is exact: after it, and
not a millisecond earlier, the same request is granted. A bucket never gives out more than its burst and what the rate
brought since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

import msgspec

from tokenauthority.domain.times import DAY, Millis


if TYPE_CHECKING:
    from tokenauthority.domain.caller import Rate


_UNIT: Final = 1_000_000_000
"""An item in the billionths that are counted, of which every rate brings a whole number in a millisecond."""

_DAY: Final = DAY * 1000

State = TypeVar("State")


class Bucket(msgspec.Struct, frozen=True):
    """What is missing from a full bucket, in billionths of an item, at the moment *at*. A new one is full."""

    missing: int = 0
    at: Millis = Millis(0)


class DayCount(msgspec.Struct, frozen=True):
    """The items of a UTC day, which is counted from 1970."""

    day: int = 0
    used: int = 0


class Decision(msgspec.Struct, Generic[State], frozen=True):
    """What was decided: `wait` is 0 where it is granted, else the milliseconds to wait, or None where none is enough.

    `state` takes the place of the one that was asked, also where the items were refused: the clock may have stepped.
    """

    state: State
    wait: Millis | None = Millis(0)

    @property
    def granted(self) -> bool:
        """Whether the items were taken."""
        return self.wait == 0


def take(bucket: Bucket, rate: Rate, items: int, now: Millis, *, paid: int = 0) -> Decision[Bucket]:
    """Take *items*, of which *paid* were taken before, all or none; the wait told is that of all of them anew.

    Where the clock went back, the bucket refills from the new moment on: nothing is lost but the time between.
    """
    refill = _refill(rate)
    missing = min(bucket.missing, rate.burst * _UNIT) - max(0, now - bucket.at) * refill
    missing = max(0, missing)
    if items > rate.burst:
        return Decision(Bucket(missing, now), None)
    after = missing + (items - paid) * _UNIT
    if after <= rate.burst * _UNIT:
        return Decision(Bucket(after, now))
    short = missing + (items - rate.burst) * _UNIT
    return Decision(Bucket(missing, now), Millis(-(-short // refill)))


def count(counted: DayCount, quota: int, items: int, now: Millis, *, paid: int = 0) -> Decision[DayCount]:
    """Count *items*, of which *paid* were counted before, in the UTC day of *now*, all or none.

    A clock that goes back over midnight takes the count along, so that the day does not begin anew.
    """
    day = now // _DAY
    used = 0 if day > counted.day else counted.used
    if items > quota:
        return Decision(DayCount(day, used), None)
    if used + items - paid <= quota:
        return Decision(DayCount(day, used + items - paid))
    return Decision(DayCount(day, used), Millis((day + 1) * _DAY - now))


def full_again(bucket: Bucket, rate: Rate, now: Millis) -> bool:
    """Whether the bucket is as a new one, so that it may be forgotten."""
    return bucket.missing <= (now - bucket.at) * _refill(rate)


def _refill(rate: Rate) -> int:
    """Billionths in a millisecond, rounded down: never more than the rate."""
    return max(1, int(rate.per_second * (_UNIT // 1000)))

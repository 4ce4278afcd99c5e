"""Token buckets of one rate, by name; only so many are stored."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from tokenauthority.domain.caller import Rate
from tokenauthority.domain.rates import Bucket, is_full, take_items
from tokenauthority.domain.times import Millis


_FULL: Final = Bucket()


class Buckets:
    """A bucket for each name. One that nothing was taken from is full, so a full one is not stored.

    Of more than *size* names, the one that was used longest ago is deleted, and its bucket is full again.
    """

    def __init__(self, rate: Rate, size: int = 10_000) -> None:
        self._rate = rate
        self._size = size
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def try_take(self, name: str, now: Millis) -> bool:
        """Take one item if there is one; return whether there was."""
        decision = take_items(self._buckets.get(name, _FULL), self._rate, 1, now)
        self._buckets[name] = decision.state
        self._buckets.move_to_end(name)
        if len(self._buckets) > self._size:
            self._buckets.popitem(last=False)
        return decision.granted

    def refill(self, name: str, now: Millis) -> Millis:
        """Refill a bucket up to *now*; return the milliseconds until it has an item, 0 if it has one."""
        bucket = self._buckets.get(name)
        if bucket is None:
            return Millis(0)
        if is_full(bucket, self._rate, now):
            del self._buckets[name]
            return Millis(0)
        decision = take_items(bucket, self._rate, 1, now)
        if not decision.granted:
            # If the clock went back, the bucket refills from the new moment on, and not once that of before is reached.
            self._buckets[name] = decision.state
        return decision.wait or Millis(0)

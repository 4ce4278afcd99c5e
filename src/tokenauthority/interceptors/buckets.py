"""Buckets of one rate for many names, of which only so many are remembered."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from tokenauthority.domain.rates import Bucket, is_full, take_items
from tokenauthority.domain.times import Millis


if TYPE_CHECKING:
    from tokenauthority.domain.caller import Rate


_FULL: Final = Bucket()


class Buckets:
    """A bucket for each name. One that nothing was taken from is full, so a full one need not be remembered.

    Of more than *size* names that of which nothing was taken for longest is forgotten, and its bucket is full again.
    """

    def __init__(self, rate: Rate, size: int = 10_000) -> None:
        self._rate = rate
        self._size = size
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, name: str, now: Millis) -> bool:
        """Take one item, where there is one."""
        decision = take_items(self._buckets.get(name, _FULL), self._rate, 1, now)
        self._buckets[name] = decision.state
        self._buckets.move_to_end(name)
        if len(self._buckets) > self._size:
            self._buckets.popitem(last=False)
        return decision.granted

    def has(self, name: str, now: Millis) -> bool:
        """Whether there is an item to take."""
        return self.wait(name, now) == 0

    def wait(self, name: str, now: Millis) -> Millis:
        """Milliseconds until there is an item to take."""
        bucket = self._buckets.get(name)
        if bucket is None:
            return Millis(0)
        if is_full(bucket, self._rate, now):
            del self._buckets[name]
            return Millis(0)
        decision = take_items(bucket, self._rate, 1, now)
        if not decision.granted:
            # Else a clock that went back would be waited for.
            self._buckets[name] = decision.state
        return decision.wait or Millis(0)

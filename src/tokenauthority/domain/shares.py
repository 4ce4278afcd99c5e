"""Decide who gives up places when there are too few: whoever holds most of them."""

from __future__ import annotations

import heapq

from collections.abc import Mapping


def excess(held: Mapping[str, int], limit: int, *, least: int = 0) -> dict[str, int]:
    """Return how many places each holder has to give up, so that all together have at most *limit*.

    The holders with most places give up first, so one holder never takes the places of the others. Of holders with as
    many places, the first in *held* gives up first. Nobody is left with fewer than *least*, even if *limit* is not
    reached then.
    """
    most = [(-count, position, holder) for position, (holder, count) in enumerate(held.items()) if count > least]
    heapq.heapify(most)
    given: dict[str, int] = {}
    for _ in range(sum(held.values()) - limit):
        if not most:
            break
        count, position, holder = most[0]
        given[holder] = given.get(holder, 0) + 1
        if -count - 1 > least:
            heapq.heapreplace(most, (count + 1, position, holder))
        else:
            heapq.heappop(most)
    return given

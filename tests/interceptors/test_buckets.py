"""Buckets by name: each has its own, few are stored, and deleting one gives nothing away that was short."""

from __future__ import annotations

import pytest

from tokenauthority.domain.caller import Rate
from tokenauthority.domain.times import Millis
from tokenauthority.interceptors.buckets import Buckets


NOW = Millis(1_700_000_000_000)


def test_each_name_has_its_own() -> None:
    """What one takes is not missing to another."""
    buckets = Buckets(Rate(1, 2))

    assert [True, True, False, True] == [buckets.try_take(name, NOW) for name in ("a", "a", "a", "b")]
    assert [False, True, True] == [buckets.refill(name, NOW) == 0 for name in ("a", "b", "c")]


def test_a_refill_takes_nothing() -> None:
    """However often."""
    buckets = Buckets(Rate(1, 1))

    assert {0} == {buckets.refill("a", NOW) for _ in range(10)}
    assert buckets.try_take("a", NOW)


def test_stores_so_many_and_those_that_are_used() -> None:
    """The least recently used goes first, so that who keeps asking stays short."""
    buckets = Buckets(Rate(0.001, 1), size=100)
    for number in range(1000):
        buckets.try_take("busy", NOW)
        buckets.try_take(f"other {number}", NOW)

    assert 100 == len(buckets)
    assert not buckets.try_take("busy", NOW)


def test_deletes_a_bucket_that_is_full_again() -> None:
    """A refill is enough."""
    buckets = Buckets(Rate(1, 1))
    buckets.try_take("a", NOW)
    short = buckets.refill("a", NOW), len(buckets)
    full = buckets.refill("a", Millis(NOW + 1000)), len(buckets)

    assert ((1000, 1), (0, 0)) == (short, full)


@pytest.mark.parametrize("back", [1, 3_600_000])
def test_a_clock_that_steps_back_is_not_waited_for(back: int) -> None:
    """One second brings one item, also in the time that has been before; a refill alone is enough to notice."""
    buckets = Buckets(Rate(1, 1))
    buckets.try_take("a", NOW)
    stepped = Millis(NOW - back)

    assert 1000 == buckets.refill("a", stepped)
    assert buckets.refill("a", Millis(stepped + 999)) > 0
    assert buckets.try_take("a", Millis(stepped + 1000))

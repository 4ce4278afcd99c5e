"""Buckets by name: each has its own, few are remembered, and forgetting one gives nothing away that was short."""

from __future__ import annotations

import pytest

from tokenauthority.domain.caller import Rate
from tokenauthority.domain.times import Millis
from tokenauthority.interceptors.buckets import Buckets


NOW = Millis(1_700_000_000_000)


def test_each_name_has_its_own() -> None:
    """What one takes is not missing to another."""
    buckets = Buckets(Rate(1, 2))

    assert [True, True, False, True] == [buckets.take(name, NOW) for name in ("a", "a", "a", "b")]
    assert [False, True, True] == [buckets.has(name, NOW) for name in ("a", "b", "c")]


def test_looking_takes_nothing() -> None:
    """However often."""
    buckets = Buckets(Rate(1, 1))

    assert all(buckets.has("a", NOW) for _ in range(10))
    assert buckets.take("a", NOW)


def test_remembers_so_many_and_those_that_are_used() -> None:
    """The least recently used goes first, so that who keeps asking stays short."""
    buckets = Buckets(Rate(0.001, 1), size=100)
    for number in range(1000):
        buckets.take("busy", NOW)
        buckets.take(f"other {number}", NOW)

    assert 100 == len(buckets)
    assert not buckets.take("busy", NOW)


def test_forgets_what_is_full_again() -> None:
    """A look is enough."""
    buckets = Buckets(Rate(1, 1))
    buckets.take("a", NOW)
    short = buckets.wait("a", NOW), len(buckets)
    full = buckets.wait("a", Millis(NOW + 1000)), len(buckets)

    assert ((1000, 1), (0, 0)) == (short, full)


@pytest.mark.parametrize("back", [1, 3_600_000])
def test_a_clock_that_steps_back_is_not_waited_for(back: int) -> None:
    """One second brings one item, also in the time that has been before; looking alone is enough to notice."""
    buckets = Buckets(Rate(1, 1))
    buckets.take("a", NOW)
    stepped = Millis(NOW - back)

    assert 1000 == buckets.wait("a", stepped)
    assert not buckets.has("a", Millis(stepped + 999))
    assert buckets.take("a", Millis(stepped + 1000))

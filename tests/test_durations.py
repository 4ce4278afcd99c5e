"""Durations are counted in buckets that a Prometheus histogram can show."""

from __future__ import annotations

from tokenauthority.durations import Durations


def test_each_bucket_has_what_took_at_most_so_long() -> None:
    """A duration of a bound is below the bound, and the last bucket has all."""
    durations = Durations()
    for seconds in (0.0, 0.001, 0.002, 60.0):
        durations.add(seconds)
    buckets = dict(durations.buckets)

    assert [1, 2, 3, 3, 4] == [buckets[bound] for bound in ("0.0005", "0.001", "0.0025", "10", "+Inf")]
    assert 60.003 == round(durations.seconds, 3)

"""Moments in milliseconds and seconds become each other, and text for a person."""

from __future__ import annotations

import pytest

from tokenauthority.domain.times import Millis, Seconds, as_text, in_millis, whole_seconds


@pytest.mark.parametrize(("millis", "seconds"), [(0, 0), (999, 0), (1000, 1), (1_764_000_000_999, 1_764_000_000)])
def test_a_moment_is_cut_off_to_its_second(millis: int, seconds: int) -> None:
    """Never rounded up: a token must not be issued in the future."""
    assert seconds == whole_seconds(Millis(millis))
    assert millis // 1000 * 1000 == in_millis(whole_seconds(Millis(millis)))


def test_a_person_reads_rfc_3339_in_utc() -> None:
    """Whatever the time zone of the machine."""
    assert "2026-11-24T15:08:27Z" == as_text(Seconds(1_795_532_907))

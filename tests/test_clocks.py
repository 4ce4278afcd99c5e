"""The clock of what has passed counts also while the machine sleeps."""

from __future__ import annotations

import sys
import time

import pytest

from tokenauthority.clocks import monotonic


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such clock")
def test_counts_while_the_machine_sleeps() -> None:
    """It is the clock that Linux counts since the boot, and not the one that stands still in a suspend."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    now = monotonic()

    assert before <= now <= time.clock_gettime(time.CLOCK_BOOTTIME)
    assert now <= monotonic()

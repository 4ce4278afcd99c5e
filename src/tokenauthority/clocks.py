"""Count seconds that no step of the wall clock and no sleep of the machine changes."""

from __future__ import annotations

import time


def monotonic() -> float:
    """Return seconds that never run backwards, and that count while the process or the machine is suspended."""
    # The clock of time.monotonic stands still while a machine sleeps: cached data would look fresh when it wakes.
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()

"""CPU time in nanoseconds, as the kernel counts it: of another process with all its threads, or of this thread."""

from __future__ import annotations

import time

from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from collections.abc import Callable


_SCHEDULER: Final = 2


def of_process(pid: int) -> int:
    """What the process has used so far, its ended threads included.

    This is the clock of clock_getcpuclockid(3), which Python names for threads only. It counts in nanoseconds where
    /proc/PID/stat counts in hundredths of a second.

    Raises:
        OSError: there is no such process, or this is not Linux.
    """
    return time.clock_gettime_ns(~pid << 3 | _SCHEDULER)


def per_call(work: Callable[[], object], calls: int) -> float:
    """Microseconds that one call of *work* takes in this thread, on average of *calls*."""
    started = time.thread_time_ns()
    for _ in range(calls):
        work()
    return (time.thread_time_ns() - started) / 1000 / calls

"""Keep the secrets of this process out of core dumps, and from other processes of its user."""

from __future__ import annotations

import contextlib
import ctypes
import sys

from typing import Final


_PR_SET_DUMPABLE: Final = 4
"""prctl(2). Not dumpable: no core, whoever collects it, and only root attaches or reads /proc/PID/mem."""


def disable_core_dumps() -> None:
    """Have the system write no memory of this process to a disk, whatever ends the process."""
    if sys.platform == "win32":
        return
    import resource

    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # Linux does not ask the limit where a program collects cores.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)

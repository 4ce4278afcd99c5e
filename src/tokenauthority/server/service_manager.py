"""Say to a service manager such as systemd when this process serves, that it is alive and that it stops (sd_notify(3)).

Without NOTIFY_SOCKET in the environment nothing is said.
"""

from __future__ import annotations

import os
import socket

from typing import Final

import structlog

from tokenauthority.server.background import BackgroundTask


READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
_ALIVE: Final = "WATCHDOG=1"
_TIMEOUT: Final = 1.0
"""Seconds for a service manager to take a message: its queue may be full."""


def notify(state: str) -> None:
    """Send *state*. A failure is logged and changes nothing else."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(_TIMEOUT)
            # An abstract socket begins with a null character, which no variable can hold.
            sender.sendto(state.encode(), "\0" + path[1:] if path.startswith("@") else path)
    except OSError as error:
        logger = structlog.stdlib.get_logger(__name__)
        logger.warning("service_manager.not_notified", state=state, cause=str(error))


def watchdog_tasks() -> list[BackgroundTask]:
    """Return what says that the event loop turns, twice as often as the service manager asks; nothing if it does not.

    The service manager starts a process again that does not say so.
    """
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    # Of "0" there would be no pause at all.
    if not microseconds.strip("0").isdecimal() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return []
    return [BackgroundTask(name="watchdog", work=_show_life, interval=int(microseconds) / 2_000_000)]


async def _show_life() -> None:
    notify(_ALIVE)

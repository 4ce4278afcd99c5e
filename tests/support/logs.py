"""Capture what is logged in this process, but for the authority that the tests of the servicers share."""

from __future__ import annotations

import threading

from contextlib import AbstractContextManager
from typing import Final

import structlog
import structlog.testing

from structlog.typing import EventDict, WrappedLogger


SHARED: Final = "shared authority"
"""The thread of an authority that outlives the tests that use it: it may log at any moment, in any test."""


def capture_logs() -> AbstractContextManager[list[EventDict]]:
    """Capture the events that are logged while the block runs, on every thread but that of SHARED."""
    return structlog.testing.capture_logs(processors=[_drop_shared])  # noqa: TID251 - here it leaves that out


def _drop_shared(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    del logger, method
    if threading.current_thread().name == SHARED:
        raise structlog.DropEvent
    return event

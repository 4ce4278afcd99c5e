"""Build what receives the messages of RPCs, with the bounds of their number, their bytes and their time."""

from __future__ import annotations

from typing import Final

from tokenauthority.config.settings import Settings
from tokenauthority.contract import MAX_REQUEST_BYTES, METHODS
from tokenauthority.interceptors.admission import Admission, PlacesInterceptor
from tokenauthority.interceptors.authorization import HEALTH_METHODS, PUBLIC, REFLECTION_METHODS
from tokenauthority.interceptors.call import Interceptor
from tokenauthority.interceptors.changes import ChangesInterceptor
from tokenauthority.interceptors.message_memory import MessageMemoryInterceptor
from tokenauthority.interceptors.read_pool import ReadPool
from tokenauthority.interceptors.receiving import ReceivingInterceptor


_CALLERS_PATIENCE: Final = 10.0
"""Seconds for a caller's message to come."""

_CALLERS_CONTENDED: Final = 1.0
"""The same while other callers wait; see `ReadPool`."""

_PUBLIC_PATIENCE: Final = 2.0
_PUBLIC_CONTENDED: Final = 0.1
_MAX_PUBLIC_REQUEST: Final = 1024
"""Seconds for the message of a health check or of reflection, the same while others wait, and its bytes."""

PUBLIC_READS: Final = 4
MAX_PUBLIC_WAITING: Final = 256
"""Such messages that are received at once, and those that wait for it."""

MAX_PENDING: Final = 4096
"""RPCs of a listener that have come and that nothing has looked at yet. Beyond it gRPC cancels any, those of callers
too."""


def message_interceptors(settings: Settings, admission: Admission) -> tuple[Interceptor, ...]:
    """Return the steps between authorization and the servicers.

    They receive the message, count its memory, take a place, and let changes of one caller wait for each other.
    """
    limits = settings.limits
    sizes = {path: method.max_request_bytes for path, method in METHODS.items()}
    public = HEALTH_METHODS | (REFLECTION_METHODS if settings.listen.reflection else frozenset())
    receiving = ReceivingInterceptor(
        {**sizes, **dict.fromkeys(public, _MAX_PUBLIC_REQUEST)},
        callers=ReadPool(
            limits.max_receive_memory // MAX_REQUEST_BYTES,
            limits.max_concurrent_rpcs,
            patience=min(_CALLERS_PATIENCE, limits.max_deadline),
            contended=_CALLERS_CONTENDED,
        ),
        strangers=ReadPool(
            PUBLIC_READS,
            MAX_PUBLIC_WAITING,
            patience=min(_PUBLIC_PATIENCE, limits.max_deadline),
            contended=_PUBLIC_CONTENDED,
        ),
    )
    items = {path: method.max_items for path, method in METHODS.items() if method.max_items}
    memory = MessageMemoryInterceptor(limits.max_message_memory, items)
    changing = {path for path, method in METHODS.items() if method.has_side_effects}
    changes = ChangesInterceptor(changing, limits.max_concurrent_rpcs)
    return receiving, memory, PlacesInterceptor(admission, public=PUBLIC), changes

"""Keep garbage collections short: they do not look again at what lives for long.

A collection stops the server for as long as it looks at objects that could be part of a cycle. Those of the libraries
alone take a tenth of a second, and caches that are filled anew are all new objects. So new objects are looked at often,
and what has lived for longer is frozen: it is freed when nothing refers to it, as ever, but is not looked at.
"""

from __future__ import annotations

import gc

from typing import Final

from tokenauthority.server.background import BackgroundTask


_INTERVAL: Final = 0.25
"""Seconds between two collections: what 500 RPCs leave takes 2 ms. grpcio leaves a cycle of seven objects for each RPC
(`_find_method_handler` in grpc/_cython/_cygrpc/aio/server.pyx.pxi of 1.85)."""

_COUNT_INTERVAL: Final = 1.0
"""Seconds between two counts of old objects: a count takes a millisecond, also where nobody calls."""

_MAX_OLD: Final = 20_000
"""Objects that are not new and not frozen: together they take a few milliseconds."""

_THRESHOLDS: Final = (10_000, 10, 10)
"""For Python's own collections, of which only a burst of new objects between two of ours causes any."""


def freeze_start() -> None:
    """Freeze what there is now: what the process has imported and built."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


async def collect_new() -> None:
    """Free the cycles of new objects."""
    gc.collect(1)


async def freeze_old() -> None:
    """Free the cycles of old objects too, and freeze what remains, if they are many."""
    if len(gc.get_objects(generation=2)) > _MAX_OLD:
        gc.collect()
        gc.freeze()


def garbage_tasks() -> tuple[BackgroundTask, ...]:
    """Return what collects garbage in a server that has a process of its own."""
    return (
        BackgroundTask(name="garbage", work=collect_new, interval=_INTERVAL, delayed=True),
        BackgroundTask(name="old-objects", work=freeze_old, interval=_COUNT_INTERVAL, delayed=True),
    )

"""Export finished traces, and the metrics, in turns: bounded in memory, and never in the way of a call."""

from __future__ import annotations

import asyncio
import time

from collections import deque
from functools import partial
from typing import Final

from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from prometheus_client import CollectorRegistry, Counter

from tokenauthority.telemetry.call_trace import MAX_SPANS, CallTrace
from tokenauthority.telemetry.collector import Collector, CollectorError
from tokenauthority.telemetry.otlp import (
    METRICS_PATH,
    TRACES_PATH,
    encode_metrics,
    encode_traces,
    rejected_points,
    rejected_spans,
)
from tokenauthority.threads import BlockingPool, PoolError


_BATCH: Final = 512
"""Spans of one export, more or less one call; when so many wait, the next turn begins at once."""


class TraceExport:
    """Sends traces in the order in which their calls ended. What finds no place is dropped and counted."""

    def __init__(
        self, collector: Collector, pool: BlockingPool, resource: Resource, registry: CollectorRegistry
    ) -> None:
        self._collector = collector
        self._pool = pool
        self._resource = resource
        self._waiting: deque[CallTrace] = deque()
        self._sending: list[CallTrace] = []
        self._spans = 0
        self.wake: Final = asyncio.Event()
        self._dropped = Counter(
            "tokenauthority_telemetry_dropped_spans",
            "Only with traces: spans that were not exported, as the collector was away for too long or refused them.",
            registry=registry,
        )

    @property
    def waiting(self) -> int:
        """Spans that are not exported yet."""
        return self._spans

    def add(self, trace: CallTrace, *, known: bool) -> None:
        """Add the trace of a call that has ended; *known* says whether its caller has proved itself."""
        size, before = _size(trace), self._spans
        if before + size > (MAX_SPANS if known else MAX_SPANS // 2):
            self._dropped.inc(size)
            return
        self._waiting.append(trace)
        self._spans += size
        # Once, and not at each call while the collector is away.
        if before < _BATCH <= self._spans:
            self.wake.set()

    async def turn(self) -> None:
        """Send all that waits.

        Raises:
            CollectorError: the collector has not accepted a batch. One that may be sent again begins the next turn.
        DecodeError: its answer is not OTLP.
        """
        while self._waiting or self._sending:
            size = sum(map(_size, self._sending))
            while self._waiting and size < _BATCH:
                self._sending.append(self._waiting.popleft())
                size += _size(self._sending[-1])
            await self._send_batch()

    async def close(self) -> None:
        """Close the connection."""
        await self._collector.close()

    async def _send_batch(self) -> None:
        try:
            request = await self._pool.run(partial(encode_traces, tuple(self._sending), self._resource))
            rejected, why = rejected_spans(await self._collector.send(TRACES_PATH, request))
        except Exception as error:
            # What would fail again, such as a batch that cannot be written, must not hold up all that comes after it.
            if not (isinstance(error, PoolError) or (isinstance(error, CollectorError) and error.passing)):
                self._dropped.inc(self._end_batch())
            raise
        self._dropped.inc(min(max(rejected, 0), self._end_batch()))
        _raise_if_rejected(rejected, self._collector.shown(why))

    def _end_batch(self) -> int:
        """Let the batch go; return how many spans it had."""
        size = sum(map(_size, self._sending))
        self._sending.clear()
        self._spans -= size
        return size


class MetricsExport:
    """Sends what `/metrics` shows. What the collector does not accept is not sent again: the next turn has newer."""

    def __init__(
        self, collector: Collector, pool: BlockingPool, resource: Resource, registry: CollectorRegistry
    ) -> None:
        self._collector = collector
        self._pool = pool
        self._resource = resource
        self._registry = registry
        self._start = time.time_ns()

    async def turn(self) -> None:
        """Collect and send the metrics; raise CollectorError if the collector has not accepted all."""
        # On the event loop, whose numbers they are; the rest in a thread.
        families, now = list(self._registry.collect()), time.time_ns()
        # A collector may drop what ends before it starts: the clock may have been set back.
        self._start = min(self._start, now)
        work = partial(encode_metrics, families, self._resource, start=self._start, now=now)
        rejected, why = rejected_points(await self._collector.send(METRICS_PATH, await self._pool.run(work)))
        _raise_if_rejected(rejected, self._collector.shown(why))

    async def close(self) -> None:
        """Close the connection."""
        await self._collector.close()


def _size(trace: CallTrace) -> int:
    return 1 + len(trace.operations)


def _raise_if_rejected(count: int, why: str) -> None:
    if count > 0:
        raise CollectorError(f"{count} were rejected: {why}", passing=False)

"""Count every RPC and how long it took, by method, status and transport."""

from __future__ import annotations

import asyncio

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from itertools import accumulate
from time import perf_counter
from typing import Final

import grpc

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tokenauthority.interceptors.call import Call, Proceed
from tokenauthority.interceptors.status import StatusError


_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
"""Upper bounds in seconds."""


class _Durations:
    """How long the RPCs of one method took."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.counts = [0] * (len(_BUCKETS) + 1)


class MetricsInterceptor(Collector):
    """Plain numbers, which become Prometheus metrics when these are read, not at every RPC.

    Methods that are not among *methods* share the label `unknown`.
    """

    def __init__(self, registry: CollectorRegistry, methods: Collection[str]) -> None:
        self._known = frozenset(methods)
        self._open = 0
        self._calls: Counter[tuple[str, str, str]] = Counter()
        self._durations: defaultdict[str, _Durations] = defaultdict(_Durations)
        registry.register(self)

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Count the call, however it ends."""
        started = perf_counter()
        code = "OK"
        self._open += 1
        try:
            return await proceed(call)
        except StatusError as error:
            code = error.code.name
            raise
        except grpc.aio.AbortError:
            # gRPC's own services, such as health, end a call on its context.
            code = call.context.code().name
            raise
        except asyncio.CancelledError:
            # The audit step has found out whether the client left or the deadline passed.
            code = call.record.code or grpc.StatusCode.CANCELLED.name
            raise
        finally:
            self._open -= 1
            method = call.method if call.method in self._known else "unknown"
            self._count(method, code, call.transport or "grpc", perf_counter() - started)

    def _count(self, method: str, code: str, transport: str, seconds: float) -> None:
        self._calls[method, code, transport] += 1
        durations = self._durations[method]
        durations.seconds += seconds
        durations.counts[bisect_left(_BUCKETS, seconds)] += 1

    def collect(self) -> Iterator[Metric]:
        """Return the numbers as Prometheus' metrics."""
        calls = CounterMetricFamily(
            "tokenauthority_rpcs",
            "RPCs that ended, by method, status and transport.",
            labels=("method", "code", "transport"),
        )
        for labels, count in self._calls.items():
            calls.add_metric(labels, count)
        yield calls
        yield GaugeMetricFamily("tokenauthority_rpcs_in_flight", "RPCs being answered now.", self._open)
        took = HistogramMetricFamily("tokenauthority_rpc_seconds", "How long RPCs took, by method.", labels=("method",))
        bounds = (*map(str, _BUCKETS), "+Inf")
        for method, durations in self._durations.items():
            buckets = list(zip(bounds, accumulate(durations.counts), strict=True))
            took.add_metric((method,), buckets, durations.seconds)
        yield took

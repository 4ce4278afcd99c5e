"""Count every RPC and how long it took, by method, status and transport."""

from __future__ import annotations

import asyncio

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from time import perf_counter

import grpc

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tokenauthority.durations import Durations
from tokenauthority.interceptors.call import Call, Proceed
from tokenauthority.interceptors.status import StatusError


class MetricsInterceptor(Collector):
    """Plain numbers, which become Prometheus metrics when these are read, not at every RPC.

    Methods that are not among *methods* share the label `unknown`.
    """

    def __init__(self, registry: CollectorRegistry, methods: Collection[str]) -> None:
        self._known = frozenset(methods)
        self._open = 0
        self._calls: Counter[tuple[str, str, str]] = Counter()
        self._durations: defaultdict[str, Durations] = defaultdict(Durations)
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
        self._durations[method].add(seconds)

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
        for method, durations in self._durations.items():
            took.add_metric((method,), durations.buckets, durations.seconds)
        yield took

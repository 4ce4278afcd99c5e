"""Counts every RPC and how long it took, by method and status."""

from __future__ import annotations

import asyncio

from time import perf_counter
from typing import TYPE_CHECKING

import grpc

from prometheus_client import Counter, Gauge, Histogram

from tokenauthority.interceptors.status import StatusError


if TYPE_CHECKING:
    from collections.abc import Collection

    from prometheus_client import CollectorRegistry

    from tokenauthority.interceptors.chain import Call, Proceed


class MetricsInterceptor:
    """Prometheus counter, gauge and histogram. Methods that are not registered share the label `unknown`."""

    def __init__(self, registry: CollectorRegistry, methods: Collection[str]) -> None:
        self._known = frozenset(methods)
        self._calls = Counter(
            "tokenauthority_rpcs",
            "RPCs that ended, by method and status.",
            ("method", "code"),
            registry=registry,
        )
        self._open = Gauge("tokenauthority_rpcs_in_flight", "RPCs being answered now.", registry=registry)
        self._seconds = Histogram(
            "tokenauthority_rpc_seconds", "How long RPCs took, by method.", ("method",), registry=registry,
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
        )  # fmt: skip
        self._children: dict[tuple[str, str], Counter] = {}

    async def intercept(self, call: Call, proceed: Proceed) -> object:
        """Count the call, however it ends."""
        started = perf_counter()
        code = grpc.StatusCode.OK.name
        self._open.inc()
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
            # The audit step has told a client that left from a deadline that passed.
            code = call.record.code or grpc.StatusCode.CANCELLED.name
            raise
        finally:
            self._open.dec()
            self._count(call.method if call.method in self._known else "unknown", code, perf_counter() - started)

    def _count(self, method: str, code: str, seconds: float) -> None:
        child = self._children.get((method, code))
        if child is None:
            child = self._children[method, code] = self._calls.labels(method, code)
        child.inc()
        self._seconds.labels(method).observe(seconds)

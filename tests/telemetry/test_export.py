"""Traces are exported in batches and in their order; what finds no place is dropped, counted, and slows nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress

import grpc
import pytest

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from prometheus_client import CollectorRegistry, Counter, Gauge

from tests.support.collector import Collector as FakeCollector
from tests.support.collector import collecting
from tokenauthority.config.telemetry_settings import TelemetrySettings
from tokenauthority.telemetry.call_trace import MAX_SPANS, CallTrace, Operation
from tokenauthority.telemetry.collector import Collector, CollectorError
from tokenauthority.telemetry.export import MetricsExport, TraceExport
from tokenauthority.telemetry.otlp import server_resource
from tokenauthority.threads import BlockingPool, PoolError


@pytest.fixture
async def fake() -> AsyncIterator[FakeCollector]:
    """A collector."""
    with collecting() as collector:
        yield collector


@pytest.fixture
def registry() -> CollectorRegistry:
    """Where the dropped spans are counted."""
    return CollectorRegistry()


@pytest.fixture
async def export(fake: FakeCollector, registry: CollectorRegistry) -> AsyncIterator[TraceExport]:
    """An export to it."""
    pool = BlockingPool("telemetry")
    collector = Collector(TelemetrySettings(endpoint=f"http://{fake.address}", timeout=60), pool)
    export = TraceExport(collector, pool, server_resource(), registry)
    yield export
    await export.close()


def reaching(fake: FakeCollector) -> Collector:
    """What reaches it."""
    return Collector(TelemetrySettings(endpoint=f"http://{fake.address}", timeout=60), BlockingPool("telemetry"))


def ended(name: str = "", operations: int = 0) -> CallTrace:
    """The trace of a call that is over."""
    trace = CallTrace(name=name, sampled=True)
    trace.operations = [Operation("store read", 1, 2, "")] * operations
    trace.finish()
    return trace


def dropped(registry: CollectorRegistry) -> float:
    """How many spans `/metrics` says were dropped."""
    return registry.get_sample_value("tokenauthority_telemetry_dropped_spans_total") or 0.0


async def test_sends_all_that_waits_in_order(fake: FakeCollector, export: TraceExport) -> None:
    """In several requests, each of which a collector accepts."""
    for number in range(1000):
        export.add(ended(str(number), operations=1), known=True)
    await export.turn()

    assert [str(number) for number in range(1000)] == [span.name for span in fake.calls()]
    assert len(fake.traces) == 4
    assert max(map(len, fake.traces)) < 4 * 2**20
    assert 0 == export.waiting


async def test_an_empty_turn_sends_nothing(fake: FakeCollector, export: TraceExport) -> None:
    """An idle server is silent."""
    await export.turn()

    assert [] == fake.headers


async def test_asks_for_a_turn_when_many_wait(export: TraceExport) -> None:
    """Once: while the collector is away, a call must not cause an attempt."""
    for _ in range(511):
        export.add(ended(), known=True)
    assert not export.wake.is_set()
    export.add(ended(operations=10), known=True)
    assert export.wake.is_set()
    export.wake.clear()
    export.add(ended(), known=True)
    assert not export.wake.is_set()


async def test_what_waits_is_bounded(export: TraceExport, registry: CollectorRegistry) -> None:
    """What finds no place is dropped whole and counted."""
    for _ in range(MAX_SPANS // 4):
        export.add(ended(operations=3), known=True)
    export.add(ended(operations=4), known=True)
    export.add(ended(), known=True)

    assert MAX_SPANS == export.waiting
    assert 5 + 1 == dropped(registry)


async def test_strangers_leave_half_of_the_places_to_callers(export: TraceExport, registry: CollectorRegistry) -> None:
    """A flood of calls without a valid credential hides no call of a caller."""
    for _ in range(MAX_SPANS):
        export.add(ended(), known=False)
    assert MAX_SPANS // 2 == dropped(registry) == export.waiting
    export.add(ended(), known=True)

    assert MAX_SPANS // 2 + 1 == export.waiting
    assert MAX_SPANS // 2 == dropped(registry)


async def test_sends_again_what_a_collector_could_not_take(
    fake: FakeCollector, export: TraceExport, registry: CollectorRegistry
) -> None:
    """First, and with the same ids; nothing is lost by an outage that is short enough."""
    export.add(ended("first"), known=True)
    fake.refusal = grpc.StatusCode.UNAVAILABLE
    with pytest.raises(CollectorError, match="UNAVAILABLE: as the test says"):
        await export.turn()
    export.add(ended("second"), known=True)
    fake.refusal = None
    await export.turn()

    assert ["first", "second"] == [span.name for span in fake.calls()]
    assert (0, 0) == (export.waiting, dropped(registry))


async def test_drops_what_a_collector_refuses_for_good(
    fake: FakeCollector, export: TraceExport, registry: CollectorRegistry
) -> None:
    """To send it again would be no help, and would hold up all that comes after it."""
    export.add(ended("refused", operations=2), known=True)
    fake.refusal = grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(CollectorError, match="INVALID_ARGUMENT"):
        await export.turn()
    assert (0, 3) == (export.waiting, dropped(registry))
    fake.refusal = None
    export.add(ended("next"), known=True)
    await export.turn()

    assert ["next"] == [span.name for span in fake.calls()]


LONG_ANSWER = ExportTraceServiceResponse(partial_success=ExportTracePartialSuccess(error_message="x" * 100_000))


@pytest.mark.parametrize("answer", [b"\xff", LONG_ANSWER.SerializeToString()], ids=["not OTLP", "too long"])
async def test_sends_nothing_again_that_was_answered(
    fake: FakeCollector, export: TraceExport, registry: CollectorRegistry, answer: bytes
) -> None:
    """The collector may have accepted it, and would get the same batch for ever."""
    fake.answer = answer
    export.add(ended("first", operations=2), known=True)
    with pytest.raises((CollectorError, DecodeError)):
        await export.turn()
    assert (0, 3) == (export.waiting, dropped(registry))
    fake.answer = None
    export.add(ended("second"), known=True)
    await export.turn()

    assert ["first", "second"] == [span.name for span in fake.calls()]


async def test_drops_what_cannot_be_written(
    fake: FakeCollector, export: TraceExport, registry: CollectorRegistry
) -> None:
    """It would hold up all that comes after it."""
    export.add(ended("\ud800"), known=True)
    with pytest.raises(UnicodeEncodeError):
        await export.turn()
    assert (0, 1) == (export.waiting, dropped(registry))
    export.add(ended("next"), known=True)
    await export.turn()

    assert ["next"] == [span.name for span in fake.calls()]


async def test_keeps_what_no_thread_can_write_yet(fake: FakeCollector, registry: CollectorRegistry) -> None:
    """The system may allow a thread later."""
    pool = BlockingPool("telemetry")
    collector = Collector(TelemetrySettings(endpoint=f"http://{fake.address}"), pool)
    export = TraceExport(collector, pool, server_resource(), registry)
    export.add(ended(), known=True)
    await pool.close()
    with pytest.raises(PoolError):
        await export.turn()

    assert (1, 0) == (export.waiting, dropped(registry))


@pytest.mark.parametrize(("rejected", "counted"), [(-1, 0), (2**62, 3)])
async def test_no_number_of_a_collector_spoils_the_count(
    fake: FakeCollector, export: TraceExport, registry: CollectorRegistry, rejected: int, counted: int
) -> None:
    """A batch loses no fewer spans than none, and no more than it has."""
    fake.rejected = rejected
    export.add(ended(operations=2), known=True)
    with suppress(CollectorError):
        await export.turn()

    assert (0, counted) == (export.waiting, dropped(registry))


async def test_counts_what_a_collector_accepts_in_part(
    fake: FakeCollector, export: TraceExport, registry: CollectorRegistry
) -> None:
    """It is not sent again, and the operator hears of it."""
    fake.rejected = 2
    export.add(ended(operations=2), known=True)
    with pytest.raises(CollectorError, match="2 were rejected"):
        await export.turn()

    assert (0, 2) == (export.waiting, dropped(registry))


async def test_what_a_collector_says_of_a_part_is_one_line(
    fake: FakeCollector, export: TraceExport, registry: CollectorRegistry
) -> None:
    """The log shows it."""
    fake.rejected, fake.problem = 1, "one\ntwo"
    metrics = MetricsExport(reaching(fake), BlockingPool("telemetry"), server_resource(), registry)
    export.add(ended(), known=True)
    try:
        for turn in (export.turn, metrics.turn):
            with pytest.raises(CollectorError, match=r"^1 were rejected: one\\ntwo$"):
                await turn()
    finally:
        await metrics.close()


async def test_metrics_that_were_refused_are_not_sent_again(fake: FakeCollector) -> None:
    """The next turn has newer ones."""
    pool, registry = BlockingPool("telemetry"), CollectorRegistry()
    gauge = Gauge("age", "Age.", registry=registry)
    collector = Collector(TelemetrySettings(endpoint=f"http://{fake.address}", timeout=60), pool)
    export = MetricsExport(collector, pool, server_resource(), registry)
    try:
        fake.refusal = grpc.StatusCode.UNAVAILABLE
        with pytest.raises(CollectorError, match="UNAVAILABLE"):
            await export.turn()
        fake.refusal, fake.rejected = None, 1
        gauge.set(2)
        with pytest.raises(CollectorError, match="1 were rejected"):
            await export.turn()
        gauge.set(3)
        fake.rejected = 0
        await export.turn()
    finally:
        await export.close()

    assert 3.0 == fake.latest_metrics()["age"].gauge.data_points[0].as_double
    assert 2 == len(fake.metrics)


async def test_no_metric_ends_before_it_starts(fake: FakeCollector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after the clock was set back: a collector may drop such a point."""
    pool, registry = BlockingPool("telemetry"), CollectorRegistry()
    Counter("calls", "Calls.", registry=registry)
    collector = Collector(TelemetrySettings(endpoint=f"http://{fake.address}", timeout=60), pool)
    export = MetricsExport(collector, pool, server_resource(), registry)
    monkeypatch.setattr("time.time_ns", lambda: 1_500_000_000 * 10**9)
    try:
        await export.turn()
    finally:
        await export.close()

    [point] = fake.latest_metrics()["calls_total"].sum.data_points
    assert 1_500_000_000 * 10**9 == point.time_unix_nano >= point.start_time_unix_nano

"""Traces and metrics are written as OTLP has them: whatever reads OTLP reads the same facts."""

from __future__ import annotations

import math
import os
import socket

import pytest

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE, Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tests.support.collector import attributes_of
from tokenauthority import __version__
from tokenauthority.telemetry.call_trace import CallTrace, Operation
from tokenauthority.telemetry.otlp import encode_metrics, encode_traces, server_resource
from tokenauthority.telemetry.trace_context import TraceContext


SECOND = 1_000_000_000
CONTEXT = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "a=1", sampled=True)


def spans_of(trace: CallTrace) -> list[Span]:
    """What a collector reads."""
    request = ExportTraceServiceRequest.FromString(encode_traces([trace], server_resource()))
    return list(request.resource_spans[0].scope_spans[0].spans)


def metrics_of(registry: CollectorRegistry) -> dict[str, Metric]:
    """What a collector reads, of times 5 and 7."""
    encoded = encode_metrics(registry.collect(), server_resource(), start=5, now=7)
    request = ExportMetricsServiceRequest.FromString(encoded)
    return {metric.name: metric for metric in request.resource_metrics[0].scope_metrics[0].metrics}


def a_trace() -> CallTrace:
    """A call of a trace that another program began."""
    trace = CallTrace(span_id="f" * 16, epoch=1000 * SECOND, start=1 * SECOND, end=4 * SECOND, name="x.Y/Z")
    trace.follow(CONTEXT)
    trace.attributes = {"rpc.method": "x.Y/Z"}
    trace.operations = [
        Operation("store read", 2 * SECOND, 3 * SECOND, ""),
        Operation("sign T1", 3 * SECOND, 4 * SECOND, "LookupError", count=5),
    ]
    return trace


def test_a_call_continues_the_trace_of_its_caller() -> None:
    """Ids, times, kind, state and the flags that say that the parent is elsewhere."""
    call, *_ = spans_of(a_trace())

    assert (CONTEXT.trace_id, CONTEXT.parent_id, "a=1") == (
        call.trace_id.hex(),
        call.parent_span_id.hex(),
        call.trace_state,
    )
    assert ("f" * 16, "x.Y/Z", Span.SPAN_KIND_SERVER) == (call.span_id.hex(), call.name, call.kind)
    assert (1001 * SECOND, 1004 * SECOND) == (call.start_time_unix_nano, call.end_time_unix_nano)
    assert 0x301 == call.flags
    assert {"rpc.method": "x.Y/Z"} == attributes_of(call.attributes)
    assert Status.STATUS_CODE_UNSET == call.status.code


def test_operations_are_below_their_call() -> None:
    """Each has an id of its own, its times, its error and how many it stands for."""
    call, read, sign = spans_of(a_trace())

    assert [call.span_id] * 2 == [read.parent_span_id, sign.parent_span_id]
    assert [call.trace_id] * 2 == [read.trace_id, sign.trace_id]
    assert [("a=1", 0x101)] * 2 == [(span.trace_state, span.flags) for span in (read, sign)]
    assert 3 == len({call.span_id, read.span_id, sign.span_id})
    assert (1002 * SECOND, 1003 * SECOND) == (read.start_time_unix_nano, read.end_time_unix_nano)
    assert ({}, Status.STATUS_CODE_UNSET) == (attributes_of(read.attributes), read.status.code)
    assert {"error.type": "LookupError", "tokenauthority.count": 5} == attributes_of(sign.attributes)
    assert Status.STATUS_CODE_ERROR == sign.status.code


def test_a_batch_that_is_sent_again_has_the_same_ids() -> None:
    """The collector may have received it already."""
    trace = a_trace()

    assert [span.span_id for span in spans_of(trace)] == [span.span_id for span in spans_of(trace)]


def test_a_new_trace_has_no_parent() -> None:
    """Its ids are random, and as long as W3C has them."""
    one, other = CallTrace(), CallTrace()
    [span] = spans_of(one)

    assert (16, 8, b"", 0x101) == (len(span.trace_id), len(span.span_id), span.parent_span_id, span.flags)
    assert one.trace_id != other.trace_id


def test_the_resource_names_the_process() -> None:
    """A collector tells servers, and the runs of one server, apart."""
    one, other = (attributes_of(server_resource().attributes) for _ in range(2))

    assert ("tokenauthority", __version__) == (one["service.name"], one["service.version"])
    assert socket.gethostname() == one["host.name"] == other["host.name"]
    assert one["service.instance.id"] != other["service.instance.id"]


def test_any_name_of_a_host_can_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps no server from its start."""
    monkeypatch.setattr("socket.gethostname", lambda: os.fsdecode(b"host\xff"))

    assert "host\ufffd" == attributes_of(server_resource().attributes)["host.name"]


def test_a_counter_is_a_sum_since_the_start() -> None:
    """By the name that `/metrics` has."""
    registry = CollectorRegistry()
    counter = Counter("calls", "Calls.", ("code",), registry=registry)
    counter.labels("OK").inc(3)
    metric = metrics_of(registry)["calls_total"]
    [point] = metric.sum.data_points

    assert ("Calls.", True) == (metric.description, metric.sum.is_monotonic)
    assert AGGREGATION_TEMPORALITY_CUMULATIVE == metric.sum.aggregation_temporality
    assert (3.0, {"code": "OK"}, 5, 7) == (
        point.as_double,
        attributes_of(point.attributes),
        point.start_time_unix_nano,
        point.time_unix_nano,
    )
    assert {"calls_total"} == metrics_of(registry).keys()


def test_a_gauge_is_a_gauge() -> None:
    """Also of a value that is no number."""
    registry = CollectorRegistry()
    Gauge("age", "Age.", registry=registry).set(math.nan)
    [point] = metrics_of(registry)["age"].gauge.data_points

    assert math.isnan(point.as_double)
    assert (0, 7) == (point.start_time_unix_nano, point.time_unix_nano)


def test_a_histogram_has_the_counts_of_each_bucket() -> None:
    """Prometheus adds the buckets up; OTLP does not."""
    registry = CollectorRegistry()
    took = Histogram("took", "Took.", ("method",), buckets=(1, 2, 4), registry=registry)
    for value in (0.5, 1.5, 1.75, 9):
        took.labels("a").observe(value)
    took.labels("b").observe(3)
    a, b = metrics_of(registry)["took"].histogram.data_points

    assert ([1, 2, 4], [1, 2, 0, 1]) == (list(a.explicit_bounds), list(a.bucket_counts))
    assert (4, 12.75, {"method": "a"}) == (a.count, a.sum, attributes_of(a.attributes))
    assert ([0, 0, 1, 0], 1, {"method": "b"}) == (list(b.bucket_counts), b.count, attributes_of(b.attributes))


def test_a_metric_without_a_value_is_left_out() -> None:
    """A collector may refuse one without points."""
    registry = CollectorRegistry()
    Histogram("took", "Took.", ("method",), registry=registry)
    Counter("calls", "Calls.", ("code",), registry=registry)

    assert {} == metrics_of(registry)

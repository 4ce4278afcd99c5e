"""Write traces of calls and Prometheus metrics as OTLP messages."""

from __future__ import annotations

import math
import os
import secrets
import socket

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

import prometheus_client.metrics_core

from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_service
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as metrics
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2 as traces
from prometheus_client.samples import Sample

from tokenauthority import __version__
from tokenauthority.telemetry.call_trace import CallTrace, Operation


TRACES_PATH: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
METRICS_PATH: Final = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"

_SCOPE: Final = InstrumentationScope(name="tokenauthority", version=__version__)
_CUMULATIVE: Final = metrics.AGGREGATION_TEMPORALITY_CUMULATIVE
_SAMPLED: Final = 0x01


def server_resource() -> Resource:
    """Return what says which process the telemetry is of; the id of the process is new at each start."""
    facts = {
        "service.name": "tokenauthority",
        "service.version": __version__,
        "service.instance.id": secrets.token_hex(16),
        # Linux takes any bytes as a name, and OTLP takes UTF-8.
        "host.name": os.fsencode(socket.gethostname()).decode(errors="replace"),
    }
    return Resource(attributes=_attributes(facts))


def encode_traces(calls: Iterable[CallTrace], resource: Resource) -> bytes:
    """Return the request that exports the spans of *calls*: one for each call, and one for each operation below it."""
    spans = [span for call in calls for span in _spans(call)]
    scope = traces.ScopeSpans(scope=_SCOPE, spans=spans)
    request = trace_service.ExportTraceServiceRequest(
        resource_spans=[traces.ResourceSpans(resource=resource, scope_spans=[scope])]
    )
    return request.SerializeToString()


def encode_metrics(
    families: Iterable[prometheus_client.metrics_core.Metric], resource: Resource, *, start: int, now: int
) -> bytes:
    """Return the request that exports *families*, with their names on `/metrics`; times in nanoseconds of Unix time."""
    found = [metric for family in families for metric in _metrics(family, start, now)]
    scope = metrics.ScopeMetrics(scope=_SCOPE, metrics=found)
    request = metrics_service.ExportMetricsServiceRequest(
        resource_metrics=[metrics.ResourceMetrics(resource=resource, scope_metrics=[scope])]
    )
    return request.SerializeToString()


def rejected_spans(answer: bytes) -> tuple[int, str]:
    """Return how many spans the collector has not accepted, and why."""
    partial = trace_service.ExportTraceServiceResponse.FromString(answer).partial_success
    return partial.rejected_spans, partial.error_message


def rejected_points(answer: bytes) -> tuple[int, str]:
    """Return how many data points the collector has not accepted, and why."""
    partial = metrics_service.ExportMetricsServiceResponse.FromString(answer).partial_success
    return partial.rejected_data_points, partial.error_message


def _spans(call: CallTrace) -> Iterator[traces.Span]:
    trace_id, span_id, context = bytes.fromhex(call.trace_id), bytes.fromhex(call.span_id), call.context
    remote = 0 if context is None else traces.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
    has_remote = _SAMPLED | traces.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
    state = "" if context is None else context.state
    yield traces.Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=b"" if context is None else bytes.fromhex(context.parent_id),
        trace_state=state,
        flags=has_remote | remote,
        name=call.name,
        kind=traces.Span.SPAN_KIND_SERVER,
        start_time_unix_nano=call.epoch + call.start,
        end_time_unix_nano=call.epoch + call.end,
        attributes=_attributes(call.attributes),
        status=_status(call.error),
    )
    for number, operation in enumerate(call.operations, 1):
        yield traces.Span(
            trace_id=trace_id,
            # The same at each attempt to send it.
            span_id=((int(call.span_id, 16) + number) % 2**64).to_bytes(8),
            parent_span_id=span_id,
            trace_state=state,
            flags=has_remote,
            name=operation.name,
            kind=traces.Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=call.epoch + operation.start,
            end_time_unix_nano=call.epoch + operation.end,
            attributes=_attributes(_facts(operation)),
            status=_status(operation.error),
        )


def _facts(operation: Operation) -> Mapping[str, str | int]:
    facts: dict[str, str | int] = {"error.type": operation.error} if operation.error else {}
    return facts | ({"tokenauthority.count": operation.count} if operation.count > 1 else {})


def _status(error: str) -> traces.Status | None:
    return traces.Status(code=traces.Status.STATUS_CODE_ERROR) if error else None


def _metrics(family: prometheus_client.metrics_core.Metric, start: int, now: int) -> Iterator[metrics.Metric]:
    """Yield *family* under the names of its samples, which are those of `/metrics`."""
    if family.type == "histogram":
        points = list(_histogram_points(family.name, family.samples, start, now))
        histogram = metrics.Histogram(data_points=points, aggregation_temporality=_CUMULATIVE)
        if points:
            yield metrics.Metric(name=family.name, description=family.documentation, histogram=histogram)
        return
    by_name: defaultdict[str, list[metrics.NumberDataPoint]] = defaultdict(list)
    counter = family.type == "counter"
    for sample in family.samples:
        # When a counter was made says the start of each point.
        if not (counter and sample.name.endswith("_created")):
            by_name[sample.name].append(
                metrics.NumberDataPoint(
                    attributes=_attributes(sample.labels),
                    start_time_unix_nano=start if counter else 0,
                    time_unix_nano=now,
                    as_double=sample.value,
                )
            )
    for name, points_of_name in by_name.items():
        metric = metrics.Metric(name=name, description=family.documentation)
        if counter:
            metric.sum.CopyFrom(
                metrics.Sum(data_points=points_of_name, aggregation_temporality=_CUMULATIVE, is_monotonic=True)
            )
        else:
            metric.gauge.CopyFrom(metrics.Gauge(data_points=points_of_name))
        yield metric


def _histogram_points(
    name: str, samples: Sequence[Sample], start: int, now: int
) -> Iterator[metrics.HistogramDataPoint]:
    buckets: defaultdict[frozenset[tuple[str, str]], list[tuple[float, float]]] = defaultdict(list)
    sums = {frozenset(sample.labels.items()): sample.value for sample in samples if sample.name == f"{name}_sum"}
    for sample in samples:
        if sample.name == f"{name}_bucket":
            labels = dict(sample.labels)
            bound = float(labels.pop("le"))
            buckets[frozenset(labels.items())].append((bound, sample.value))
    for labelled, found in buckets.items():
        cumulative = [0.0, *(count for _, count in found)]
        yield metrics.HistogramDataPoint(
            attributes=_attributes(dict(sorted(labelled))),
            start_time_unix_nano=start,
            time_unix_nano=now,
            count=int(cumulative[-1]),
            sum=sums.get(labelled, 0.0),
            bucket_counts=[int(upper - lower) for lower, upper in pairwise(cumulative)],
            explicit_bounds=[bound for bound, _ in found if not math.isinf(bound)],
        )


def _attributes(values: Mapping[str, str | int]) -> list[KeyValue]:
    return [
        KeyValue(key=key, value=AnyValue(string_value=value) if isinstance(value, str) else AnyValue(int_value=value))
        for key, value in values.items()
    ]

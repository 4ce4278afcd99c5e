"""A real OpenTelemetry collector on the wire: it receives OTLP over gRPC, stores it, and can refuse or hang."""

from __future__ import annotations

import contextlib
import threading

from collections.abc import Iterable, Iterator, Mapping
from concurrent import futures

import attrs
import grpc

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.authority import WAIT, eventually


@attrs.define(eq=False)
class Collector:
    """What was sent to it, and how it answers."""

    address: str = ""
    traces: list[bytes] = attrs.Factory(list)
    metrics: list[bytes] = attrs.Factory(list)
    headers: list[Mapping[str, str | bytes]] = attrs.Factory(list)
    """Of each request, also of those that it refused."""
    refusal: grpc.StatusCode | None = None
    """How it answers each request from now on."""
    problem: str = "as the test says"
    """What it says when it refuses, or does not accept all."""
    details: bytes = b""
    """The `google.rpc.Status` of its refusals."""
    answer: bytes | None = None
    """What it answers from now on in place of OTLP."""
    rejected: int = 0
    """How many spans or points of each request it says that it has not accepted."""
    open: threading.Event = attrs.Factory(threading.Event)
    """While this is not set it answers nothing."""

    def spans(self) -> list[Span]:
        """Every span that it has accepted."""
        requests = [ExportTraceServiceRequest.FromString(each) for each in self.traces]
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def calls(self, count: int = 1) -> list[Span]:
        """The spans of calls, in order, once there are *count*."""
        found: list[Span] = []

        def arrived() -> bool:
            found[:] = [span for span in self.spans() if span.kind == Span.SPAN_KIND_SERVER]
            return len(found) >= count

        eventually(arrived, f"fewer than {count} calls were traced")
        return found

    def below(self, call: Span) -> dict[str, Span]:
        """The spans whose parent is *call*, by name."""
        return {span.name: span for span in self.spans() if span.parent_span_id == call.span_id}

    def latest_metrics(self) -> dict[str, Metric]:
        """The metrics of the last request, by name."""
        eventually(lambda: bool(self.metrics), "no metrics came")
        request = ExportMetricsServiceRequest.FromString(self.metrics[-1])
        return {
            metric.name: metric
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def all_bytes(self) -> bytes:
        """All that it has accepted."""
        return b"".join([*self.traces, *self.metrics])

    def receive_traces(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        """Answer TraceService/Export."""
        self._admit(context)
        self.traces.append(request)
        answer = ExportTraceServiceResponse()
        if self.rejected:
            answer.partial_success.rejected_spans = self.rejected
            answer.partial_success.error_message = self.problem
        return answer.SerializeToString() if self.answer is None else self.answer

    def receive_metrics(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        """Answer MetricsService/Export."""
        self._admit(context)
        self.metrics.append(request)
        answer = ExportMetricsServiceResponse()
        if self.rejected:
            answer.partial_success.rejected_data_points = self.rejected
            answer.partial_success.error_message = self.problem
        return answer.SerializeToString()

    def _admit(self, context: grpc.ServicerContext) -> None:
        self.headers.append(dict(context.invocation_metadata()))
        self.open.wait(WAIT)
        if self.refusal is not None:
            context.set_trailing_metadata((("grpc-status-details-bin", self.details),))
            context.abort(self.refusal, self.problem)


def attributes_of(found: Iterable[KeyValue]) -> dict[str, str | int]:
    """The attributes of a span or a point."""
    return {each.key: each.value.string_value or each.value.int_value for each in found}


@contextlib.contextmanager
def collecting(credentials: grpc.ServerCredentials | None = None) -> Iterator[Collector]:
    """A collector on loopback for as long as the block runs, over TLS where there are *credentials*."""
    collector = Collector()
    collector.open.set()
    with futures.ThreadPoolExecutor(4, thread_name_prefix="collector") as pool:
        server = grpc.server(pool)
        for service, method in (
            ("opentelemetry.proto.collector.trace.v1.TraceService", collector.receive_traces),
            ("opentelemetry.proto.collector.metrics.v1.MetricsService", collector.receive_metrics),
        ):
            handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
                "Export": grpc.unary_unary_rpc_method_handler(method)
            }
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        place = "127.0.0.1:0"
        port = server.add_insecure_port(place) if credentials is None else server.add_secure_port(place, credentials)
        collector.address = f"127.0.0.1:{port}"
        server.start()
        try:
            yield collector
        finally:
            collector.open.set()
            server.stop(None).wait(WAIT)

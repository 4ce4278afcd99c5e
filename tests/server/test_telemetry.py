"""Telemetry is off by default and costs nothing then; on, the server depends neither on the collector nor on OTEL_*."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys

from collections.abc import Iterator, Mapping
from pathlib import Path

import grpc
import httpx
import pytest
import trustme

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.authority import NO_TRUST, StartAuthority, clean_environment, eventually
from tests.support.collector import Collector, attributes_of, collecting
from tests.support.logs import capture_logs
from tests.support.memory_store import MemoryStore
from tests.support.production import Production
from tests.support.wire import LIST_PROJECTS, Connect
from tokenauthority.server.telemetry import OFF, Telemetry
from tokenauthority.v1 import project_pb2


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector on loopback, without TLS."""
    with collecting() as collector:
        yield collector


def modules_of_serve(directory: Path, **variables: str) -> set[str]:
    """The modules that `serve --dev` has imported when it serves."""
    ports = {f"TOKENAUTHORITY_LISTEN__{name}": "127.0.0.1:0" for name in ("GRPC", "HTTP", "HTTP_API", "OPS")}
    with (
        (directory / "imports").open("w+") as imports,
        subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", "tokenauthority.cli", "serve", "--dev"],
            cwd=directory,
            env=clean_environment(**ports, **variables),
            stdout=subprocess.PIPE,
            stderr=imports,
            text=True,
        ) as server,
    ):
        assert any("tokens generate" in line for line in server.stdout or ())
        server.terminate()
        assert 0 == server.wait(60)
        imports.seek(0)
        return {line.rpartition("|")[2].strip() for line in imports if line.startswith("import time:")}


def test_a_server_without_telemetry_imports_nothing_of_opentelemetry(tmp_path: Path) -> None:
    """It costs neither memory nor time at the start. One with telemetry does, so the test could fail."""
    off, on = tmp_path / "off", tmp_path / "on"
    off.mkdir()
    on.mkdir()
    without = modules_of_serve(off)
    with_traces = modules_of_serve(on, TOKENAUTHORITY_TELEMETRY__ENDPOINT="http://127.0.0.1:9")

    assert set() == {name for name in without if name.split(".")[0] == "opentelemetry"}
    assert "tokenauthority.server.telemetry" in without
    assert "opentelemetry.proto.trace.v1.trace_pb2" in with_traces


def test_a_server_without_telemetry_has_nothing_around_its_parts(start_authority: StartAuthority) -> None:
    """No interceptor, no wrapper, no task, no metric."""
    store = MemoryStore()
    app = start_authority(store=store).app

    assert OFF is app.telemetry
    assert ((), (), ()) == (OFF.outer, OFF.inner, OFF.headers)
    assert app.store is store
    assert app.registry.get_sample_value("tokenauthority_telemetry_dropped_spans_total") is None


def values_of(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The samples of `/metrics` that nothing changes while nobody calls."""
    return {
        (sample.name, _labels(sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith(("tokenauthority_rpc", "tokenauthority_build", "tokenauthority_failed"))
        and not sample.name.endswith("_created")
    }


def test_the_metrics_are_those_of_the_metrics_page(
    start_authority: StartAuthority, connect: Connect, collector: Collector
) -> None:
    """Every name is there, and the values are equal, labels included."""
    settings = {"endpoint": f"http://{collector.address}", "interval": 300, "timeout": 60, "traces": False}
    authority = start_authority(settings={"telemetry": settings})
    wire = connect(authority)
    for key in (None, None, "tak_wrong"):
        wire.call(LIST_PROJECTS, api_key=key)
    metrics = authority.app.telemetry.metrics
    assert metrics is not None
    authority.do(metrics.turn())
    page = httpx.get(authority.ops_url + "/metrics", verify=NO_TRUST).text
    exported = collector.latest_metrics()
    families = list(text_string_to_metric_families(page))
    names = {
        family.name if family.type == "histogram" else sample.name
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }

    assert names == exported.keys()
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for name, metric in exported.items():
        for point in [*metric.sum.data_points, *metric.gauge.data_points]:
            found[name, _labels(attributes_of(point.attributes))] = point.as_double
        for histogram in metric.histogram.data_points:
            labels, total = attributes_of(histogram.attributes), 0
            found[f"{name}_count", _labels(labels)] = histogram.count
            found[f"{name}_sum", _labels(labels)] = histogram.sum
            for bound, count in zip([*histogram.explicit_bounds, math.inf], histogram.bucket_counts, strict=True):
                total += count
                found[f"{name}_bucket", _labels({**labels, "le": str(bound)})] = total
    wanted = values_of(page)
    assert len(wanted) > 20
    assert wanted == {key: found.get(key) for key in wanted}


def test_traces_and_metrics_reach_a_collector_with_tls(production: Production, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of OpenTelemetry's changes where and what is sent."""
    ca = trustme.CA()
    certificate = ca.issue_cert("127.0.0.1")
    chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
    ca.cert_pem.write_to_path(str(production.directory / "collector-ca.pem"))
    (production.directory / "headers").write_text("authorization: Bearer a-token\n")
    for name, value in {
        "SDK_DISABLED": "true",
        "TRACES_SAMPLER": "always_off",
        "TRACES_EXPORTER": "none",
        "METRICS_EXPORTER": "none",
        "EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "EXPORTER_OTLP_HEADERS": "authorization=other,x-other=1",
        "EXPORTER_OTLP_INSECURE": "true",
        "SERVICE_NAME": "other",
        "RESOURCE_ATTRIBUTES": "service.name=other,other=1",
        "PROPAGATORS": "none",
    }.items():
        monkeypatch.setenv(f"OTEL_{name}", value)
    credentials = grpc.ssl_server_credentials([(certificate.private_key_pem.bytes(), chain)])
    with collecting(credentials) as collector:
        server = production.start(
            TELEMETRY__ENDPOINT=f"https://{collector.address}",
            TELEMETRY__CA_FILE="collector-ca.pem",
            TELEMETRY__HEADERS_FILE="headers",
            TELEMETRY__INTERVAL="1",
            TELEMETRY__TIMEOUT="60",
        )
        with production.client(server.address) as client:
            client.projects.ListProjects(project_pb2.ListProjectsRequest())
        [call] = collector.calls()
        eventually(lambda: "tokenauthority_rpcs_total" in collector.latest_metrics(), "the call was not counted")
        metrics = collector.latest_metrics()
        [resource] = ExportTraceServiceRequest.FromString(collector.traces[0]).resource_spans

    facts = attributes_of(resource.resource.attributes)
    assert "tokenauthority.v1.ProjectService/ListProjects" == call.name
    assert 1.0 == metrics["tokenauthority_rpcs_total"].sum.data_points[0].as_double
    assert ("tokenauthority", None) == (facts["service.name"], facts.get("other"))
    assert {"Bearer a-token"} == {found["authorization"] for found in collector.headers}
    assert [] == [found for found in collector.headers if "x-other" in found]
    assert [] == server.events("telemetry.not_exported")


class Exported:
    """An export that answers at once, or never."""

    def __init__(self, waiting: int = 0, *, hangs: bool = False) -> None:
        self.wake = asyncio.Event()
        self.waiting = waiting
        self.steps: list[str] = []
        self._hangs = hangs

    async def turn(self) -> None:
        """Send all, or wait until the stop gives up."""
        self.steps.append("turn")
        if self._hangs:
            await asyncio.Event().wait()
        self.waiting = 0

    async def close(self) -> None:
        """Close the connection."""
        self.steps.append("close")


async def test_a_stop_sends_what_is_left() -> None:
    """Then it closes the connections; a collector that hangs keeps neither from being closed."""
    traces, metrics, hanging = Exported(3), Exported(), Exported(5, hangs=True)
    with capture_logs() as logs:
        await Telemetry(traces=traces, metrics=metrics).close()
        assert [] == logs
        await Telemetry(traces=hanging, metrics=metrics).close()

    assert ["turn", "close"] == traces.steps == hanging.steps == metrics.steps[:2] == metrics.steps[2:]
    assert [("telemetry.not_sent", 5)] == [(line["event"], line["spans"]) for line in logs]


def test_a_collector_that_hangs_holds_up_neither_calls_nor_the_stop(
    production: Production, collector: Collector
) -> None:
    """The stop waits for it for 3 seconds and says what is lost."""
    collector.open.clear()
    server = production.start(
        TELEMETRY__ENDPOINT=f"http://{collector.address}", TELEMETRY__INTERVAL="1", TELEMETRY__TIMEOUT="60"
    )
    with production.client(server.address) as client:
        client.projects.ListProjects(project_pb2.ListProjectsRequest())
        eventually(lambda: bool(collector.headers), "nothing was sent")
        client.projects.ListProjects(project_pb2.ListProjectsRequest())
    assert 0 == server.stop()

    [event] = server.events("telemetry.not_sent")
    spans = event["spans"]
    assert isinstance(spans, int)
    assert spans >= 2
    assert 1 == len(server.events("server.stopped"))


def test_an_outage_is_logged_once_and_ends(
    start_authority: StartAuthority, connect: Connect, collector: Collector
) -> None:
    """However often the exports fail; calls go on, and their traces come when the collector is back."""
    collector.refusal = grpc.StatusCode.UNAVAILABLE
    settings = {"endpoint": f"http://{collector.address}", "interval": 1, "timeout": 60, "metrics": False}
    with capture_logs() as logs:
        authority = start_authority(settings={"telemetry": settings})
        wire = connect(authority)
        outcomes = [wire.call(LIST_PROJECTS).code for _ in range(3)]
        eventually(lambda: len(collector.headers) >= 2, "the export was not tried again")
        collector.refusal = None
        calls = collector.calls(3)
        eventually(lambda: any(line["event"] == "background.recovered" for line in logs), "nobody said so")

    assert (["OK"] * 3, 3) == (outcomes, len(calls))
    [failed] = [line for line in logs if line["event"] == "telemetry.not_exported"]
    assert ("telemetry-traces", "UNAVAILABLE: as the test says") == (failed["task"], failed["cause"])
    assert "exc_info" not in failed
    assert 0.0 == authority.app.registry.get_sample_value("tokenauthority_telemetry_dropped_spans_total")


def _labels(labels: Mapping[str, str | int]) -> frozenset[tuple[str, str]]:
    """The labels, with the bound of a bucket in one form."""
    return frozenset((name, str(float(value) if name == "le" else value)) for name, value in labels.items())

"""Declare the settings of traces and metrics by OTLP; `config show` prints the docstrings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from tokenauthority.config.group import PORT, SettingsGroup


_ENDPOINT: Final = rf"^(https?://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):{PORT})?$"


class TelemetrySettings(SettingsGroup):
    """Traces and metrics that the server sends to an OpenTelemetry collector, by OTLP over gRPC."""

    endpoint: Annotated[str, Field(max_length=280, pattern=_ENDPOINT)] = ""
    """URL of the collector, such as `https://collector.example.com:4317`. Default: none, and then nothing is collected
    or sent. The server reads no `OTEL_*` variable."""
    plaintext: bool = False
    """Allow `http://` in telemetry.endpoint for other machines. Whoever is on the way then reads all that is sent.
    Loopback needs no permission."""
    ca_file: Path | None = None
    """PEM file with the CAs that sign the certificate of the collector. Default: the public CAs that gRPC knows."""
    cert_file: Path | None = None
    """PEM file with the server's certificate for the collector, if the collector asks for one."""
    key_file: Path | None = None
    """PEM file with the private key of telemetry.cert_file. Required with it."""
    headers_file: Path | None = None
    """File with headers for the collector, such as a token: one `name: value` a line, at most 16. It is read before
    each export. The three PEM files are read at the first export, and again after an export that failed."""
    traces: bool = True
    """Send a trace of each call that is sampled."""
    metrics: bool = True
    """Send the metrics of `/metrics`."""
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of calls whose traces are sent. A caller that the server knows and that sends a `traceparent` decides for
    its own calls instead, but not for those that a proxy passes on."""
    interval: Annotated[float, Field(ge=1, le=300)] = 10.0
    """Seconds between two exports of metrics, and after which traces are exported at the latest."""
    timeout: Annotated[float, Field(ge=0.1, le=60)] = 10.0
    """Seconds for one export."""

"""Send traces of calls, and metrics, to an OpenTelemetry collector. Only `otlp` and `export` import OpenTelemetry."""

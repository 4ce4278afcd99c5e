"""Build telemetry that is on, from its settings."""

from __future__ import annotations

import random

from functools import cache

import attrs

from prometheus_client import CollectorRegistry

from tokenauthority.config.telemetry_settings import TelemetrySettings
from tokenauthority.domain.token import TokenTerms
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.interceptors.authorization import PUBLIC
from tokenauthority.interceptors.tracing import SamplingInterceptor, TracingInterceptor
from tokenauthority.server.telemetry import Telemetry
from tokenauthority.signing.formats.codec import Codec, Encoder, TokenKey
from tokenauthority.signing.formats.registry import codec_of
from tokenauthority.telemetry.call_trace import observed, observed_object
from tokenauthority.telemetry.collector import Collector
from tokenauthority.telemetry.export import MetricsExport, TraceExport
from tokenauthority.telemetry.otlp import server_resource
from tokenauthority.telemetry.trace_context import TRACEPARENT, TRACESTATE
from tokenauthority.threads import BlockingPool


def build_telemetry(settings: TelemetrySettings, registry: CollectorRegistry) -> Telemetry:
    """Return the parts of what *settings* switch on; nothing is connected yet."""
    pool, resource = BlockingPool("telemetry"), server_resource()
    metrics = MetricsExport(Collector(settings, pool), pool, resource, registry) if settings.metrics else None
    if not settings.traces:
        return Telemetry(metrics=metrics, interval=settings.interval)
    traces = TraceExport(Collector(settings, pool), pool, resource, registry)

    def choose() -> bool:
        return random.random() < settings.sample_ratio  # noqa: S311 - whoever guesses it learns what is sampled, no more

    return Telemetry(
        outer=(TracingInterceptor(traces, choose, PUBLIC),),
        inner=(SamplingInterceptor(choose),),
        headers=(TRACEPARENT, TRACESTATE),
        observed=observed_object,
        codec_of=_observed_codec_of,
        traces=traces,
        metrics=metrics,
        interval=settings.interval,
    )


@cache
def _observed_codec_of(token_format: TokenFormat) -> Codec:
    codec = codec_of(token_format)

    def prepare(terms: TokenTerms, key: TokenKey) -> Encoder:
        return observed(f"sign {token_format}", codec.prepare(terms, key))

    return attrs.evolve(codec, prepare=prepare)

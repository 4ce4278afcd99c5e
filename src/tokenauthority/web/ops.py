"""The HTTP routes of listen.ops, which are for operators: liveness, readiness with its details, and metrics."""

from __future__ import annotations

import time

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tokenauthority.domain.caller import Rate
from tokenauthority.domain.rates import Bucket, take_items
from tokenauthority.domain.times import Millis


LIVEZ_PATH: Final = "/livez"
READYZ_PATH: Final = "/readyz"
METRICS_PATH: Final = "/metrics"

_COLLECTIONS: Final = Rate(per_second=1, burst=10)
"""How often metrics are collected, which takes milliseconds of the event loop. More requests get the last ones."""


class HealthReport(Protocol):
    """What a probe is answered."""

    @property
    def problems(self) -> Mapping[str, str]:
        """Why the server does not serve, by part."""

    @property
    def details(self) -> Mapping[str, str]:
        """What fails although the server serves, by part."""

    @property
    def serving(self) -> Mapping[str, bool]:
        """Whether the server (the empty name) and each gRPC service serves."""


def make_ops_app(
    health: Callable[[], HealthReport], registry: CollectorRegistry, monotonic: Callable[[], float] = time.monotonic
) -> Starlette:
    """Return the application. *health* returns the health now."""
    collected, bucket = b"", Bucket()

    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        found = health()
        ready = found.serving.get(request.query_params.get("service", ""))
        if ready is None:
            return PlainTextResponse("there is no service of that name\n", status_code=404)
        body = {"ready": ready, "problems": dict(found.problems), "details": dict(found.details)}
        return JSONResponse(body, status_code=200 if ready else 503)

    async def metrics(_: Request) -> Response:
        nonlocal collected, bucket
        decision = take_items(bucket, _COLLECTIONS, 1, Millis(int(monotonic() * 1000)))
        bucket = decision.state
        if decision.granted:
            collected = generate_latest(registry)
        return Response(collected, media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route(LIVEZ_PATH, livez), Route(READYZ_PATH, readyz), Route(METRICS_PATH, metrics)])

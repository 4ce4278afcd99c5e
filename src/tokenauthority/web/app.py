"""The HTTP routes: JWKS, liveness, readiness and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route


if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import CollectorRegistry
    from starlette.requests import Request


class PublishedKeys(Protocol):
    """A JWKS as it is published."""

    @property
    def body(self) -> bytes:
        """RFC 7517 JSON."""

    @property
    def etag(self) -> str:
        """A strong entity tag, with its quotes (RFC 9110)."""


class Source(Protocol):
    """What the HTTP face shows."""

    def key_set(self) -> PublishedKeys:
        """The public keys now."""

    async def readiness(self) -> Mapping[str, str]:
        """What keeps the server from being ready, by part; empty when it is."""

    def details(self) -> Mapping[str, str]:
        """What somebody should look at though the server may be ready, by part."""


def make_app(source: Source, registry: CollectorRegistry, jwks_max_age: int) -> Starlette:
    """The application. *jwks_max_age* is in seconds."""

    async def jwks(request: Request) -> Response:
        published = source.key_set()
        headers = {"cache-control": f"public, max-age={jwks_max_age}", "etag": published.etag}
        asked = request.headers.get("if-none-match", "")
        if any(tag.strip().removeprefix("W/") in {published.etag, "*"} for tag in asked.split(",")):
            return Response(status_code=304, headers=headers)
        # Browsers may read it too: the keys are public and the answer is the same for everyone.
        headers["access-control-allow-origin"] = "*"
        return Response(published.body, media_type="application/json", headers=headers)

    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        problems = await source.readiness()
        body = {"ready": not problems, "problems": dict(problems), "details": dict(source.details())}
        return JSONResponse(body, status_code=503 if problems else 200)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/.well-known/jwks.json", jwks),
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
        ]
    )

"""The HTTP routes: JWKS and its discovery, liveness, readiness and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tokenauthority.web.discovery import DISCOVERY_PATH, JWKS_PATH, Discovery, prefixes


class Published(Protocol):
    """A public document."""

    @property
    def body(self) -> bytes:
        """JSON."""

    @property
    def etag(self) -> str:
        """A strong entity tag, with its quotes (RFC 9110)."""


class KeySetSource(Protocol):
    """The data that the routes show."""

    def key_set(self) -> Published:
        """Return the public keys now (RFC 7517)."""

    def jwks_max_age(self) -> int:
        """Return the seconds for which they may be cached; 0: not at all."""

    async def readiness(self) -> Mapping[str, str]:
        """Return why the server is not ready, by part; empty if it is ready."""

    def details(self) -> Mapping[str, str]:
        """Return problems that leave the server ready, by part."""


def make_app(source: KeySetSource, registry: CollectorRegistry, issuer: str) -> Starlette:
    """Return the application. *issuer* is the URL of the server, as in the `iss` of tokens."""
    discovery = Discovery.for_issuer(issuer)

    async def jwks(request: Request) -> Response:
        return _published(request, source.key_set(), source.jwks_max_age())

    async def configuration(request: Request) -> Response:
        return _published(request, discovery, source.jwks_max_age())

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
            *(Route(prefix + JWKS_PATH, jwks) for prefix in prefixes(issuer)),
            *(Route(prefix + DISCOVERY_PATH, configuration) for prefix in prefixes(issuer)),
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
        ]
    )


def _published(request: Request, document: Published, max_age: int) -> Response:
    headers = {
        "cache-control": f"public, max-age={max_age}" if max_age > 0 else "no-cache",
        "etag": document.etag,
        # Browsers may read it too: it is public and the same for everyone.
        "access-control-allow-origin": "*",
    }
    asked = request.headers.get("if-none-match", "")
    if any(tag.strip().removeprefix("W/") in {document.etag, "*"} for tag in asked.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(document.body, media_type="application/json", headers=headers)

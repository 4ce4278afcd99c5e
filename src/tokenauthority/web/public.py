"""The HTTP routes of listen.http, which everyone may use: the JWKS and its discovery."""

from __future__ import annotations

from typing import Final, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tokenauthority.web.discovery import DISCOVERY_PATH, JWKS_PATH, Discovery, prefixes
from tokenauthority.web.ops import LIVEZ_PATH, METRICS_PATH, READYZ_PATH


_READ: Final = ("GET", "HEAD", "OPTIONS")
_PREFLIGHT: Final = {
    "allow": ", ".join(_READ),
    "access-control-allow-origin": "*",
    "access-control-allow-methods": ", ".join(_READ),
    # `*` stands for every header but this one, which libraries send to every URL.
    "access-control-allow-headers": "*, authorization",
    "access-control-max-age": "86400",
}
"""A browser asks first whether it may send headers of its own (Fetch, section 3.2)."""


class Published(Protocol):
    """A public document."""

    @property
    def body(self) -> bytes:
        """JSON."""

    @property
    def etag(self) -> str:
        """A strong entity tag, with its quotes (RFC 9110)."""


class KeySetSource(Protocol):
    """The public keys that the routes show."""

    def key_set(self) -> Published:
        """Return the public keys now (RFC 7517)."""

    def jwks_max_age(self) -> int:
        """Return the seconds for which they may be cached; 0: not at all."""


def make_public_app(source: KeySetSource, issuer: str) -> Starlette:
    """Return the application. *issuer* is the URL of the server, as in the `iss` of tokens."""
    discovery = Discovery.for_issuer(issuer)

    async def jwks(request: Request) -> Response:
        return _published(request, source.key_set(), source.jwks_max_age())

    async def configuration(request: Request) -> Response:
        return _published(request, discovery, source.jwks_max_age())

    async def elsewhere(_: Request) -> Response:
        return PlainTextResponse("probes and metrics are on the address of listen.ops\n", status_code=404)

    return Starlette(
        routes=[
            *(Route(prefix + JWKS_PATH, jwks, methods=_READ) for prefix in prefixes(issuer)),
            *(Route(prefix + DISCOVERY_PATH, configuration, methods=_READ) for prefix in prefixes(issuer)),
            *(Route(path, elsewhere) for path in (LIVEZ_PATH, READYZ_PATH, METRICS_PATH)),
        ]
    )


def _published(request: Request, document: Published, max_age: int) -> Response:
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=_PREFLIGHT)
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

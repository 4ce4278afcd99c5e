"""The HTTP routes of listen.http_api, for callers that do not speak gRPC."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.routing import BaseRoute


def make_api_app(routes: Sequence[BaseRoute]) -> Starlette:
    """Return the application of *routes*. A path is answered as it is written, or not at all."""
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return app

"""Answer `grpc.health.v1` by the one rule of all probes. A watcher that does not read holds up nobody."""

from __future__ import annotations

import asyncio

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

import grpc

from grpc_health.v1 import health_pb2, health_pb2_grpc

from tokenauthority.interceptors import status
from tokenauthority.interceptors.request import current_request_id


SERVICE_NAME: Final = "grpc.health.v1.Health"

_Response = health_pb2.HealthCheckResponse


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Check and Watch; *serving* returns whether the server ("") and each service serves now, by name."""

    def __init__(self, serving: Callable[[], Mapping[str, bool]]) -> None:
        self._serving = serving
        self._known: Mapping[str, bool] = {}
        self._changed = asyncio.Event()

    async def Check(  # noqa: N802 - the contract's name
        self, request: health_pb2.HealthCheckRequest, _: object
    ) -> health_pb2.HealthCheckResponse:
        """Return the status of the service; NOT_FOUND if there is none of the name."""
        serving = self._serving().get(request.service)
        if serving is None:
            # Not by the context, which raises where the caller has left.
            raise status.plain(
                grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "there is no service of that name", current_request_id.get()
            )
        return _response(serving=serving)

    async def Watch(  # noqa: N802 - the contract's name
        self, request: health_pb2.HealthCheckRequest, _: object
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Yield the status of the service now and after each change; a watcher may miss one that is short."""
        last = None
        while True:
            changed = self._changed
            found = _response(serving=self._serving().get(request.service))
            if found != last:
                yield found
            last = found
            await changed.wait()

    async def update(self) -> None:
        """Have the watchers look if something has changed. Call this every second, and after a change."""
        now = self._serving()
        if now != self._known:
            self._known = now
            self._changed.set()
            self._changed = asyncio.Event()


def _response(*, serving: bool | None) -> health_pb2.HealthCheckResponse:
    if serving is None:
        return _Response(status=_Response.SERVICE_UNKNOWN)
    return _Response(status=_Response.SERVING if serving else _Response.NOT_SERVING)

"""Start a server, run it, and stop it without losing an RPC."""

from __future__ import annotations

import asyncio
import signal

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import attrs
import structlog

from grpc_health.v1 import health_pb2

from tokenauthority.config.settings import Settings
from tokenauthority.contract import SERVICES
from tokenauthority.server.background import Background
from tokenauthority.server.background_tasks import tasks_of
from tokenauthority.server.http import HttpServer
from tokenauthority.server.listeners import bind
from tokenauthority.server.wiring import App
from tokenauthority.web.app import make_app


_FINISH: Final = 30.0
"""Seconds for changes that outlive the drain to finish and be recorded: more than the store's own timeout."""


@attrs.frozen
class Addresses:
    """The addresses on which the servers listen, with the ports that they got."""

    listeners: Mapping[str, str]
    """By name."""
    http: str

    @property
    def grpc(self) -> str:
        """The address for callers with an API key or a JWT."""
        return self.listeners["grpc"]


@asynccontextmanager
async def serving(
    app: App, settings: Settings, on_fatal: Callable[[], None] = lambda: None
) -> AsyncIterator[Addresses]:
    """Serve while the block runs, then drain: NOT_SERVING first, no new RPCs, those in flight finish.

    *on_fatal* is called when the server cannot go on: it has to end the block.

    Raises:
        BackgroundError: a background task without which the server cannot go on has failed.
        OSError: an address cannot be listened on, or the audit log cannot be written.
        KeyProviderError: the active signing key cannot sign where it lives.
        SealBrokenError: the master key does not open the key ring.
        UnavailableError: the store cannot be read.
    """
    # The audit log is open before the first RPC, and closed after the last answer.
    async with app.audit_log.running(), _answering(app, settings, on_fatal) as addresses:
        yield addresses


@asynccontextmanager
async def _answering(app: App, settings: Settings, on_fatal: Callable[[], None]) -> AsyncIterator[Addresses]:
    logger = structlog.stdlib.get_logger(__name__)
    await app.follower.start()
    await app.keys.prove_active_key()
    bound = {listener.name: bind(listener, server) for listener, server in app.listeners}
    certificate = app.http_certificate
    web = HttpServer(
        make_app(app.readiness, app.registry, settings.issuance.issuer),
        settings.listen.http,
        None if certificate is None else certificate.context,
    )
    addresses = Addresses(bound, web.bind())
    async with AsyncExitStack() as stack:
        stack.callback(web.close)
        for listener, _ in app.listeners:
            stack.callback(listener.close)
        stack.push_async_callback(app.refusal_summarizer.flush)
        stack.push_async_callback(app.callers_reloader.close)
        for _, server in app.listeners:
            await server.start()
        await stack.enter_async_context(Background(app.registry).running(tasks_of(app, web), on_fatal))
        for service in ("", *SERVICES):
            await app.health.set(service, health_pb2.HealthCheckResponse.SERVING)
        logger.info(
            "server.started", **bound, http=addresses.http, grpc_tls=not settings.dev, http_tls=certificate is not None
        )
        try:
            yield addresses
        finally:
            logger.info("server.draining")
            await _drain(app, settings)
    logger.info("server.stopped")


def stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set from now on, instead of ending the process."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def reload_at_hang_up(app: App) -> None:
    """From now on, reload the callers file and reopen the audit log at SIGHUP."""

    def hang_up() -> None:
        app.callers_reloader.reload()
        app.audit_log.reopen()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hang_up)


async def _drain(app: App, settings: Settings) -> None:
    await app.health.enter_graceful_shutdown()
    app.readiness.drain()
    await asyncio.sleep(settings.limits.drain_delay)
    app.admission.drain()
    await asyncio.gather(*(server.stop(settings.limits.drain_grace) for _, server in app.listeners))
    await app.audit.finish(_FINISH)

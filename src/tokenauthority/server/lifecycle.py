"""Start a server, run it, and stop it without losing an RPC."""

from __future__ import annotations

import asyncio
import signal
import sys

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

import attrs
import grpc.aio
import structlog

from tokenauthority.config.groups import LoggingSettings
from tokenauthority.config.listeners import OFF, UNIX
from tokenauthority.config.loading import ConfigError
from tokenauthority.config.settings import Settings
from tokenauthority.interceptors.deliveries import RPC_TASK
from tokenauthority.interceptors.direct import DIRECT_TASK
from tokenauthority.server.background import Background, BackgroundTask
from tokenauthority.server.background_tasks import tasks_of
from tokenauthority.server.connection_guard import ConnectionGuard
from tokenauthority.server.http import HttpServer
from tokenauthority.server.http_connection import ConnectionTimes
from tokenauthority.server.listeners import bind
from tokenauthority.server.logging import debug_switch, report_dropped
from tokenauthority.server.service_manager import READY, STOPPING, notify
from tokenauthority.server.wiring import App
from tokenauthority.web.api import make_api_app
from tokenauthority.web.check import check_routes
from tokenauthority.web.connect import connect_routes
from tokenauthority.web.opentok import opentok_routes
from tokenauthority.web.ops import make_ops_app
from tokenauthority.web.public import make_public_app


_FINISH: Final = 30.0
"""Seconds for changes that outlive the drain to finish and be recorded: more than the store's own timeout."""

_API_AGE: Final = 300.0
"""Seconds after which a connection of listen.http_api ends, once its call is answered."""

_API_EXCHANGE: Final = 30.0
"""Seconds for a request to come and for its answer to be read."""

_QUIET: Final = 0.5
"""Seconds between two looks for RPCs under way while a server stops."""


@attrs.frozen
class Addresses:
    """The addresses on which the servers listen, with the ports that they got."""

    listeners: Mapping[str, str]
    """Those of gRPC, by name."""
    http: str
    ops: str
    http_api: str | None
    """None where it is off."""

    @property
    def grpc(self) -> str:
        """The address for callers with an API key or a JWT."""
        return self.listeners["grpc"]


@asynccontextmanager
async def serving(
    app: App,
    settings: Settings,
    on_fatal: Callable[[], None] = lambda: None,
    process_tasks: Sequence[BackgroundTask] = (),
) -> AsyncIterator[Addresses]:
    """Serve while the block runs, then drain: NOT_SERVING first, no new RPCs, those in flight finish.

    *on_fatal* is called when the server cannot go on: it has to end the block. *process_tasks* run beside the tasks of
    the server: they are about its whole process.

    Raises:
        BackgroundError: a background task without which the server cannot go on has failed.
        ConfigError: addresses cannot be listened on.
        OSError: the audit log cannot be written.
        KeyProviderError: the active signing key cannot sign where it lives.
        SealBrokenError: the master key does not open the key ring.
        UnavailableError: the store cannot be read.
    """
    # The audit log is open before the first RPC, and closed after the last answer.
    async with app.audit_log.running(), _answering(app, settings, on_fatal, process_tasks) as addresses:
        yield addresses


@asynccontextmanager
async def _answering(
    app: App, settings: Settings, on_fatal: Callable[[], None], process_tasks: Sequence[BackgroundTask]
) -> AsyncIterator[Addresses]:
    logger = structlog.stdlib.get_logger(__name__)
    await app.follower.start()
    await app.keys.prove_active_key()
    web = _web_servers(app, settings)
    at = _bind(app, web)
    bound = {listener.name: at[listener.name] for listener, _ in app.listeners}
    addresses = Addresses(bound, at["http"], at["ops"], at.get("http_api"))
    async with AsyncExitStack() as stack:
        for server in web:
            stack.callback(server.close)
        for listener, _ in app.listeners:
            stack.callback(listener.close)
        stack.push_async_callback(app.telemetry.close)
        stack.push_async_callback(app.refusal_summarizer.flush)
        stack.callback(report_dropped)
        stack.push_async_callback(app.callers_reloader.close)
        stack.push_async_callback(app.agreement.leave)
        for _, grpc_server in app.listeners:
            await grpc_server.start()
        tasks = (*tasks_of(app, web), *_guarding(app, bound), *process_tasks)
        await stack.enter_async_context(Background(app.registry).running(tasks, on_fatal))
        logger.info("server.started", **at, grpc_tls=not settings.dev, http_tls=app.http_certificate is not None)
        notify(READY)
        try:
            yield addresses
        finally:
            logger.info("server.draining")
            notify(STOPPING)
            await _drain(app, settings)
    logger.info("server.stopped")


def _bind(app: App, web: Sequence[HttpServer]) -> dict[str, str]:
    """Bind all addresses, and return what they got; raise ConfigError that names every one that is taken."""
    each: dict[str, Callable[[], str]] = {
        listener.name: partial(bind, listener, server) for listener, server in app.listeners
    }
    each |= {server.name: server.bind for server in web}
    bound, problems = {}, []
    for name, take in each.items():
        try:
            bound[name] = take()
        except OSError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError(problems)
    return bound


def _web_servers(app: App, settings: Settings) -> list[HttpServer]:
    """Return the servers of listen.http, of listen.ops and of listen.http_api."""
    listen, places = settings.listen, app.connection_limits
    tls = None if app.http_certificate is None else app.http_certificate.context
    public_tls = None if listen.http_plaintext else tls
    public = make_public_app(app.readiness, settings.issuance.issuer)
    ops = make_ops_app(app.readiness.health, app.registry)
    servers = [
        HttpServer("http", public, listen.http, places.http, tls=public_tls),
        HttpServer("ops", ops, listen.ops, places.ops, tls=public_tls),
    ]
    if listen.http_api != OFF:
        # Those of RPCs last: they have any two segments.
        calls = app.direct_calls(app.bearer)
        routes = [*opentok_routes(app.direct_calls(app.opentok)), *check_routes(calls), *connect_routes(calls)]
        api = make_api_app(routes)
        times = ConnectionTimes(age=_API_AGE, last_answer=settings.limits.max_deadline + _API_EXCHANGE)
        servers.append(
            HttpServer("http_api", api, listen.http_api, places.http_api, tls=tls, times=times, content=True)
        )
    return servers


def _guarding(app: App, bound: Mapping[str, str]) -> list[BackgroundTask]:
    """Return the task that guards the gRPC listeners, if they have ports and the system shows the sockets."""
    ports = [int(address.rpartition(":")[2]) for address in bound.values() if not address.startswith(UNIX)]
    if not ports or sys.platform != "linux":
        return []
    guard = ConnectionGuard(ports, app.connection_limits.grpc, app.registry)
    return [BackgroundTask(name="connections", work=guard.look, interval=guard.pause)]


def stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set from now on, instead of ending the process."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def handle_signals(app: App, settings: LoggingSettings) -> None:
    """From now on, reload the callers file and reopen the audit log at SIGHUP, and switch debug events at SIGUSR1."""

    def hang_up() -> None:
        app.callers_reloader.reload()
        app.audit_log.reopen()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, hang_up)
    loop.add_signal_handler(signal.SIGUSR1, debug_switch(settings))


async def _drain(app: App, settings: Settings) -> None:
    app.readiness.drain()
    await app.health.update()
    await asyncio.sleep(settings.limits.drain_delay)
    app.admission.drain()
    grace = settings.limits.drain_grace
    await asyncio.gather(_stop([server for _, server in app.listeners], grace), _finish_direct_calls(grace))
    await app.audit.finish(_FINISH)
    await app.rate_limiter.leases.close()


async def _stop(servers: Sequence[grpc.aio.Server], grace: float) -> None:
    """Take no more RPCs, and let those under way finish within *grace* seconds.

    gRPC can accept an RPC in the moment of the stop and hand it to nobody: `MatchOrQueue` in its
    src/core/server/server.cc races with the shutdown. Its client would wait for its deadline, and the stop for the
    client. So connections end as soon as no RPC is under way here: the client gets UNAVAILABLE, and retries.
    """
    stopping = asyncio.gather(*(server.stop(grace) for server in servers))
    while not (await asyncio.wait([stopping], timeout=_QUIET))[0]:
        if not any(task.get_name() == RPC_TASK for task in asyncio.all_tasks()):
            await asyncio.gather(*(server.stop(None) for server in servers))
    await stopping


async def _finish_direct_calls(grace: float) -> None:
    """Let the calls that did not come through gRPC finish within *grace* seconds."""
    under_way = [task for task in asyncio.all_tasks() if task.get_name() == DIRECT_TASK]
    if under_way:
        await asyncio.wait(under_way, timeout=grace)

"""Run the enforcer from its settings until SIGTERM or SIGINT; everything is built here."""

from __future__ import annotations

import asyncio
import random
import signal

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import attrs
import structlog
import uvloop

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from tokenauthority.audit.errors import AuditLogError
from tokenauthority.audit.writing.log import FileAuditLog, LogOptions
from tokenauthority.client import AsyncAuthority
from tokenauthority.client.connection import Connection
from tokenauthority.config.listeners import OFF
from tokenauthority.config.loading import ConfigError
from tokenauthority.enforcer.admin_api import AdminApi
from tokenauthority.enforcer.centrifugo import CentrifugoDriver
from tokenauthority.enforcer.driver import Driver
from tokenauthority.enforcer.enforcement import Enforcement
from tokenauthority.enforcer.follower import StreamFollower
from tokenauthority.enforcer.livekit import LiveKitDriver
from tokenauthority.enforcer.mediamtx import MediaMtxDriver
from tokenauthority.enforcer.metrics import EnforcerMetrics
from tokenauthority.enforcer.pending import PendingRemovals
from tokenauthority.enforcer.settings import EnforcerListeners, EnforcerSettings, ServerSettings
from tokenauthority.enforcer.state_file import StateFile, StateFileError
from tokenauthority.enforcer.webhook import WebhookReceiver, make_webhook_app
from tokenauthority.files import exposed_mode, sole_writer
from tokenauthority.server import logging
from tokenauthority.server.background import Background, BackgroundError, BackgroundTask
from tokenauthority.server.http import HttpServer
from tokenauthority.server.lifecycle import stop_signal
from tokenauthority.server.service_manager import READY, STOPPING, notify, watchdog_tasks
from tokenauthority.server.wiring import system_clock
from tokenauthority.web.ops import make_ops_app


_PLACES: Final = 256
"""Connections of each HTTP listener at the same time."""

_SAVE_INTERVAL: Final = 30.0
"""Seconds after which the place in the stream is saved, at the latest; a new pending removal is saved at once."""

_MAX_AUDIT_FILE: Final = 256 * 1024 * 1024
"""Bytes at which the file of the audit log is renamed, and a new one begins."""

_LONGEST_BACKOFF: Final = 10.0
_SUMMARY_INTERVAL: Final = 60.0


@attrs.frozen(kw_only=True)
class EnforcerHealth:
    """What a probe of the enforcer is answered."""

    problems: Mapping[str, str]
    details: Mapping[str, str] = attrs.Factory(dict)

    @property
    def serving(self) -> Mapping[str, bool]:
        """Whether nothing fails."""
        return {"": not self.problems}


@attrs.frozen(kw_only=True)
class Enforcer:
    """All parts, built from the settings."""

    settings: EnforcerSettings
    state: StateFile
    removals: PendingRemovals
    audit_log: FileAuditLog
    enforcements: Mapping[str, Enforcement]
    follower: StreamFollower
    changed: asyncio.Event
    registry: CollectorRegistry
    web: Sequence[HttpServer]

    def tasks(self) -> list[BackgroundTask]:
        """Return everything that goes on."""

        # Not all servers, nor all enforcers of one, in the same moment.
        def pause() -> float:
            return self.settings.poll_interval * random.uniform(0.75, 1.0)  # noqa: S311 - it spreads load and hides nothing

        return [
            *(BackgroundTask(name=server.name, work=server.serve, fatal=True) for server in self.web),
            BackgroundTask(
                name="stream",
                work=self.follower.follow,
                longest_backoff=_LONGEST_BACKOFF,
                event="enforcer.stream_failed",
            ),
            *(
                BackgroundTask(name=f"server-{name}", work=each.turn, interval=pause, wake=each.wake)
                for name, each in self.enforcements.items()
            ),
            BackgroundTask(
                name="state",
                work=partial(self.state.save, self.removals),
                interval=_SAVE_INTERVAL,
                wake=self.changed,
                longest_backoff=1.0,
                event="enforcer.not_saved",
            ),
            BackgroundTask(name="log-summaries", work=_report_dropped, interval=_SUMMARY_INTERVAL, delayed=True),
        ]


def run(settings: EnforcerSettings, servers: Sequence[ServerSettings], connection: Connection) -> int:
    """Enforce until a signal; return the exit status, 1 if it could not go on. Raise ConfigError."""
    # Until there is a log to open again: logrotate may send SIGHUP at any moment, and its default ends the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logging.configure(settings.logging)
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with sole_writer(settings.data_dir):
            uvloop.run(_enforce(settings, servers, connection))
    except BlockingIOError:
        raise ConfigError([f"data_dir: another process uses {settings.data_dir}"]) from None
    except BackgroundError:
        # Logged, with its cause, when it happened.
        return 1
    except (StateFileError, AuditLogError) as error:
        raise ConfigError([str(error)]) from error
    except OSError as error:
        raise ConfigError([str(error)]) from error
    return 0


async def _enforce(settings: EnforcerSettings, servers: Sequence[ServerSettings], connection: Connection) -> None:
    stop = stop_signal()
    loop = asyncio.get_running_loop()
    logger = structlog.stdlib.get_logger(__name__)
    for server in servers:
        path = server.table.key_file
        if path is not None and (mode := exposed_mode(path)):
            name = f"servers.{server.table.name}.key_file"
            logger.warning("file.exposed", setting=name, path=str(path), mode=mode, wanted="mode 0600")
    async with AsyncExitStack() as stack:
        authority = await stack.enter_async_context(AsyncAuthority.from_connection(connection))
        enforcer = build(settings, servers, authority)
        await stack.enter_async_context(enforcer.audit_log.running())
        loop.add_signal_handler(signal.SIGHUP, enforcer.audit_log.reopen)
        bound = {}
        for listener in enforcer.web:
            stack.callback(listener.close)
            bound[listener.name] = listener.bind()
        background = Background(enforcer.registry).running([*enforcer.tasks(), *watchdog_tasks()], stop.set)
        await stack.enter_async_context(background)
        logger.info("enforcer.started", servers=len(servers), pending=len(enforcer.removals), **bound)
        notify(READY)
        await stop.wait()
        notify(STOPPING)
    # What is pending now was saved, or the stream sends it again: this saves the next start some work.
    await enforcer.state.save(enforcer.removals)
    logger.info("enforcer.stopped", pending=len(enforcer.removals))


def build(settings: EnforcerSettings, servers: Sequence[ServerSettings], authority: AsyncAuthority) -> Enforcer:
    """Return an enforcer; raise StateFileError."""
    registry, directory = CollectorRegistry(), settings.data_dir
    metrics, state = EnforcerMetrics(registry), StateFile(directory / "state.json")
    removals = state.load(settings.max_pending)
    removals.resume({server.table.name: server.rules for server in servers}, system_clock())
    audit_log = FileAuditLog(
        directory / "audit.jsonl",
        directory / "audit-key.pem",
        clock=system_clock,
        options=LogOptions(max_bytes=_MAX_AUDIT_FILE),
    )
    enforcements = {
        server.table.name: Enforcement(
            server.rules, _driver(settings, server), removals, notes=audit_log, metrics=metrics, clock=system_clock
        )
        for server in servers
    }
    changed = asyncio.Event()
    follower = StreamFollower(
        authority, list(enforcements.values()), removals, metrics=metrics, clock=system_clock, changed=changed
    )

    def health() -> EnforcerHealth:
        parts = {"stream": follower.problem, "audit": audit_log.problem}
        parts |= {f"server-{name}": each.problem for name, each in enforcements.items()}
        return EnforcerHealth(problems={part: problem for part, problem in parts.items() if problem})

    receivers = _receivers(servers, enforcements)
    return Enforcer(
        settings=settings,
        state=state,
        removals=removals,
        audit_log=audit_log,
        enforcements=enforcements,
        follower=follower,
        changed=changed,
        registry=registry,
        web=_web(settings.listen, make_ops_app(health, registry), make_webhook_app(receivers, metrics)),
    )


def _web(listen: EnforcerListeners, ops: Starlette, webhooks: Starlette) -> list[HttpServer]:
    servers = [HttpServer("ops", ops, listen.ops, _PLACES, setting="listen.ops")]
    if listen.webhooks != OFF:
        servers.append(
            HttpServer("webhooks", webhooks, listen.webhooks, _PLACES, content=True, setting="listen.webhooks")
        )
    return servers


def _driver(settings: EnforcerSettings, server: ServerSettings) -> Driver:
    table = server.table
    api = AdminApi(table.url, ca_file=table.ca_file, timeout=settings.request_timeout, places=settings.max_concurrent)
    match table.kind:
        case "livekit":
            return LiveKitDriver(api, table.key, server.secret, system_clock)
        case "centrifugo":
            return CentrifugoDriver(api, server.secret)
        case "mediamtx":
            return MediaMtxDriver(api, table.key, server.secret)


def _receivers(
    servers: Sequence[ServerSettings], enforcements: Mapping[str, Enforcement]
) -> dict[str, WebhookReceiver]:
    return {
        server.table.name: WebhookReceiver(
            key=server.table.key,
            secret=server.secret,
            joined=enforcements[server.table.name].joined,
            clock=system_clock,
        )
        for server in servers
        if server.table.kind == "livekit"
    }


async def _report_dropped() -> None:
    logging.report_dropped()

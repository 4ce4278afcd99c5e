"""The tasks that run beside the RPCs of a server: what each does, when, and what its failure means."""

from __future__ import annotations

import asyncio

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import structlog

from tokenauthority.authority.caller_leases import INTERVAL, CallerLeases
from tokenauthority.authority.signing_keys import SigningKeyManager
from tokenauthority.authority.store_follower import StoreFollower
from tokenauthority.domain.times import Millis
from tokenauthority.interceptors.refusal_summarizer import SUMMARY_INTERVAL, RefusalSummarizer
from tokenauthority.server.background import BackgroundTask
from tokenauthority.server.http import HttpServer
from tokenauthority.server.logging import report_dropped
from tokenauthority.server.telemetry import Telemetry
from tokenauthority.server.wiring import App


_PROBE_INTERVAL: Final = 1.0
"""Seconds between two probes of the store, of the clock and of the health of the server."""

_SIGNING_INTERVAL: Final = 10.0
"""Seconds between two signatures that show whether a remote key can sign."""

_PRUNE_INTERVAL: Final = 600.0
"""Seconds between two deletions of expired rows."""

_AGREEMENT_INTERVAL: Final = 5.0
"""Seconds between two comparisons with the settings of the other servers."""

_EXPIRY_INTERVAL: Final = 60.0
"""Seconds between two searches for API keys that expire soon."""

_FILES_INTERVAL: Final = 1.0
"""Seconds between two reads of files that an operator may change."""


def tasks_of(app: App, web: Sequence[HttpServer]) -> list[BackgroundTask]:
    """Return every task of the server *app*, whose HTTP listeners are *web*."""
    reloader, certificate = app.callers_reloader, app.http_certificate
    tasks = [
        # Without probes, metrics and JWKS the server is as good as down: its orchestrator starts it again.
        *(BackgroundTask(name=server.name, work=server.serve, fatal=True) for server in web),
        follower_task(app.follower),
        BackgroundTask(name="store-listener", work=lambda: app.store.listen(app.follower.wake)),
        leases_task(app.rate_limiter.leases),
        # The result of the last writes says whether the store can be written; without writes, that of a probe.
        BackgroundTask(name="store-probe", work=app.store.probe, interval=_PROBE_INTERVAL),
        BackgroundTask(name="clock", work=app.clock_watch.look, interval=_PROBE_INTERVAL),
        # Check answers by the facts of its moment; watchers look when this task says so.
        BackgroundTask(name="health", work=app.health.update, interval=_PROBE_INTERVAL),
        signing_keys_task(app.keys, app.clock),
        BackgroundTask(
            name="signing-probe", work=lambda: app.generate.probe_signing(app.clock()), interval=_SIGNING_INTERVAL
        ),
        summaries_task(app.refusal_summarizer),
        BackgroundTask(name="log-summaries", work=_report_dropped_lines, interval=SUMMARY_INTERVAL, delayed=True),
        BackgroundTask(
            name="prune", work=lambda: _prune(app), interval=_PRUNE_INTERVAL, delayed=True, event="store.not_pruned"
        ),
        BackgroundTask(
            name="callers",
            work=reloader.look,
            interval=_FILES_INTERVAL,
            wake=reloader.woken,
            event="callers.upkeep_failed",
        ),
    ]
    tasks.append(BackgroundTask(name="agreement", work=app.agreement.look, interval=_AGREEMENT_INTERVAL))
    tasks.append(BackgroundTask(name="key-expiry", work=app.key_expiry.look, interval=_EXPIRY_INTERVAL))
    if app.file_modes is not None:
        tasks.append(BackgroundTask(name="file-modes", work=app.file_modes.look, interval=_FILES_INTERVAL))
    if certificate is not None:
        tasks.append(
            BackgroundTask(name="http-certificate", work=certificate.look, interval=_FILES_INTERVAL, delayed=True)
        )
    return [*tasks, *_telemetry_tasks(app.telemetry)]


def follower_task(follower: StoreFollower) -> BackgroundTask:
    """Look at the store's changes. A failed look pauses no longer than others: revocations are among the changes."""
    return BackgroundTask(
        name="store-follower",
        work=follower.catch_up,
        interval=follower.interval,
        wake=follower.woken,
        longest_backoff=follower.interval,
        event="follower.failed",
    )


def leases_task(leases: CallerLeases) -> BackgroundTask:
    """Renew the leases of callers. A failed renewal pauses no longer than others: calls wait for the next one."""
    return BackgroundTask(
        name="leases",
        work=leases.renew,
        interval=INTERVAL,
        wake=leases.woken,
        longest_backoff=INTERVAL,
        event="limits.not_leased",
    )


def signing_keys_task(keys: SigningKeyManager, clock: Callable[[], Millis]) -> BackgroundTask:
    """Prepare, rotate and delete signing keys when they are due."""
    return BackgroundTask(
        name="signing-keys",
        work=lambda: keys.maintain(clock()),
        interval=lambda: keys.seconds_to_next_look(clock()),
        wake=keys.woken,
        event="keys.not_maintained",
    )


def summaries_task(summarizer: RefusalSummarizer) -> BackgroundTask:
    """Write the counts of refused calls to the audit log."""
    return BackgroundTask(
        name="audit-summaries",
        # A stop in the middle must not lose or double what is being written.
        work=lambda: asyncio.shield(summarizer.flush()),
        interval=SUMMARY_INTERVAL,
        delayed=True,
    )


def _telemetry_tasks(telemetry: Telemetry) -> Iterator[BackgroundTask]:
    """Yield the exports that are on."""
    if telemetry.traces is not None:
        yield BackgroundTask(
            name="telemetry-traces",
            work=telemetry.traces.turn,
            interval=telemetry.interval,
            wake=telemetry.traces.wake,
            delayed=True,
            event="telemetry.not_exported",
        )
    if telemetry.metrics is not None:
        yield BackgroundTask(
            name="telemetry-metrics",
            work=telemetry.metrics.turn,
            interval=telemetry.interval,
            delayed=True,
            event="telemetry.not_exported",
        )


async def _report_dropped_lines() -> None:
    report_dropped()


async def _prune(app: App) -> None:
    now = app.clock_watch.cautious()
    await app.revocations.prune(now)
    rows = await app.store.delete_expired(now)
    structlog.stdlib.get_logger(__name__).debug("store.pruned", rows=rows)

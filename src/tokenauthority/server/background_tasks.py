"""The tasks that run beside the RPCs of a server: what each does, when, and what its failure means."""

from __future__ import annotations

import asyncio

from collections.abc import Callable
from typing import Final

import structlog

from tokenauthority.authority.signing_keys import SigningKeyManager
from tokenauthority.authority.store_follower import StoreFollower
from tokenauthority.domain.times import Millis
from tokenauthority.interceptors.refusal_summarizer import SUMMARY_INTERVAL, RefusalSummarizer
from tokenauthority.server.background import BackgroundTask
from tokenauthority.server.http import HttpServer
from tokenauthority.server.wiring import App


_PRUNE_INTERVAL: Final = 600.0
_FILES_INTERVAL: Final = 1.0
"""Seconds between two looks for what the store may delete, and between two at files that an operator may change."""


def tasks_of(app: App, web: HttpServer) -> list[BackgroundTask]:
    """Return every task of the server *app*, whose HTTP listener is *web*."""
    reloader, certificate = app.callers_reloader, app.http_certificate
    tasks = [
        # Without probes, metrics and JWKS the server is as good as down: its orchestrator starts it again.
        BackgroundTask(name="http", work=web.serve, fatal=True),
        follower_task(app.follower),
        signing_keys_task(app.keys, app.clock),
        summaries_task(app.refusal_summarizer),
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
    if certificate is not None:
        tasks.append(
            BackgroundTask(name="http-certificate", work=certificate.look, interval=_FILES_INTERVAL, delayed=True)
        )
    return tasks


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


def signing_keys_task(keys: SigningKeyManager, clock: Callable[[], Millis]) -> BackgroundTask:
    """Prepare, rotate and delete signing keys when they are due."""
    return BackgroundTask(
        name="signing-keys",
        work=lambda: keys.maintain(clock()),
        interval=lambda: keys.seconds_to_next_look(clock()),
        wake=keys.woken,
        event="keys.not_maintained",
    )


def summaries_task(sampler: RefusalSummarizer) -> BackgroundTask:
    """Write the counts of refused calls to the audit log."""
    return BackgroundTask(
        name="audit-summaries",
        # A stop in the middle must not lose or double what is being written.
        work=lambda: asyncio.shield(sampler.flush()),
        interval=SUMMARY_INTERVAL,
        delayed=True,
    )


async def _prune(app: App) -> None:
    await app.revocations.prune(app.clock())
    rows = await app.store.delete_expired(app.clock())
    structlog.stdlib.get_logger(__name__).debug("store.pruned", rows=rows)

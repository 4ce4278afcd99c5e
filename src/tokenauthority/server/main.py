"""Run the authority from its settings until SIGTERM or SIGINT, and stop it without losing an RPC."""

from __future__ import annotations

import asyncio
import signal
import sys

from typing import Final

import attrs
import structlog
import uvloop

from tokenauthority.callers.registry import CurrentCallers
from tokenauthority.config.listeners import listens_for_others_but_ops
from tokenauthority.config.settings import Settings
from tokenauthority.server import descriptors, dev, garbage, lifecycle, logging, master_keys
from tokenauthority.server.background import BackgroundError
from tokenauthority.server.problems import callers_file_of, make_data_dir, start_errors
from tokenauthority.server.service_manager import watchdog_tasks
from tokenauthority.server.wiring import build
from tokenauthority.storage.address import SqliteAddress, StoreAddress
from tokenauthority.storage.migrate import check_schema, migrate, schema_state
from tokenauthority.storage.schema_state import SchemaState
from tokenauthority.storage.sql import open_store
from tokenauthority.storage.store import Store


_CLOSE_TIMEOUT: Final = 10.0
"""Seconds that the store has to close."""


def run(settings: Settings) -> int:
    """Serve until a signal; return the exit status, 1 if the server could not go on. Raise ConfigError."""
    # Until there is something to reload: logrotate may send SIGHUP at any moment, and its default ends the process.
    for number in (signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    logging.configure(settings.logging)
    try:
        with start_errors(settings):
            make_data_dir(settings)
            _prepare_store(settings.store_address)
            uvloop.run(_serve(settings))
    except BackgroundError:
        # Logged, with its cause, when it happened.
        return 1
    return 0


def upgrade_database(settings: Settings) -> tuple[str, bool]:
    """Upgrade the store's schema; return its place, without password, and whether it is new. Raise ConfigError."""
    with start_errors(settings):
        make_data_dir(settings)
        return settings.store_address.description, migrate(settings.store_address)


def database_status(settings: Settings) -> tuple[str, SchemaState]:
    """Return the store's place, without password, and its schema beside the program's. Raise ConfigError."""
    with start_errors(settings):
        return settings.store_address.description, schema_state(settings.store_address)


def _prepare_store(address: StoreAddress) -> None:
    """Upgrade the embedded store, which is this server's own; only check a shared one, which its operator upgrades."""
    if isinstance(address, SqliteAddress):
        migrate(address)
        return
    if not address.is_verified:
        structlog.stdlib.get_logger(__name__).warning("store.not_verified", wanted="sslmode=verify-full")
    state = check_schema(address)
    if state.is_newer:
        structlog.stdlib.get_logger(__name__).warning(
            "store.newer", schema=state.store, own_schema=state.program, oldest_program=state.oldest_program
        )


async def _serve(settings: Settings) -> None:
    # Before anything else, so that a signal at any later moment drains.
    stop = lifecycle.stop_signal()
    logger = structlog.stdlib.get_logger(__name__)
    before, now = descriptors.raise_limit()
    if listens_for_others_but_ops(settings.listen):
        logger.warning("server.ops_on_loopback", ops=settings.listen.ops)
    identity = dev.identity(settings) if settings.dev else None
    if identity is None:
        callers_file = callers_file_of(settings)
        callers = CurrentCallers(callers_file.load())
    else:
        if settings.callers.file is not None:
            logger.warning("callers.ignored", file=str(settings.callers.file))
        callers_file, callers = None, CurrentCallers(identity.registry)
    store = open_store(settings.store_address)
    try:
        sealer = await master_keys.sealer_for(settings, store)
        app = build(settings, store=store, sealer=sealer, callers=callers, callers_file=callers_file)
        limits = app.connection_limits
        logger.info(
            "server.connection_limits",
            open_files=now,
            before=before,
            reserved=descriptors.RESERVED,
            **attrs.asdict(limits),
        )
        lifecycle.handle_signals(app, settings.logging)
        garbage.freeze_start()
        tasks = [*garbage.garbage_tasks(), *watchdog_tasks()]
        async with lifecycle.serving(app, settings, stop.set, tasks) as addresses:
            if identity is not None:
                project = await dev.project_id(app.projects, app.clock())
                dev.let_sdks_in(callers, project)
                with dev.welcomed(settings, addresses, identity.api_key, project) as text:
                    sys.stdout.write(text)
                    sys.stdout.flush()
                    await stop.wait()
            else:
                await stop.wait()
    finally:
        await _close(store)


async def _close(store: Store) -> None:
    """Close the store; one that does not answer must not keep the process from ending, nor hide its error."""
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            await store.close()
    except TimeoutError:
        structlog.stdlib.get_logger(__name__).warning("store.slow_to_close", seconds=_CLOSE_TIMEOUT)

"""Run the authority from its settings until SIGTERM or SIGINT, and stop it without losing an RPC."""

from __future__ import annotations

import asyncio
import signal
import sys

from typing import Final

import attrs
import structlog
import uvloop

from tokenauthority.callers.file import CallersFile, CallersFileError
from tokenauthority.callers.registry import CurrentCallers
from tokenauthority.config.listeners import listens_for_others_but_ops
from tokenauthority.config.loading import ConfigError
from tokenauthority.config.settings import Settings
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.server import descriptors, dev, garbage, lifecycle, logging, master_keys
from tokenauthority.server.background import BackgroundError
from tokenauthority.server.problems import make_data_dir, os_problem, store_problem
from tokenauthority.server.tls import CertificateError
from tokenauthority.server.wiring import build
from tokenauthority.signing.key_provider import KeyProviderError
from tokenauthority.signing.sealing import SealBrokenError
from tokenauthority.storage.address import SqliteAddress, StoreAddress, StoreAddressError
from tokenauthority.storage.migrate import SchemaError, check_schema, migrate
from tokenauthority.storage.sql import open_store
from tokenauthority.storage.store import Store


_CLOSE_TIMEOUT: Final = 10.0
"""Seconds that the store has to close."""


def run(settings: Settings) -> int:
    """Serve until a signal; return the exit status, 1 if the server could not go on. Raise ConfigError."""
    # Until there is something to reload: logrotate may send SIGHUP at any moment, and its default ends the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logging.configure(settings.logging)
    try:
        make_data_dir(settings)
        _prepare_store(settings.store_address)
        uvloop.run(_serve(settings))
    except BackgroundError:
        # Logged, with its cause, when it happened.
        return 1
    except CallersFileError as error:
        raise ConfigError([f"callers file {error.path}: {problem}" for problem in error.problems]) from error
    except (SealBrokenError, CertificateError) as error:
        raise ConfigError([str(error)]) from error
    except KeyProviderError as error:
        raise ConfigError([f"TOKENAUTHORITY_KEYS__PROVIDER: {error}"]) from error
    except (StoreAddressError, SchemaError, UnavailableError) as error:
        raise ConfigError([store_problem(settings, error)]) from error
    except OSError as error:
        raise ConfigError([os_problem(settings, error)]) from error
    return 0


def upgrade_database(settings: Settings) -> tuple[str, bool]:
    """Upgrade the store's schema; return its place, without password, and whether it is new. Raise as `run`."""
    try:
        make_data_dir(settings)
        made = migrate(settings.store_address)
    except (StoreAddressError, SchemaError, UnavailableError) as error:
        raise ConfigError([store_problem(settings, error)]) from error
    except OSError as error:
        raise ConfigError([os_problem(settings, error)]) from error
    return settings.store_address.description, made


def _prepare_store(address: StoreAddress) -> None:
    """Upgrade the embedded store, which is this server's own; only check a shared one, which its operator upgrades."""
    if isinstance(address, SqliteAddress):
        migrate(address)
        return
    if not address.is_verified:
        structlog.stdlib.get_logger(__name__).warning("store.not_verified", wanted="sslmode=verify-full")
    check_schema(address)


async def _serve(settings: Settings) -> None:
    # Before anything else, so that a signal at any later moment drains.
    stop = lifecycle.stop_signal()
    logger = structlog.stdlib.get_logger(__name__)
    before, now = descriptors.raise_limit()
    if listens_for_others_but_ops(settings.listen):
        logger.warning("server.ops_on_loopback", ops=settings.listen.ops)
    identity = dev.identity(settings) if settings.dev else None
    if identity is None:
        callers_file = _callers_file(settings)
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
        lifecycle.reload_at_hang_up(app)
        garbage.freeze_start()
        async with lifecycle.serving(app, settings, stop.set, [garbage.garbage_task()]) as addresses:
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


def _callers_file(settings: Settings) -> CallersFile:
    if settings.callers.file is None:
        raise ConfigError(["a callers file is required"])
    return CallersFile(settings.callers.file, settings.issuance.issuer)

"""Read from the store what callers have used of their limits."""

from __future__ import annotations

import asyncio

from collections.abc import Sequence

from tokenauthority.config.settings import Settings
from tokenauthority.domain.leases import CallerUsage
from tokenauthority.server.problems import start_errors
from tokenauthority.storage.migrate import check_schema
from tokenauthority.storage.sql import open_store


def read_usage(settings: Settings) -> Sequence[CallerUsage]:
    """Return the usage of each caller, by name; raise ConfigError if the store cannot be read."""
    with start_errors(settings):
        check_schema(settings.store_address)
        return asyncio.run(_read(settings))


async def _read(settings: Settings) -> Sequence[CallerUsage]:
    store = open_store(settings.store_address)
    try:
        return await store.list_usage()
    finally:
        await store.close()

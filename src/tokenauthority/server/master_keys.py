"""Read the master keys that the settings name, check that they open the store, and change them."""

from __future__ import annotations

import asyncio
import shlex
import sys

from pathlib import Path
from typing import Final

import structlog

from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.authority.reseal import (
    EarlierVersionError,
    MasterKeyMissingError,
    Resealed,
    require_master_keys,
    reseal,
)
from tokenauthority.config.loading import ConfigError
from tokenauthority.config.master_keys import (
    MasterKeySource,
    MasterKeySourceError,
    previous_key_settings,
    problems_of_master_keys,
    sources_of,
)
from tokenauthority.config.settings import Settings
from tokenauthority.server import dev
from tokenauthority.server.problems import start_errors
from tokenauthority.signing.sealing import MasterKey, Sealer
from tokenauthority.storage.database import StoreLimits
from tokenauthority.storage.migrate import check_schema
from tokenauthority.storage.sql import open_store
from tokenauthority.storage.store import Store


_LIMITS: Final = StoreLimits(unit_timeout=600.0)
"""One transaction seals everything that an earlier version has sealed."""


def read_master_keys(settings: Settings) -> tuple[MasterKey, ...]:
    """Return the master key, and the previous one if there is one; raise ConfigError with every invalid setting."""
    problems = problems_of_master_keys(settings.keys, required=not settings.dev)
    if problems:
        raise ConfigError(problems)
    first, previous = sources_of(settings.keys)
    found = [] if first else [dev.master_key(settings)]
    for source in (*first, *previous):
        try:
            found.append(_parsed(source))
        except MasterKeySourceError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError(problems)
    return tuple(found)


async def sealer_for(settings: Settings, store: Store) -> Sealer:
    """Return the sealer for the data of *store*.

    Raises:
        ConfigError: as `read_master_keys`, or the store has data under another master key, or is of another version.
        UnavailableError: the store cannot be read.
    """
    sealer = Sealer(*read_master_keys(settings))
    try:
        problems = await require_master_keys(store, CredentialSealer(sealer))
    except MasterKeyMissingError as error:
        raise _other_master_key(settings, error) from error
    except EarlierVersionError as error:
        raise _earlier_version(settings, error) from error
    logger = structlog.stdlib.get_logger(__name__)
    for problem in problems:
        logger.error("store.not_opened", problem=problem)
    logger.info("master_key.read", seals=sealer.key_ids[0], opens=sealer.key_ids)
    return sealer


def reseal_store(settings: Settings) -> tuple[str, Resealed]:
    """Seal all data of the store under the master key; return the store's place, without password, and the result.

    Raises:
        ConfigError: a setting is not valid, the store cannot be reached, or a master key is missing.
        ResealError: some data could not be sealed again.
    """
    try:
        with start_errors(settings):
            check_schema(settings.store_address)
            return settings.store_address.description, asyncio.run(_reseal(settings))
    except MasterKeyMissingError as error:
        raise _other_master_key(settings, error) from error
    except EarlierVersionError as error:
        raise _earlier_version(settings, error) from error


async def _reseal(settings: Settings) -> Resealed:
    credentials = CredentialSealer(Sealer(*read_master_keys(settings)))
    store = open_store(settings.store_address, _LIMITS)
    try:
        return await reseal(store, credentials)
    finally:
        await store.close()


def _parsed(source: MasterKeySource) -> MasterKey:
    text = source.read()
    try:
        return MasterKey.parse(text)
    except ValueError as error:
        place = "" if source.path is None else f"{source.path}: "
        raise MasterKeySourceError(f"{source.variable}: {place}{error}") from error


def _other_master_key(settings: Settings, error: MasterKeyMissingError) -> ConfigError:
    first, _ = sources_of(settings.keys)
    variable = first[0].variable if first else "TOKENAUTHORITY_DATA_DIR"
    help_ = f"give a missing key in one of {previous_key_settings()}, or restore the rows from a backup"
    return ConfigError([f"{variable}: {problem}; {help_}" for problem in error.problems])


def _earlier_version(settings: Settings, error: EarlierVersionError) -> ConfigError:
    """Say what to type: version 1 ends together with the master key that sealed it."""
    place = settings.store_address.description
    if not settings.dev or any(sources_of(settings.keys)):
        help_ = (
            "stop all servers; make a new master key, and give the present one as the previous one, in one of"
            f" {previous_key_settings()}; run `tokenauthority keys reseal --config FILE`, then remove the previous key."
            " If this store was sealed anew before, somebody has put old data into it: restore a backup instead."
            " See docs/how-to/upgrade.md"
        )
        return ConfigError([f"{place}: {error}: {help_}"])
    directory = settings.data_dir.absolute()
    key, old = (shlex.quote(str(directory / name)) for name in ("master.key", "previous.key"))
    variables = (
        f"TOKENAUTHORITY_DATA_DIR={shlex.quote(str(directory))} TOKENAUTHORITY_KEYS__PREVIOUS_MASTER_KEY_FILE={old}"
    )
    command = shlex.quote(str(Path(sys.executable).with_name("tokenauthority")))
    typed = f"mv {key} {old} && {variables} {command} keys reseal --dev && rm {old}"
    return ConfigError([f"{place}: {error}: stop the server, and type: {typed}"])

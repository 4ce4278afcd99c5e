"""Read the master keys that the settings name, check that they open the store, and change them."""

from __future__ import annotations

import asyncio

import structlog

from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.authority.reseal import MasterKeyMissingError, Resealed, require_master_keys, reseal
from tokenauthority.config.loading import ConfigError
from tokenauthority.config.master_keys import (
    MasterKeySource,
    MasterKeySourceError,
    previous_key_settings,
    problems_of_master_keys,
    sources_of,
)
from tokenauthority.config.settings import Settings
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.server import dev
from tokenauthority.server.problems import store_problem
from tokenauthority.signing.sealing import MasterKey, Sealer
from tokenauthority.storage.address import StoreAddressError, parse_address
from tokenauthority.storage.migrate import SchemaError, check_schema
from tokenauthority.storage.sql import open_store
from tokenauthority.storage.store import Store


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
        ConfigError: as `read_master_keys`, or the store has data under another master key.
        UnavailableError: the store cannot be read.
    """
    sealer = Sealer(*read_master_keys(settings))
    try:
        await require_master_keys(store, CredentialSealer(sealer))
    except MasterKeyMissingError as error:
        raise _other_master_key(settings, error) from error
    logger = structlog.stdlib.get_logger(__name__)
    for source in (source for sources in sources_of(settings.keys) for source in sources if source.exposed()):
        logger.warning("master_key.exposed", setting=source.variable, path=str(source.path), wanted="mode 0600")
    logger.info("master_key.read", seals=sealer.key_ids[0], opens=sealer.key_ids)
    return sealer


def reseal_store(settings: Settings) -> tuple[str, Resealed]:
    """Seal all data of the store under the master key; return the store's place, without password, and the result.

    Raises:
        ConfigError: a setting is not valid, the store cannot be reached, or a master key is missing.
        ResealError: some data could not be sealed again.
    """
    try:
        check_schema(settings.database_url)
        resealed = asyncio.run(_reseal(settings))
    except MasterKeyMissingError as error:
        raise _other_master_key(settings, error) from error
    except (StoreAddressError, SchemaError, UnavailableError) as error:
        raise ConfigError([store_problem(settings, error)]) from error
    return parse_address(settings.database_url).description, resealed


async def _reseal(settings: Settings) -> Resealed:
    credentials = CredentialSealer(Sealer(*read_master_keys(settings)))
    store = open_store(settings.database_url)
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
    help_ = f"give that key there, or beside it in one of {previous_key_settings()}"
    return ConfigError([f"{variable}: {problem}; {help_}" for problem in error.problems])

"""Change the master key of a store while its servers run: `tokenauthority keys reseal`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tokenauthority.cli.failures import ConfigurationFailure, Failure
from tokenauthority.cli.options import Command, current
from tokenauthority.cli.output import show_record
from tokenauthority.cli.server import config_option, dev_option, load_settings


if TYPE_CHECKING:
    from pathlib import Path


@click.command("reseal", cls=Command)
@dev_option
@config_option
def reseal(*, dev: bool, config_file: Path | None) -> None:
    """Encrypt every stored key and secret under the master key of the settings.

    This command opens the store itself, with the server's settings, while servers run. To open what another master key
    has sealed, the settings must name that key as the previous one. Safe to repeat, also after an interruption.
    """
    from tokenauthority.authority.reseal import ResealError
    from tokenauthority.config.loading import ConfigError
    from tokenauthority.server.master_keys import reseal_store

    try:
        store, done = reseal_store(load_settings(config_file, dev=dev, complete=False))
    except ConfigError as error:
        raise ConfigurationFailure(str(error)) from error
    except ResealError as error:
        raise Failure(str(error)) from error
    show_record(
        {
            "store": store,
            "master_key_id": done.master_key_id,
            "signing_keys_sealed_anew": done.signing_keys,
            "project_credentials_sealed_anew": done.project_credentials,
            "already_under_it": done.already,
        },
        as_json=current().as_json,
    )

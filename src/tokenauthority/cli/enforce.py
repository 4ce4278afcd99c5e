"""`tokenauthority enforce`: remove people from real-time servers whose tokens were revoked."""

from __future__ import annotations

import sys

from pathlib import Path

import click

from tokenauthority.cli.failures import ConfigurationFailure
from tokenauthority.cli.options import Command, current


@click.command(cls=Command)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    required=True,
    help="Settings of the enforcer in TOML.",
)
@click.option("--check", is_flag=True, help="Check the settings, and do nothing else.")
def enforce(config_file: Path, *, check: bool) -> None:
    """Remove people from real-time servers whose tokens were revoked, until SIGTERM or SIGINT.

    It follows the revocations of the authority as a caller with the actions tokens.watch and sessions.read, and calls
    the admin APIs of LiveKit, Centrifugo and MediaMTX, whose keys the settings name.
    """
    from tokenauthority.config.loading import ConfigError
    from tokenauthority.enforcer.main import run
    from tokenauthority.enforcer.settings import load_settings

    try:
        settings, servers = load_settings(config_file)
        connection = current().connection()
        if not check:
            sys.exit(run(settings, servers, connection))
    except ConfigError as error:
        raise ConfigurationFailure(str(error)) from error

"""`tokenauthority serve`, `config` and `db`: run a server, show its settings, manage its database."""

from __future__ import annotations

import os
import sys

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tokenauthority.cli.failures import ConfigurationFailure
from tokenauthority.cli.options import Command, Group, current
from tokenauthority.cli.output import show_list


if TYPE_CHECKING:
    from tokenauthority.config import Settings


config_option: Final = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    envvar="TOKENAUTHORITY_CONFIG",
    show_envvar=True,
    help="Settings in TOML; TOKENAUTHORITY_* variables win over it.",
)
dev_option: Final = click.option(
    "--dev", is_flag=True, help="For development: plaintext on loopback, everything made on first start."
)


@click.command(cls=Command)
@dev_option
@config_option
@click.option(
    "--dev-api-key",
    metavar="KEY",
    help="The API key of --dev: tak_ and 43 of A-Z a-z 0-9 _ -. Default: one is made and kept.",
)
def serve(*, dev: bool, config_file: Path | None, dev_api_key: str | None) -> None:
    """Run an authority until SIGTERM or SIGINT.

    Without --dev, TLS, a callers file and a master key are required: see `tokenauthority config show`.
    """
    if dev_api_key is not None and not dev:
        raise click.UsageError("--dev-api-key goes with --dev only")
    # Before gRPC is imported. It would print a line for every handshake that fails, which anybody can have it do.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from tokenauthority.config import ConfigError
    from tokenauthority.server.main import run

    settings = loaded(config_file, dev=dev, dev_api_key=dev_api_key)
    try:
        status = run(settings)
    except ConfigError as error:
        raise ConfigurationFailure(str(error)) from error
    sys.exit(status)


@click.group(cls=Group)
def config() -> None:
    """Show the settings of a server."""


@config.command("show")
@dev_option
@config_option
def show_config(*, dev: bool, config_file: Path | None) -> None:
    """Show every setting with its variable, its value (secrets hidden) and what it means."""
    from tokenauthority.config import describe, problems_of

    columns = ("variable", "value", "meaning")
    settings = loaded(config_file, dev=dev, complete=False)
    rows: list[dict[str, object]] = [dict(zip(columns, row, strict=True)) for row in describe(settings)]
    show_list(rows, columns, as_json=current().as_json)
    for problem in problems_of(settings):
        click.echo(f"a server cannot start: {problem}", err=True)


@click.group(cls=Group)
def db() -> None:
    """Manage the server's database."""


@db.command()
@dev_option
@config_option
def upgrade(*, dev: bool, config_file: Path | None) -> None:
    """Bring the database's schema up to this version. Safe to repeat."""
    from tokenauthority.config import ConfigError
    from tokenauthority.server.main import upgrade_database

    try:
        place, made = upgrade_database(loaded(config_file, dev=dev, complete=False))
    except ConfigError as error:
        raise ConfigurationFailure(str(error)) from error
    click.echo(f"{place}: {'made new, ' if made else ''}up to date")


def loaded(
    config_file: Path | None, *, dev: bool = False, dev_api_key: str | None = None, complete: bool = True
) -> Settings:
    """The server's settings, *complete* enough to start with or as they are.

    Raises:
        ConfigurationFailure: they are not valid, or not complete; it names everything at once.
    """
    from tokenauthority.config import ConfigError, load, read

    try:
        return (load if complete else read)(config_file, dev=dev, dev_api_key=dev_api_key)
    except ConfigError as error:
        raise ConfigurationFailure(str(error)) from error

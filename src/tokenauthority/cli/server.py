"""Run a server, show its settings and manage its database: `tokenauthority serve`, `config` and `db`."""

from __future__ import annotations

import sys

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tokenauthority.cli.failures import ConfigurationFailure, UnreachableFailure
from tokenauthority.cli.options import Command, Group, current
from tokenauthority.cli.output import print_text, show_list, show_record


if TYPE_CHECKING:
    from tokenauthority.config.settings import Settings


config_option: Final = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    envvar="TOKENAUTHORITY_CONFIG",
    show_envvar=True,
    help="Settings in TOML; TOKENAUTHORITY_* variables override them.",
)
dev_option: Final = click.option(
    "--dev",
    is_flag=True,
    help="For development: plaintext on loopback; the first start creates everything that is needed.",
)


@click.command(cls=Command)
@dev_option
@config_option
@click.option(
    "--dev-api-key",
    metavar="KEY",
    help="The API key of --dev: tak_ and 43 of A-Z a-z 0-9 _ -. Default: the first start creates and stores one.",
)
def serve(*, dev: bool, config_file: Path | None, dev_api_key: str | None) -> None:
    """Run an authority until SIGTERM or SIGINT.

    Without --dev, TLS, a callers file and a master key are required: see `tokenauthority config show`.
    """
    if dev_api_key is not None and not dev:
        raise click.UsageError("--dev-api-key requires --dev")
    from tokenauthority.config.loading import ConfigError
    from tokenauthority.server.main import run
    from tokenauthority.server.problems import StoreAwayError

    settings = load_settings(config_file, dev=dev, dev_api_key=dev_api_key)
    try:
        sys.exit(run(settings))
    except StoreAwayError as error:
        raise UnreachableFailure(str(error)) from error
    except ConfigError as error:
        raise ConfigurationFailure(str(error)) from error


@click.group(cls=Group)
def config() -> None:
    """Show and validate the settings of a server."""


@config.command("show")
@dev_option
@config_option
def show_config(*, dev: bool, config_file: Path | None) -> None:
    """Show every setting with its variable, value (secrets are hidden) and meaning, and the memory that they allow."""
    from tokenauthority.config.loading import describe, problems_of
    from tokenauthority.server.memory import worst_case, worst_case_text

    columns = ("variable", "value", "meaning")
    settings = load_settings(config_file, dev=dev, complete=False)
    rows: list[dict[str, object]] = [dict(zip(columns, row, strict=True)) for row in describe(settings)]
    parts = worst_case(settings)
    if current().as_json:
        memory = {"worst_case_bytes": sum(parts.values()), "parts": parts}
        show_record({"settings": rows, "memory": memory}, as_json=True)
    else:
        show_list(rows, columns, as_json=False)
        print_text(worst_case_text(parts))
    for problem in problems_of(settings):
        print_text(f"a server cannot start: {problem}", err=True)


@config.command("validate")
@dev_option
@config_option
def validate_config(*, dev: bool, config_file: Path | None) -> None:
    """Find all for which a server would refuse to start. Exit code 2 if there is anything.

    Reads certificates, callers file, master key, key provider and store as a server does. Changes nothing: a server may
    run.
    """
    from tokenauthority.server.validation import problems_of_start

    problems = problems_of_start(load_settings(config_file, dev=dev, complete=False))
    if current().as_json:
        show_record({"valid": not problems, "problems": problems}, as_json=True)
    elif not problems:
        print_text("valid: a server can start with these settings")
    for problem in problems:
        print_text(f"a server cannot start: {problem}", err=True)
    if problems:
        sys.exit(ConfigurationFailure.exit_code)


@click.group(cls=Group)
def db() -> None:
    """Manage the server's database."""


@db.command("upgrade")
@dev_option
@config_option
def upgrade_schema(*, dev: bool, config_file: Path | None) -> None:
    """Upgrade the database schema to this version. Safe to repeat."""
    from tokenauthority.config.loading import ConfigError
    from tokenauthority.server.main import upgrade_database
    from tokenauthority.server.problems import StoreAwayError

    try:
        store, created = upgrade_database(load_settings(config_file, dev=dev, complete=False))
    except StoreAwayError as error:
        raise UnreachableFailure(str(error)) from error
    except ConfigError as error:
        raise ConfigurationFailure(str(error)) from error
    print_text(f"{store}: {'made new, ' if created else ''}up to date")


@db.command("status")
@dev_option
@config_option
def show_schema(*, dev: bool, config_file: Path | None) -> None:
    """Show the schema of the database and of this version, and what an upgrade would do. Changes nothing."""
    from tokenauthority.config.loading import ConfigError
    from tokenauthority.server.main import database_status
    from tokenauthority.server.problems import StoreAwayError

    try:
        store, state = database_status(load_settings(config_file, dev=dev, complete=False))
    except StoreAwayError as error:
        raise UnreachableFailure(str(error)) from error
    except ConfigError as error:
        raise ConfigurationFailure(str(error)) from error
    record: dict[str, object] = {
        "store": store,
        "schema": state.store or "",
        "oldest_program": state.oldest_program or "",
        "program": state.program,
        "pending": list(state.pending),
        "upgrade_stops_servers": state.upgrade_stops_servers,
    }
    show_record(record, as_json=current().as_json)
    if problem := state.problem:
        print_text(f"a server cannot start: {problem}", err=True)


def load_settings(
    config_file: Path | None, *, dev: bool = False, dev_api_key: str | None = None, complete: bool = True
) -> Settings:
    """Return the server's settings, or raise ConfigurationFailure; *complete* ones let a server start."""
    from tokenauthority.config.loading import ConfigError, load, read

    try:
        return (load if complete else read)(config_file, dev=dev, dev_api_key=dev_api_key)
    except ConfigError as error:
        raise ConfigurationFailure(str(error)) from error

"""`tokenauthority callers`: make API keys. Talks to no authority: its callers file is the operator's."""

from __future__ import annotations

import json
import os

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tokenauthority.cli.failures import ConfigurationFailure
from tokenauthority.cli.options import Group, current
from tokenauthority.cli.output import to_json


if TYPE_CHECKING:
    from collections.abc import Sequence


_BACK_END: Final = ("sessions.create", "sessions.read", "tokens.generate", "tokens.verify")
_ADMIN: Final = ("projects.create", "projects.read", "projects.update", "projects.rotate", "keys.read")
_ROLES: Final = ("subscriber", "publisher", "moderator")


@click.group(cls=Group)
def callers() -> None:
    """Make API keys for callers: the back ends that call the authority."""


@callers.command("new-key")
@click.option("--name", default="my-service", show_default=True, help="The caller's name in the file.")
@click.option(
    "--project", "projects", multiple=True, metavar="ID", help="Which it may use; * for all. May be repeated."
)
@click.option("--action", "actions", multiple=True, metavar="NAME", help="What it may do. May be repeated.")
@click.option("--role", "roles", multiple=True, metavar="NAME", help="What its tokens may carry. May be repeated.")
@click.option("--admin", is_flag=True, help="For an operator: all projects and their secrets, but no tokens.")
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Keep the key in this new file (mode 0600) instead of showing it.",
)
def new_key(
    *,
    name: str,
    projects: tuple[str, ...],
    actions: tuple[str, ...],
    roles: tuple[str, ...],
    admin: bool,
    key_file: Path | None,
) -> None:
    """Make an API key, and the entry for callers.toml that makes it good.

    Standard output gets the entry alone, so that `>> callers.toml` is safe; standard error gets the key.
    It is shown this once: the authority only ever has its SHA-256.
    """
    from tokenauthority.callers.api_keys import digest, new_api_key

    key = new_api_key()
    if admin:
        projects, actions = projects or ("*",), actions or _ADMIN
    else:
        projects, actions = projects or (current().project or "PROJECT_ID",), actions or _BACK_END
        roles = roles or _ROLES
    entry = _entry(name, digest(key), projects, actions, roles)
    if key_file is not None:
        _keep(key_file, key)
    if current().as_json:
        shown = None if key_file else key
        click.echo(to_json({"api_key": shown, "api_key_sha256": digest(key), "entry": entry}))
        return
    if key_file is None:
        click.echo(f"The caller's API key, shown this once:\n\n{key}\n\nFor the authority's callers file:\n", err=True)
    click.echo(entry, nl=False)


def _keep(path: Path, key: str) -> None:
    """Never over another key: that one could not be made again."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(key + "\n")
    except OSError as error:
        raise ConfigurationFailure(f"--key-file {path}: {error.strerror}") from error


def _entry(
    name: str, api_key_sha256: str, projects: Sequence[str], actions: Sequence[str], roles: Sequence[str]
) -> str:
    lines = [
        "[[callers]]",
        f"name           = {json.dumps(name)}",
        f'api_key_sha256 = "{api_key_sha256}"',
        f"projects       = {json.dumps(list(projects))}",
        f"actions        = {json.dumps(list(actions))}",
    ]
    if roles:
        lines.append(f"roles          = {json.dumps(list(roles))}")
    return "".join(f"{line}\n" for line in lines)

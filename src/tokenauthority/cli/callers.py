"""`tokenauthority callers`: make API keys. Talks to no authority: its callers file is the operator's."""

from __future__ import annotations

import json

import click

from tokenauthority.cli.options import Group, current
from tokenauthority.cli.output import to_json


@click.group(cls=Group)
def callers() -> None:
    """Make API keys for callers: the back ends that call the authority."""


@callers.command("new-key")
@click.option("--name", default="my-service", show_default=True, help="The caller's name in the file.")
def new_key(name: str) -> None:
    """Make an API key, and the entry for callers.toml that makes it good.

    The key is shown this once: the authority only ever has its SHA-256.
    """
    from tokenauthority.callers.api_keys import digest, new_api_key

    key = new_api_key()
    entry = _entry(name, digest(key), current().project or "PROJECT_ID")
    if current().as_json:
        click.echo(to_json({"api_key": key, "api_key_sha256": digest(key), "entry": entry}))
        return
    click.echo("The caller's API key, shown this once:", err=True)
    click.echo(key)
    click.echo("\nFor the authority's callers file:", err=True)
    click.echo(entry, nl=False)


def _entry(name: str, api_key_sha256: str, project_id: str) -> str:
    """The least that a back end needs that lets people in."""
    return "".join(
        f"{line}\n"
        for line in (
            "[[callers]]",
            f"name           = {json.dumps(name)}",
            f'api_key_sha256 = "{api_key_sha256}"',
            f"projects       = [{json.dumps(project_id)}]",
            'actions        = ["sessions.create", "sessions.read", "tokens.generate", "tokens.verify"]',
            'roles          = ["subscriber", "publisher", "moderator"]',
        )
    )

"""Create credentials for TURN servers: `tokenauthority turn`."""

from __future__ import annotations

import click

from tokenauthority.cli.calls import authority, show_message
from tokenauthority.cli.options import Group
from tokenauthority.cli.values import LIFETIME
from tokenauthority.client import requests


@click.group(cls=Group)
def turn() -> None:
    """Create credentials for TURN servers."""


@turn.command("create")
@click.option("--session", "session_id", required=True, metavar="ID", help="The session whose media is relayed.")
@click.option("--subject", default="", metavar="ID", help="The end user's id, for the audit log.")
@click.option("--ttl", type=LIFETIME, metavar="TIME", help="Lifetime of the credentials: 90s, 15m, 1h. At most 1h.")
def create_turn_credentials(session_id: str, subject: str, ttl: int | None) -> None:
    """Create a user name and a password for the TURN servers of the authority.

    With --json, urls, username and credential are those of an RTCIceServer. The credential is a secret of the end user.
    """
    request = requests.create_turn_credentials_request(session_id, subject, ttl)
    with authority() as client:
        show_message(client.tokens.CreateTurnCredentials(request).credentials)

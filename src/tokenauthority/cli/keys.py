"""`tokenauthority keys`: show the authority's signing keys, and seal everything under a new master key."""

from __future__ import annotations

import click

from tokenauthority.cli.calls import authority, limit_option, read_list
from tokenauthority.cli.options import Group, current
from tokenauthority.cli.output import show_list
from tokenauthority.cli.reseal import reseal
from tokenauthority.v1 import key_pb2


@click.group(cls=Group)
def keys() -> None:
    """Show the authority's signing keys, and change the master key."""


@keys.command("list")
@limit_option
def list_(limit: int) -> None:
    """List the signing keys, newest first, without their material."""
    with authority() as client:
        records = read_list(
            lambda size, token: client.keys.ListSigningKeys(
                key_pb2.ListSigningKeysRequest(page_size=size, page_token=token)
            ),
            lambda page: page.keys,
            limit,
        )
    columns = ("key_id", "algorithm", "state", "create_time", "activate_time", "retire_time", "expire_time")
    show_list(records, columns, as_json=current().as_json)


keys.add_command(reseal)

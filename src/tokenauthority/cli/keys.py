"""`tokenauthority keys`: show the signing keys, change them by hand, and seal everything under a new master key."""

from __future__ import annotations

import re

from typing import Final

import click

from tokenauthority.cli.calls import authority, limit_option, read_list
from tokenauthority.cli.options import Command, Group, current
from tokenauthority.cli.output import record, show_list, show_record
from tokenauthority.cli.reseal import reseal
from tokenauthority.cli.values import ALGORITHMS
from tokenauthority.client.enums import to_value
from tokenauthority.v1 import key_pb2


_DASHED: Final = re.compile(r"-[A-Za-z0-9_-]{42}", re.ASCII)
"""A key id that begins with `-`."""


class _KeyCommand(Command):
    """A command about one key. One id in 64 begins with `-`, and would be taken for an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        dashed = [argument for argument in args if _DASHED.fullmatch(argument)]
        if len(dashed) == 1 and "--" not in args:
            args = [*(argument for argument in args if argument not in dashed), "--", *dashed]
        return super().parse_args(ctx, args)


@click.group(cls=Group)
def keys() -> None:
    """Show and change the authority's signing keys, and the master key."""


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


@keys.command()
@click.option("--algorithm", type=ALGORITHMS, help="Default: that of the authority's settings.")
def prepare(algorithm: str | None) -> None:
    """Make a key and publish it in the JWKS; it does not sign yet. Not safe to repeat: each makes another one."""
    wanted = to_value(key_pb2.SigningAlgorithm, "algorithm", algorithm or "")
    with authority() as client:
        answer = client.keys.PrepareSigningKey(key_pb2.PrepareSigningKeyRequest(algorithm=wanted))
    show_record(record(answer.key), as_json=current().as_json)


@keys.command(cls=_KeyCommand)
@click.argument("key_id")
def activate(key_id: str) -> None:
    """Sign with a key that is PREPARED, once verifiers have had the time to fetch it; the one before is RETIRED."""
    with authority() as client:
        answer = client.keys.ActivateSigningKey(key_pb2.ActivateSigningKeyRequest(key_id=key_id))
    show_record(record(answer.key), as_json=current().as_json)


@keys.command(cls=_KeyCommand)
@click.argument("key_id")
@click.option("--comment", default="", metavar="TEXT", help="For the audit log; at most 256 characters.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def revoke(key_id: str, comment: str, *, yes: bool) -> None:
    """Take a key out of the JWKS for good: no token that it has signed is good any more, in any project.

    If it is the one that signs, a PREPARED key takes its place.
    """
    if not yes:
        click.confirm(f"Every token that {key_id} has signed will be refused. Revoke it?", abort=True, err=True)
    with authority() as client:
        answer = client.keys.RevokeSigningKey(key_pb2.RevokeSigningKeyRequest(key_id=key_id, comment=comment))
    show_record(record(answer.key), as_json=current().as_json)


keys.add_command(reseal)

"""Show and change the signing keys, and change the master key: `tokenauthority keys`."""

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
    """A command about one key. One id in 64 begins with `-` and must not be parsed as an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        dashed = [argument for argument in args if _DASHED.fullmatch(argument)]
        if len(dashed) == 1 and "--" not in args:
            args = [*(argument for argument in args if argument not in dashed), "--", *dashed]
        return super().parse_args(ctx, args)


@click.group(cls=Group)
def keys() -> None:
    """Show and change the signing keys, and change the master key."""


@keys.command("list")
@limit_option
def list_keys(limit: int) -> None:
    """List the signing keys, newest first, without their private parts."""
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


@keys.command("prepare")
@click.option("--algorithm", type=ALGORITHMS, help="Default: the algorithm of the authority's settings.")
def prepare_key(algorithm: str | None) -> None:
    """Create a key and publish it in the JWKS; the key does not sign yet. Each repetition creates another key."""
    wanted = to_value(key_pb2.SigningAlgorithm, "algorithm", algorithm or "")
    with authority() as client:
        answer = client.keys.PrepareSigningKey(key_pb2.PrepareSigningKeyRequest(algorithm=wanted))
    show_record(record(answer.key), as_json=current().as_json)


@keys.command("activate", cls=_KeyCommand)
@click.argument("key_id")
def activate_key(key_id: str) -> None:
    """Sign with a PREPARED key from now on; the key that signed before becomes RETIRED.

    The authority refuses this until verifiers have had the time to fetch the key.
    """
    with authority() as client:
        answer = client.keys.ActivateSigningKey(key_pb2.ActivateSigningKeyRequest(key_id=key_id))
    show_record(record(answer.key), as_json=current().as_json)


@keys.command("revoke", cls=_KeyCommand)
@click.argument("key_id")
@click.option("--comment", default="", metavar="TEXT", help="For the audit log; at most 256 characters.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def revoke_key(key_id: str, comment: str, *, yes: bool) -> None:
    """Remove a key from the JWKS for ever: every token that the key has signed becomes invalid, in every project.

    If the key is the one that signs, a PREPARED key replaces it.
    """
    if not yes:
        click.confirm(f"Every token that {key_id} has signed will be refused. Revoke it?", abort=True, err=True)
    with authority() as client:
        answer = client.keys.RevokeSigningKey(key_pb2.RevokeSigningKeyRequest(key_id=key_id, comment=comment))
    show_record(record(answer.key), as_json=current().as_json)


keys.add_command(reseal)

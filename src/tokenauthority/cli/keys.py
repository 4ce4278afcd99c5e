"""Show and change the signing keys, and change the master key: `tokenauthority keys`."""

from __future__ import annotations

import re

from pathlib import Path
from typing import Final

import click

from tokenauthority.cli.calls import authority, limit_option, show_message, show_pages
from tokenauthority.cli.confirmation import confirm, yes_option
from tokenauthority.cli.failures import ConfigurationFailure, Failure
from tokenauthority.cli.options import Command, Group, current
from tokenauthority.cli.output import print_text, record, show_record, to_json
from tokenauthority.cli.server import config_option, dev_option, load_settings
from tokenauthority.cli.values import ALGORITHMS
from tokenauthority.client.conversions import to_value
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
    columns = ("key_id", "algorithm", "state", "create_time", "activate_time", "retire_time", "expire_time")
    with authority() as client:
        request = key_pb2.ListSigningKeysRequest()
        show_pages(client.keys.ListSigningKeys, request, lambda page: page.keys, limit, columns)


@keys.command("jwks")
def show_key_set() -> None:
    """Print the JSON Web Key Set (RFC 7517): the public keys by which others verify SESSION_JWT tokens."""
    with authority() as client:
        answer = client.keys.GetJsonWebKeySet(key_pb2.GetJsonWebKeySetRequest())
    keys_of_set = [{name: value for name, value in record(key).items() if value} for key in answer.keys]
    print_text(to_json({"keys": keys_of_set}))


@keys.command("prepare")
@click.option("--algorithm", type=ALGORITHMS, help="Default: the algorithm of the authority's settings.")
def prepare_key(algorithm: str | None) -> None:
    """Create a key and publish it in the JWKS; the key does not sign yet. Each repetition creates another key."""
    wire_algorithm = to_value(key_pb2.SigningAlgorithm, "algorithm", algorithm or "")
    with authority() as client:
        show_message(client.keys.PrepareSigningKey(key_pb2.PrepareSigningKeyRequest(algorithm=wire_algorithm)).key)


@keys.command("activate", cls=_KeyCommand)
@click.argument("key_id")
def activate_key(key_id: str) -> None:
    """Sign with a PREPARED key from now on; the key that signed before becomes RETIRED.

    The authority refuses this until verifiers have had the time to fetch the key.
    """
    with authority() as client:
        show_message(client.keys.ActivateSigningKey(key_pb2.ActivateSigningKeyRequest(key_id=key_id)).key)


@keys.command("revoke", cls=_KeyCommand)
@click.argument("key_id")
@click.option("--comment", default="", metavar="TEXT", help="For the audit log; at most 256 characters.")
@yes_option
def revoke_key(key_id: str, comment: str, *, yes: bool) -> None:
    """Remove a key from the JWKS for ever: every token that the key has signed becomes invalid, in every project.

    If the key is the one that signs, a PREPARED key replaces it.
    """
    if not yes:
        confirm(f"Every token that {key_id} has signed will be refused. Revoke it?")
    request = key_pb2.RevokeSigningKeyRequest(key_id=key_id, comment=comment)
    with authority() as client:
        show_message(client.keys.RevokeSigningKey(request).key)


@keys.command("reseal")
@dev_option
@config_option
def reseal_secrets(*, dev: bool, config_file: Path | None) -> None:
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

"""Generate, verify, revoke and inspect tokens: `tokenauthority tokens`."""

from __future__ import annotations

import sys
import time

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Unpack

import click

from tokenauthority.cli.batch import batch
from tokenauthority.cli.failures import NOT_ACTIVE, Failure
from tokenauthority.cli.options import Group, current
from tokenauthority.cli.output import Record, print_text, record, show_record
from tokenauthority.cli.values import FORMATS, LIFETIME, MOMENT, PERMISSIONS, read_text
from tokenauthority.cli.watch import watch


if TYPE_CHECKING:
    from tokenauthority.client import Authority, TokenOptions
    from tokenauthority.signing.results import Unverified


@click.group(cls=Group)
def tokens() -> None:
    """Generate, verify, revoke and inspect tokens."""


@tokens.command("generate")
@click.option("--session", "session_id", required=True, metavar="ID", help="The session to join.")
@click.option("--role", default="", metavar="NAME", help="Default: publisher.")
@click.option("--data", default="", metavar="TEXT", help="Connection data, which everyone in the session can read.")
@click.option("--expire-time", type=MOMENT, metavar="TIME", help="When the token expires: RFC 3339 or epoch seconds.")
@click.option("--ttl", type=LIFETIME, metavar="TIME", help="Lifetime of the token: 90s, 15m, 12h, 30d.")
@click.option("--format", type=FORMATS, help="Default: the project's default format.")
@click.option(
    "--layout-class",
    "initial_layout_class_list",
    multiple=True,
    metavar="NAME",
    help="Initial layout class; may be repeated.",
)
@click.option("--subject", default="", metavar="ID", help="The end user's id; not in the OpenTok and Vonage formats.")
@click.option("--quiet", "-q", is_flag=True, help="Print only the token.")
def request_token(*, session_id: str, quiet: bool, **options: Unpack[TokenOptions]) -> None:
    """Generate a token for a session: standard output has only the token, standard error its fields."""
    from tokenauthority.cli.calls import authority
    from tokenauthority.client import TokenRequest, requests

    options["format"] = options.get("format") or ""
    try:
        request = requests.generate_token_request(TokenRequest(session_id, **options))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with authority() as client:
        token = record(client.tokens.GenerateToken(request).token)
    if current().as_json:
        show_record(token, as_json=True)
        return
    print_text(str(token.pop("token")))
    if not quiet:
        show_record(token, as_json=False, err=True)


@tokens.command("verify")
@click.argument("token", default="-")
@click.option(
    "--session",
    "session_id",
    default="",
    metavar="ID",
    help="The session that the token must be for, by its id or name.",
)
@click.option("--permission", multiple=True, type=PERMISSIONS, help="A permission that the token must have.")
def check_token(token: str, session_id: str, permission: tuple[str, ...]) -> None:
    """Ask the authority whether a token is active now. Exit code 4 if it is not.

    Without TOKEN, or with -, the token is read from standard input. The process list shows a token on the command line.
    """
    from tokenauthority.cli.calls import authority
    from tokenauthority.client import requests

    request = requests.verify_token_request(_token_text(token), session_id, permission)
    with authority() as client:
        answer = record(client.tokens.VerifyToken(request))
    if current().as_json:
        show_record(answer, as_json=True)
    else:
        _show_verdict(answer)
    if not answer["active"]:
        sys.exit(NOT_ACTIVE)


@tokens.command("revoke")
@click.option("--token", metavar="TOKEN", help="This token; - is standard input.")
@click.option("--token-id", metavar="ID", help="The token with this id.")
@click.option("--session", metavar="ID", help="Every token of this session.")
@click.option("--subject", metavar="ID", help="Every token of this end user.")
@click.option(
    "--issued-before",
    type=MOMENT,
    metavar="TIME",
    help="Revoke only tokens issued in this second or earlier: RFC 3339 or epoch seconds. Default: now; for one token "
    "five minutes from now, because servers' clocks may differ.",
)
@click.option("--comment", default="", metavar="TEXT", help="For the audit log and for `tokens watch`.")
def request_revocation(*, issued_before: int | datetime | None, comment: str, **targets: str | None) -> None:
    """Revoke one token, or all tokens of a session or of an end user, that were issued up to a time.

    Give exactly one of --token, --token-id, --session and --subject. The session stays open, and tokens issued from the
    next second on are valid; `tokenauthority sessions end` ends the session. The process list shows a token on the
    command line. Safe to repeat.
    """
    from tokenauthority.cli.calls import authority, show_message
    from tokenauthority.client import requests

    given = {name: value for name, value in targets.items() if value is not None}
    if len(given) != 1:
        raise click.UsageError("give exactly one of --token, --token-id, --session and --subject")
    if "" in given.values():
        # An unset variable of the shell gives an empty value.
        raise click.UsageError(f"--{next(iter(given)).replace('_', '-')} is empty")
    try:
        request = requests.revoke_tokens_request(
            current().project,
            token=_token_text(given["token"]) if "token" in given else None,
            token_id=given.get("token_id"),
            session_id=given.get("session"),
            subject=given.get("subject"),
            issued_before=issued_before,
            comment=comment,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with authority() as client:
        show_message(client.tokens.RevokeTokens(request).revocation)
        if "session" in given:
            _warn_of_unknown_session(client, given["session"])


def _warn_of_unknown_session(client: Authority, session_id: str) -> None:
    """Say so if the store has no such session: its revocation succeeds, because tokens can outlive their session."""
    from tokenauthority.client.errors import AuthorityError, NotFound

    try:
        client.get_session(session_id)
    except NotFound:
        print_text(f"warning: there is no session {session_id}; if the id is misspelt, nothing was revoked", err=True)
    except AuthorityError:
        # Whoever may revoke need not be allowed to read sessions.
        return


tokens.add_command(watch)
tokens.add_command(batch)


@tokens.command("inspect")
@click.argument("token", default="-")
def inspect_token(token: str) -> None:
    """Show the content of a token of any format, without an authority.

    The signature is NOT verified: anyone can write such a token.

    Without TOKEN, or with -, the token is read from standard input. The process list shows a token on the command line.
    """
    from tokenauthority.domain.token import TokenRejectedError
    from tokenauthority.signing.formats.registry import read_token

    try:
        claims = _claims_of(read_token(_token_text(token)))
    except TokenRejectedError as error:
        raise Failure(f"this is no token of a known format: {error.detail} ({error.reason})") from error
    show_record(claims, as_json=current().as_json)
    if not current().as_json:
        print_text("The signature is NOT verified: `tokenauthority tokens verify` verifies it.", err=True)


def _token_text(argument: str) -> str:
    return read_text("-", "token") if argument == "-" else argument


def _show_verdict(answer: Record) -> None:
    print_text("active" if answer["active"] else f"not active: {answer['reason']}: {answer['reason_detail']}")
    claims = answer["claims"]
    if isinstance(claims, dict):
        show_record(claims, as_json=False)


def _claims_of(token: Unverified) -> Record:
    """Return the token's claims by the names of the contract's TokenClaims, and what is known without keys."""
    claims = token.claims
    return {
        "format": token.format.lower(),
        "algorithm": token.algorithm,
        "signature_checked": False,
        "expired": claims.valid_until() <= time.time(),
        "token_id": claims.token_id,
        "session_id": claims.session_id,
        "project_id": claims.project_id,
        "application_id": claims.application_id,
        "role": claims.role,
        "permissions": list(claims.permissions),
        "data": claims.data,
        "initial_layout_class_list": list(claims.initial_layout_class_list),
        "subject": claims.subject,
        "issuer": claims.issuer,
        "key_id": token.key_hint,
        "issue_time": datetime.fromtimestamp(claims.issue_time, UTC),
        "expire_time": datetime.fromtimestamp(claims.expire_time, UTC),
    }

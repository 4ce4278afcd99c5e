"""Create API keys and check the callers file, without an authority: `tokenauthority callers`."""

from __future__ import annotations

import json
import os

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click

from tokenauthority.cli.failures import ConfigurationFailure, Failure
from tokenauthority.cli.options import Group, current
from tokenauthority.cli.output import Record, printable, show_list, to_json
from tokenauthority.cli.server import config_option, load_settings
from tokenauthority.cli.values import FORMATS, LIFETIME


if TYPE_CHECKING:
    from tokenauthority.callers.explain import AccessDecision
    from tokenauthority.callers.file import CallersFileError
    from tokenauthority.callers.registry import CallerEntry, CallerRegistry
    from tokenauthority.domain.caller import Action


_COLUMNS: Final = ("line", "name", "identities", "projects", "actions", "roles", "max_ttl", "rate")

_file_argument: Final = click.argument(
    "file", required=False, type=click.Path(path_type=Path, dir_okay=False), metavar="[FILE]"
)

_GENERATE: Final = "tokens.generate"
_BACK_END: Final = ("sessions.create", "sessions.read", _GENERATE, "tokens.verify")
_ADMIN: Final = (
    "projects.create",
    "projects.read",
    "projects.update",
    "projects.rotate",
    "keys.read",
    "keys.manage",
    "tokens.revoke",
)
_ROLES: Final = ("subscriber", "publisher", "moderator")


@click.group(cls=Group)
def callers() -> None:
    """Create API keys, and check the callers file.

    FILE is a callers file; default: the callers file of the server's settings.
    """


@callers.command("validate")
@_file_argument
@config_option
def validate_file(file: Path | None, config_file: Path | None) -> None:
    """Print whether FILE is valid, and if not, every problem with its line. Exit code 1 if it is not."""
    from tokenauthority.callers.file import CallersFileError, load_callers

    path, own_issuer = _find_file(file, config_file)
    try:
        registry = load_callers(path, own_issuer)
    except CallersFileError as error:
        _report_invalid(error)
    names = len({entry.caller.name for entry in registry.entries})
    if current().as_json:
        click.echo(to_json({"valid": True, "callers": names, "issuers": len(registry.issuers), "problems": []}))
    else:
        click.echo(f"{path} is valid: {names} callers, {len(registry.issuers)} issuers")


@callers.command("list")
@_file_argument
@config_option
def list_callers(file: Path | None, config_file: Path | None) -> None:
    """Show the callers of FILE: their identities and what they may do."""
    by_name: dict[str, list[CallerEntry]] = {}
    for entry in _load_valid_file(file, config_file).entries:
        by_name.setdefault(entry.caller.name, []).append(entry)
    rows = [_caller_row(entries[0], [str(entry.identity) for entry in entries]) for entries in by_name.values()]
    show_list(rows, _COLUMNS, as_json=current().as_json)


@callers.command("check")
@_file_argument
@config_option
@click.option("--caller", required=True, metavar="NAME", help="The caller's name in the file.")
@click.option("--action", required=True, metavar="ACTION", help="An action such as tokens.generate.")
@click.option("--role", default="", metavar="ROLE", help="The role of the token.")
@click.option("--format", "token_format", type=FORMATS, help="The format of the token.")
@click.option("--ttl", type=LIFETIME, metavar="LIFETIME", help="Lifetime of the token, such as 90s, 15m or 1h.")
@click.option("--items", type=click.IntRange(min=1), default=1, show_default=True, help="How many items at once.")
def check_access(
    *,
    file: Path | None,
    config_file: Path | None,
    caller: str,
    action: str,
    role: str,
    token_format: str | None,
    ttl: timedelta | None,
    items: int,
) -> None:
    """Print whether a caller may do something, yes or no, and which line of FILE decides. Exit code 1 for no.

    Without an option for it, a role, a project (--project) or a lifetime is not judged. Rates and quotas are judged for
    this one call only.
    """
    from tokenauthority.callers.explain import AccessRequest, explain_access
    from tokenauthority.domain.times import Seconds
    from tokenauthority.domain.token_format import TokenFormat

    request = AccessRequest(
        action=_parse_action(action),
        project=current().project,
        role=role,
        format=None if token_format is None else TokenFormat(token_format.upper()),
        ttl=None if ttl is None else Seconds(int(ttl.total_seconds())),
        items=items,
    )
    entries = [entry for entry in _load_valid_file(file, config_file).entries if entry.caller.name == caller]
    if not entries:
        raise Failure(f"no: the file has no caller {printable(caller)!r}")
    _print_decisions(explain_access(entries[0], request))


@callers.command("new-key")
@click.option("--name", default="my-service", show_default=True, help="The caller's name in the file.")
@click.option(
    "--project",
    "projects",
    multiple=True,
    metavar="ID",
    help="A project that the caller may use; * for all. May be repeated.",
)
@click.option(
    "--action", "actions", multiple=True, metavar="NAME", help="An action that the caller may take. May be repeated."
)
@click.option(
    "--role", "roles", multiple=True, metavar="NAME", help="A role that its tokens may carry. May be repeated."
)
@click.option(
    "--admin",
    is_flag=True,
    help="For an operator: may manage all projects, secrets and keys and revoke tokens, but not generate tokens.",
)
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Store the key in this new file (mode 0600) instead of printing it.",
)
def create_key(
    *,
    name: str,
    projects: Sequence[str],
    actions: Sequence[str],
    roles: Sequence[str],
    admin: bool,
    key_file: Path | None,
) -> None:
    """Create an API key, and the entry for callers.toml that makes the key valid.

    Standard output has only the entry, for `>> callers.toml`; standard error has the key. The key is shown only once:
    the authority never has more than its SHA-256.
    """
    from tokenauthority.callers.api_keys import digest, new_api_key

    key = new_api_key()
    if admin:
        projects, actions = projects or ("*",), actions or _ADMIN
    else:
        projects, actions = projects or (current().project or "PROJECT_ID",), actions or _BACK_END
        # Only a caller that generates tokens needs roles.
        roles = roles or (_ROLES if _GENERATE in actions else ())
    entry = _format_entry(name, digest(key), projects, actions, roles)
    if key_file is not None:
        _store_key(key_file, key)
    if current().as_json:
        shown = None if key_file else key
        click.echo(to_json({"api_key": shown, "api_key_sha256": digest(key), "entry": entry}))
        return
    if key_file is None:
        click.echo(f"The caller's API key, shown only once:\n\n{key}\n\nFor the authority's callers file:\n", err=True)
    click.echo(entry, nl=False)


def _find_file(file: Path | None, config_file: Path | None) -> tuple[Path, str]:
    """Return the path of the callers file, and the authority's own issuer if the settings name it."""
    settings = load_settings(config_file, complete=False)
    path = file or settings.callers.file
    if path is None:
        raise click.UsageError("name a callers file, or set TOKENAUTHORITY_CALLERS__FILE")
    return path, settings.issuance.issuer


def _load_valid_file(file: Path | None, config_file: Path | None) -> CallerRegistry:
    from tokenauthority.callers.file import CallersFileError, load_callers

    path, own_issuer = _find_file(file, config_file)
    try:
        return load_callers(path, own_issuer)
    except CallersFileError as error:
        lines = [f"{path} is not valid:", *(f"  {printable(str(problem))}" for problem in error.problems)]
        raise ConfigurationFailure("\n".join(lines)) from error


def _report_invalid(error: CallersFileError) -> NoReturn:
    if current().as_json:
        problems = [{"line": problem.line or None, "problem": problem.text} for problem in error.problems]
        click.echo(to_json({"valid": False, "problems": problems}))
    else:
        for problem in error.problems:
            click.echo(f"{error.path}:{problem.line}: {printable(problem.text)}")
    raise Failure(f"{error.path} is not valid: {len(error.problems)} problems") from error


def _caller_row(entry: CallerEntry, identities: list[str]) -> Record:
    grant = entry.caller.grant
    return {
        "line": entry.line,
        "name": entry.caller.name,
        "kind": entry.caller.kind.value,
        "identities": identities,
        "projects": sorted(grant.projects),
        "actions": sorted(grant.actions),
        "roles": sorted(grant.roles),
        "formats": sorted(grant.formats),
        "max_ttl": timedelta(seconds=grant.max_ttl),
        "rate": None if grant.rate is None else f"{grant.rate.per_second:g}/s",
        "burst": None if grant.rate is None else grant.rate.burst,
        "daily_quota": grant.daily_quota,
    }


def _parse_action(name: str) -> Action:
    from tokenauthority.domain.caller import Action

    try:
        return Action(name)
    except ValueError:
        raise click.UsageError(f"no such action; valid are {', '.join(Action)}") from None


def _print_decisions(decisions: Sequence[AccessDecision]) -> None:
    allowed = all(decision.allows for decision in decisions)
    decisive = [decision for decision in decisions if decision.allows == allowed]
    if current().as_json:
        found = [{"line": decision.line or None, "reason": decision.text} for decision in decisive]
        click.echo(to_json({"allowed": allowed, "rulings": found}))
    else:
        click.echo("yes" if allowed else "no")
        for decision in decisive:
            click.echo(f"  line {decision.line}: {printable(decision.text)}" if decision.line else f"  {decision.text}")
    if not allowed:
        click.get_current_context().exit(1)


def _store_key(path: Path, key: str) -> None:
    """Store the key in a new file: an overwritten key could not be recovered."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(key + "\n")
    except OSError as error:
        raise ConfigurationFailure(f"--key-file {path}: {error.strerror}") from error


def _format_entry(
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

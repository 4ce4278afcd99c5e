"""Check the callers file and show what it says, without an authority: `tokenauthority callers`."""

from __future__ import annotations

import time

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click

from tokenauthority.cli.callers_entry import add_caller, create_key, remove_caller
from tokenauthority.cli.callers_file import file_argument, find_file, load_valid_file
from tokenauthority.cli.callers_jwt import print_jwt_checks
from tokenauthority.cli.callers_usage import show_usage, stored_usage, usage_fields
from tokenauthority.cli.failures import ConfigurationFailure, Failure
from tokenauthority.cli.options import Group, current
from tokenauthority.cli.output import Record, print_text, printable, show_list, to_json
from tokenauthority.cli.server import config_option
from tokenauthority.cli.values import FORMATS, LIFETIME
from tokenauthority.domain.counts import counted
from tokenauthority.domain.similar_names import did_you_mean


if TYPE_CHECKING:
    from tokenauthority.callers.explain import AccessDecision
    from tokenauthority.callers.file import CallersFileError
    from tokenauthority.callers.registry import CallerEntry
    from tokenauthority.domain.caller import Action
    from tokenauthority.domain.leases import CallerUsage


_COLUMNS: Final = (
    *("line", "name", "identities", "age", "expires", "projects", "actions", "roles", "max_ttl"),
    *("rate", "daily_quota", "used_today", "last_used"),
)


@click.group(cls=Group)
def callers() -> None:
    """Add, remove and check callers, and show what callers use.

    FILE is a callers file; default: the callers file of the server's settings.
    """


for command in (show_usage, create_key, add_caller, remove_caller):
    callers.add_command(command)


@callers.command("validate")
@file_argument
@config_option
def validate_file(file: Path | None, config_file: Path | None) -> None:
    """Print whether FILE is valid, and if not, every problem with its line. Exit code 1 if it is not."""
    from tokenauthority.callers.file import CallersFileError, CallersFileUnreadableError, load_callers

    path, own_issuer = find_file(file, config_file)
    try:
        registry = load_callers(path, own_issuer)
    except CallersFileUnreadableError as error:
        raise ConfigurationFailure(f"{path} {error.problems[0]}") from error
    except CallersFileError as error:
        _report_invalid(error)
    names = len({entry.caller.name for entry in registry.entries})
    if current().as_json:
        print_text(to_json({"valid": True, "callers": names, "issuers": len(registry.issuers), "problems": []}))
    else:
        print_text(f"{path} is valid: {counted(names, 'caller')}, {counted(len(registry.issuers), 'issuer')}")


@callers.command("list")
@file_argument
@config_option
def list_callers(file: Path | None, config_file: Path | None) -> None:
    """Show the callers of FILE: their identities, what they may do, the age and the end of their API keys, their use.

    The age is that of `created` in FILE, in whole hours. The use is that of `callers usage`: it is in the store of
    the server's settings, and where the store cannot be read one line says why.
    """
    from tokenauthority.config.loading import ConfigError

    by_name: dict[str, list[CallerEntry]] = {}
    for entry in load_valid_file(file, config_file).entries:
        by_name.setdefault(entry.caller.name, []).append(entry)
    try:
        usages: Mapping[str, CallerUsage] | None = stored_usage(config_file)
    except ConfigError as error:
        usages = None
        print_text(f"use is not shown: {error.problems[0]}", err=True)
    rows = [{**_caller_row(entries), **usage_fields(entries[0].caller, usages)} for entries in by_name.values()]
    show_list(rows, _COLUMNS, as_json=current().as_json)


@callers.command("check")
@file_argument
@config_option
@click.option("--caller", default="", metavar="NAME", help="The caller's name in the file.")
@click.option("--action", default="", metavar="ACTION", help="An action such as tokens.generate.")
@click.option("--jwt", "jwt_file", default="", metavar="FILE", help="Explain the JWT in this file instead; - reads it.")
@click.option("--role", default="", metavar="ROLE", help="The role of the token.")
@click.option("--vonage-application", default="", metavar="UUID", help="The Vonage application to import.")
@click.option("--format", "token_format", type=FORMATS, help="The format of the token.")
@click.option("--ttl", type=LIFETIME, metavar="LIFETIME", help="Lifetime of the token, such as 90s, 15m or 1h.")
@click.option("--items", type=click.IntRange(min=1), default=1, show_default=True, help="How many items at once.")
def check_access(
    *,
    file: Path | None,
    config_file: Path | None,
    caller: str,
    action: str,
    jwt_file: str,
    role: str,
    vonage_application: str,
    token_format: str | None,
    ttl: timedelta | None,
    items: int,
) -> None:
    """Print whether a caller may do something, yes or no, and which line of FILE decides. Exit code 1 for no.

    Without an option for it, a role, a project (--project), an application or a lifetime is not judged. Rates and
    quotas are judged for this one call only.

    With --jwt, print whether the JWT proves a caller, and each check that the server makes. The keys come from the
    jwks_url or jwks_file of its issuer. The JWT is never printed. Exit code 1: it proves none. Exit code 3: the keys
    cannot be fetched, and nothing else is wrong.
    """
    if (bool(jwt_file), bool(caller), bool(action)) not in {(True, False, False), (False, True, True)}:
        raise click.UsageError("give --caller and --action, or --jwt")
    if jwt_file:
        print_jwt_checks(jwt_file, load_valid_file(file, config_file))
        return
    from tokenauthority.callers.explain import AccessRequest, explain_access
    from tokenauthority.domain.times import Seconds
    from tokenauthority.domain.token_format import TokenFormat

    request = AccessRequest(
        action=_parse_action(action),
        project=current().project,
        role=role,
        vonage_application=vonage_application.lower(),
        format=None if token_format is None else TokenFormat(token_format.upper()),
        ttl=None if ttl is None else Seconds(int(ttl.total_seconds())),
        items=items,
    )
    entries = {entry.caller.name: entry for entry in load_valid_file(file, config_file).entries}
    if caller not in entries:
        raise ConfigurationFailure(f"the file has no caller {printable(caller)!r}{did_you_mean(caller, entries)}")
    _print_decisions(explain_access(entries[caller], request))


def _report_invalid(error: CallersFileError) -> NoReturn:
    if current().as_json:
        problems = [{"line": problem.line or None, "problem": problem.text} for problem in error.problems]
        print_text(to_json({"valid": False, "problems": problems}))
    else:
        for problem in error.problems:
            print_text(f"{error.path}:{problem.line}: {printable(problem.text)}")
    raise Failure(f"{error.path} is not valid: {counted(len(error.problems), 'problem')}") from error


def _caller_row(entries: Sequence[CallerEntry]) -> Record:
    entry = entries[0]
    grant = entry.caller.grant
    return {
        "line": entry.line,
        "name": entry.caller.name,
        "kind": entry.caller.kind.value,
        "identities": [str(each.identity) for each in entries],
        "age": [_age(each.created) for each in entries if each.created is not None],
        "expires": [_moment(each.expires) for each in entries if each.expires is not None],
        "projects": sorted(grant.projects),
        "actions": sorted(grant.actions),
        "roles": sorted(grant.roles),
        "vonage_applications": sorted(grant.vonage_applications),
        "formats": sorted(grant.formats),
        "max_ttl": timedelta(seconds=grant.max_ttl),
        "burst": None if grant.rate is None else grant.rate.burst,
    }


def _moment(millis: int) -> datetime:
    return datetime.fromtimestamp(millis // 1000, UTC)


def _age(created: int) -> timedelta:
    """Return the age of a key in whole hours."""
    return timedelta(hours=max(0, int(time.time() - created / 1000) // 3600))


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
        print_text(to_json({"allowed": allowed, "rulings": found}))
    else:
        print_text("yes" if allowed else "no")
        for decision in decisive:
            print_text(f"  line {decision.line}: {printable(decision.text)}" if decision.line else f"  {decision.text}")
    if not allowed:
        click.get_current_context().exit(1)

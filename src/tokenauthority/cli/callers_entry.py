"""Create API keys, and add callers to the callers file or remove them: `tokenauthority callers add` and others."""

from __future__ import annotations

import os

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
import click

from tokenauthority.cli.callers_file import check_text, edited_file, file_argument
from tokenauthority.cli.failures import ConfigurationFailure
from tokenauthority.cli.options import Command, current
from tokenauthority.cli.output import human, print_text, printable, to_json
from tokenauthority.cli.server import config_option
from tokenauthority.cli.values import FORMATS, LIFETIME


if TYPE_CHECKING:
    from tokenauthority.callers.file_edit import Value


Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_GENERATE: Final = "tokens.generate"
_BACK_END: Final = ("sessions.create", "sessions.read", _GENERATE, "tokens.verify")
_ROLES: Final = ("subscriber", "publisher", "moderator")

_OPTIONS: Final = (
    click.option("--name", default="my-service", show_default=True, help="The caller's name in the file."),
    click.option(
        "--project",
        "projects",
        multiple=True,
        metavar="ID",
        help="A project that the caller may use; * for all. May be repeated.",
    ),
    click.option(
        "--action",
        "actions",
        multiple=True,
        metavar="NAME",
        help="An action that the caller may take. May be repeated.",
    ),
    click.option(
        "--role", "roles", multiple=True, metavar="NAME", help="A role that its tokens may carry. May be repeated."
    ),
    click.option(
        "--format",
        "formats",
        type=FORMATS,
        multiple=True,
        help="A format of its tokens. May be repeated; default: all.",
    ),
    click.option("--max-ttl", metavar="LIFETIME", help="Longest lifetime of its tokens, such as 15m, 1h or 30d."),
    click.option("--rate", metavar="N/UNIT", help="Items on average; UNIT is s, m, h or d: 200/s, 50/m."),
    click.option("--burst", type=int, metavar="N", help="Items at once; goes with --rate."),
    click.option("--daily-quota", type=int, metavar="N", help="Items of one day."),
    click.option(
        "--admin",
        is_flag=True,
        help="For an operator: may take every action in all projects, but make no tokens and TURN credentials.",
    ),
    click.option(
        "--expires",
        type=LIFETIME,
        metavar="LIFETIME",
        help="End of the API key from now on, such as 90d; default: never.",
    ),
    click.option(
        "--key-file",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Store the API key in this new file (mode 0600) instead of printing it.",
    ),
)
"""The options of a caller's entry, in the order of --help."""


@attrs.frozen(kw_only=True)
class _Grant:
    """What the options say about a caller."""

    name: str
    projects: Sequence[str]
    actions: Sequence[str]
    roles: Sequence[str]
    formats: Sequence[str]
    max_ttl: str | None
    rate: str | None
    burst: int | None
    daily_quota: int | None
    admin: bool
    expires: timedelta | None
    key_file: Path | None

    def entry(self, identity: str, value: Value) -> str:
        """Return the table of the caller that *identity*, a field of the callers file, proves."""
        from tokenauthority.callers.file_edit import format_entry
        from tokenauthority.domain.caller import Action

        for_people = {Action.TOKENS_GENERATE, Action.TURN_CREATE}
        admin = tuple(action.value for action in Action if action not in for_people)
        actions = self.actions or (admin if self.admin else _BACK_END)
        # Others need no roles: an operator gives custom roles the permissions of those that it may grant.
        default_roles = ("*",) if self.admin else _ROLES if _GENERATE in actions else ()
        fields: dict[str, Value | None] = {
            "name": self.name,
            identity: value,
            **self._times(identity),
            "projects": self._projects(),
            "actions": actions,
            "roles": self.roles or default_roles or None,
            "formats": [each.upper() for each in self.formats] or None,
            "max_ttl": self.max_ttl,
            "rate": self.rate,
            "burst": self.burst,
            "daily_quota": self.daily_quota,
        }
        return format_entry({name: field for name, field in fields.items() if field is not None})

    def _times(self, identity: str) -> dict[str, Value | None]:
        if identity != "api_key_sha256":
            if self.expires is not None:
                raise click.UsageError("--expires goes with an API key only")
            return {}
        now = datetime.now(UTC)
        return {"created": now, "expires": None if self.expires is None else now + self.expires}

    def _projects(self) -> Sequence[str]:
        found = self.projects or (("*",) if self.admin else tuple(filter(None, [current().project])))
        if not found:
            raise click.UsageError("name a project: --project ID, or * for all")
        return found


def _entry_options(command: Decorated) -> Decorated:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("new-key", cls=Command)
@_entry_options
def create_key(**options: Any) -> None:
    """Create an API key, and the entry of a callers file that makes the key valid.

    Standard output has only the entry, for a file that a program deploys; standard error has the key. The key is shown
    only once: the authority never has more than its SHA-256. To change a file here, use `callers add`.
    """
    from tokenauthority.callers.api_keys import digest, new_api_key
    from tokenauthority.callers.file import CallersFile

    grant = _Grant(**options)
    key = new_api_key()
    entry = grant.entry("api_key_sha256", digest(key))
    check_text(CallersFile(Path("callers.toml"), ""), entry)
    if grant.key_file is not None:
        _store_key(grant.key_file, key)
    if current().as_json:
        shown = None if grant.key_file else key
        print_text(to_json({"api_key": shown, "api_key_sha256": digest(key), "entry": entry}))
        return
    if grant.key_file is None:
        print_text(f"The caller's API key, shown only once:\n\n{key}\n\nFor the authority's callers file:\n", err=True)
    print_text(entry, end="")


@click.command("add", cls=Command)
@file_argument
@config_option
@_entry_options
@click.option("--spiffe-id", metavar="ID", help="The caller proves this SPIFFE id, and gets no API key.")
@click.option(
    "--jwt",
    nargs=2,
    metavar="ISSUER SUBJECT",
    help="The caller proves JWTs of this issuer and subject, and gets no API key.",
)
@click.option(
    "--opentok-project",
    metavar="ID",
    help="The caller is the official OpenTok SDKs of this project: its secret proves them, and they get no API key.",
)
def add_caller(
    *,
    file: Path | None,
    config_file: Path | None,
    spiffe_id: str | None,
    jwt: tuple[str, str] | None,
    opentok_project: str | None,
    **options: Any,
) -> None:
    """Add a caller to FILE, which is made if it does not exist, and print the caller's new API key.

    The key is shown only once: the file has its SHA-256. FILE is replaced as a whole, with its owner and mode, and
    only by a valid file. A running server reads FILE again within a second.
    """
    from tokenauthority.callers.file_edit import with_entry

    if sum(map(bool, (spiffe_id, jwt, opentok_project))) > 1:
        raise click.UsageError("give one of --spiffe-id, --jwt and --opentok-project")
    grant = _Grant(**options)
    entry, key = _entry_and_key(grant, spiffe_id, jwt, opentok_project)
    if grant.key_file is not None and not key:
        raise click.UsageError("--key-file goes with an API key only")
    with ExitStack() as undo:
        with edited_file(file, config_file, create=True) as edit:
            edit.text = with_entry(edit.data.decode("utf-8-sig"), entry)
            check_text(edit.file, edit.text)
            if grant.key_file is not None:
                _store_key(grant.key_file, key)
                undo.callback(grant.key_file.unlink)
        undo.pop_all()
    if current().as_json:
        print_text(to_json({"api_key": None if grant.key_file or not key else key, "entry": entry}))
        return
    if key and grant.key_file is None:
        print_text(key)
    # A number alone is seconds, which whoever means days sees here.
    end = "" if grant.expires is None else f"; the API key expires in {human(grant.expires)}"
    print_text(f"{edit.path} has the caller {grant.name} now{end}", err=True)


@click.command("remove", cls=Command)
@click.argument("name", metavar="NAME")
@file_argument
@config_option
def remove_caller(*, name: str, file: Path | None, config_file: Path | None) -> None:
    """Remove the caller NAME from FILE, and print its entry.

    FILE is replaced as a whole, with its owner and mode. A running server refuses the caller within a second. The entry
    is all that makes the caller valid again: its API key is shown nowhere.
    """
    from tokenauthority.callers.file_edit import CallersEditError, without_caller

    with edited_file(file, config_file, create=False) as edit:
        try:
            edit.text, removed = without_caller(edit.data, name)
        except CallersEditError as error:
            raise ConfigurationFailure(f"{edit.path}: {printable(str(error))}") from None
        check_text(edit.file, edit.text)
    if current().as_json:
        print_text(to_json({"entry": removed}))
    else:
        print_text(removed, end="")


def _entry_and_key(
    grant: _Grant, spiffe_id: str | None, jwt: tuple[str, str] | None, opentok_project: str | None
) -> tuple[str, str]:
    """Return the entry of a caller, and its new API key; empty if something else proves the caller."""
    from tokenauthority.callers.api_keys import digest, new_api_key

    if spiffe_id:
        return grant.entry("spiffe_id", spiffe_id), ""
    if jwt:
        return grant.entry("jwt", {"issuer": jwt[0], "subject": jwt[1]}), ""
    if opentok_project:
        projects, actions = grant.projects or (opentok_project,), grant.actions or ("sessions.create",)
        return attrs.evolve(grant, projects=projects, actions=actions).entry("opentok_project", opentok_project), ""
    key = new_api_key()
    return grant.entry("api_key_sha256", digest(key)), key


def _store_key(path: Path, key: str) -> None:
    """Store the key in a new file: an overwritten key could not be recovered."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(key + "\n")
    except OSError as error:
        raise ConfigurationFailure(f"--key-file {path}: {error.strerror}") from error

"""The options that all commands share, wherever they stand on the line, and what they say in the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import click

from click.core import ParameterSource

from tokenauthority.cli.failures import ConfigurationFailure, read_bytes, reported_failures
from tokenauthority.cli.values import read_text


if TYPE_CHECKING:
    from tokenauthority.client.connection import Connection


@attrs.define(kw_only=True)
class Globals:
    """What the shared options and their environment variables say; the command line wins."""

    address: str = ""
    api_key: str = attrs.field(default="", repr=False)
    api_key_file: str = ""
    ca_file: str = ""
    plaintext: bool = False
    project: str = ""
    timeout: float | None = None
    as_json: bool = False
    on_line: set[str] = attrs.field(factory=set)
    """Which of them the command line names itself."""

    def connection(self, *, with_key: bool = True) -> Connection:
        """How to reach the authority.

        Raises:
            ConfigurationFailure: the address or the API key is missing, a file cannot be read, a value cannot be used.
        """
        from tokenauthority.client.connection import DEFAULT_TIMEOUT, Connection

        if not self.address:
            raise ConfigurationFailure(
                "no address: give --address or set TOKENAUTHORITY_ADDRESS "
                "(after `make run`: source .tokenauthority/dev.env)"
            )
        try:
            return Connection(
                address=self.address,
                api_key=self._key() if with_key else "",
                project_id=self.project,
                plaintext=self.plaintext,
                root_certificates=self._root_certificates(),
                timeout=DEFAULT_TIMEOUT if self.timeout is None else self.timeout,
            )
        except ValueError as error:
            raise ConfigurationFailure(str(error)) from error

    def _key(self) -> str:
        given = {name for name in ("api_key", "api_key_file") if getattr(self, name)}
        given = given & self.on_line or given
        if len(given) > 1:
            raise ConfigurationFailure(
                "give the API key (TOKENAUTHORITY_API_KEY) or a file with it (TOKENAUTHORITY_API_KEY_FILE), not both"
            )
        if not given:
            raise ConfigurationFailure("no API key: give --api-key-file or set TOKENAUTHORITY_API_KEY")
        if "api_key" in given:
            return self.api_key
        try:
            return read_text(self.api_key_file, "API key")
        except OSError as error:
            raise ConfigurationFailure(f"--api-key-file {self.api_key_file}: {error.strerror}") from error

    def _root_certificates(self) -> bytes | None:
        if not self.ca_file:
            return None
        if self.plaintext:
            message = "--plaintext (TOKENAUTHORITY_PLAINTEXT) does not go with --ca-file (TOKENAUTHORITY_CA_FILE)"
            raise ConfigurationFailure(message)
        pem = read_bytes(Path(self.ca_file), "--ca-file")
        if b"-----BEGIN CERTIFICATE-----" not in pem:
            raise ConfigurationFailure(f"--ca-file {self.ca_file}: holds no certificate in PEM")
        return pem


def current() -> Globals:
    """What the shared options of the running command say."""
    return _globals(click.get_current_context())


class Command(click.Command):
    """A command that takes the shared options too, and reports failures in one line."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its own options, and the shared ones but for those whose names it uses itself."""
        own = super().get_params(ctx)
        taken = {name for parameter in own for name in parameter.opts}
        return own + [option for option in _HIDDEN if taken.isdisjoint(option.opts)]

    def invoke(self, ctx: click.Context) -> object:
        """Run it."""
        with reported_failures(_globals(ctx)):
            return super().invoke(ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """End with where the shared options are explained."""
        super().format_epilog(ctx, formatter)
        _name_shared_options(formatter)


class Group(click.Group):
    """A group of such commands."""

    command_class = Command

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """End with where the shared options are explained."""
        super().format_epilog(ctx, formatter)
        _name_shared_options(formatter)


Group.group_class = Group


def _name_shared_options(formatter: click.HelpFormatter) -> None:
    formatter.write_paragraph()
    formatter.write_text("Shared options (--address, --project, --json and more): tokenauthority --help")


def _globals(context: click.Context) -> Globals:
    found = context.meta.setdefault("tokenauthority.cli.options", Globals())
    if not isinstance(found, Globals):
        raise TypeError("another extension of click keeps something under this name")
    return found


def _remember(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """Keep what was given. The root command, which knows the environment, is read before the others."""
    name = parameter.name or ""
    source = context.get_parameter_source(name)
    if source not in {ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT}:
        return
    given = _globals(context)
    setattr(given, name, value)
    if source is ParameterSource.COMMANDLINE:
        given.on_line.add(name)


def _option(
    *names: str,
    variable: str,
    text: str,
    hidden: bool,
    metavar: str | None = None,
    kind: click.ParamType[object] | None = None,
) -> click.Option:
    return click.Option(
        names,
        envvar=None if hidden else variable,
        show_envvar=not hidden,
        help=text,
        hidden=hidden,
        metavar=metavar,
        type=kind,
        is_flag=metavar is None,
        expose_value=False,
        callback=_remember,
    )


def shared_options(*, hidden: bool) -> list[click.Parameter]:
    """The shared options: for the root command with help and environment variables, hidden for the others."""
    file = click.Path(dir_okay=False, allow_dash=True)
    return [
        _option(
            "--address",
            metavar="HOST:PORT",
            variable="TOKENAUTHORITY_ADDRESS",
            text="Where the authority is.",
            hidden=hidden,
        ),
        _option(
            "--api-key-file",
            metavar="FILE",
            kind=file,
            variable="TOKENAUTHORITY_API_KEY_FILE",
            text="Holds the API key; - is standard input.",
            hidden=hidden,
        ),
        _option(
            "--api-key",
            metavar="KEY",
            variable="TOKENAUTHORITY_API_KEY",
            text="The API key itself. As an option, others can see it in the process list.",
            hidden=hidden,
        ),
        _option(
            "--ca-file",
            metavar="FILE",
            kind=file,
            variable="TOKENAUTHORITY_CA_FILE",
            text="PEM of the authorities to trust; default: the system's.",
            hidden=hidden,
        ),
        _option(
            "--plaintext",
            variable="TOKENAUTHORITY_PLAINTEXT",
            text="No TLS: only where nobody else is on the way.",
            hidden=hidden,
        ),
        _option(
            "--project",
            metavar="ID",
            variable="TOKENAUTHORITY_PROJECT_ID",
            text="The project, where the API key may use several.",
            hidden=hidden,
        ),
        _option(
            "--timeout",
            metavar="SECONDS",
            kind=click.FLOAT,
            variable="TOKENAUTHORITY_TIMEOUT",
            text="How long a call may take; default: 5.",
            hidden=hidden,
        ),
        _option("--json", "as_json", variable="TOKENAUTHORITY_JSON", text="Print JSON.", hidden=hidden),
    ]


_HIDDEN: Final = shared_options(hidden=True)

"""Define the options that all commands share, and combine them with the environment variables."""

from __future__ import annotations

import re

from typing import IO, TYPE_CHECKING, Final

import attrs
import click

from click.core import ParameterSource

from tokenauthority.cli.failures import ConfigurationFailure, reported_failures


if TYPE_CHECKING:
    from tokenauthority.client.connection import Connection


@attrs.define(kw_only=True)
class Globals:
    """The values of the shared options and their environment variables; the command line wins."""

    address: str = ""
    api_key: str = attrs.field(default="", repr=False)
    api_key_file: str = ""
    token_file: str = ""
    client_cert_file: str = ""
    client_key_file: str = ""
    ca_file: str = ""
    plaintext: bool = False
    project: str = ""
    timeout: float | None = None
    as_json: bool = False
    on_line: set[str] = attrs.field(factory=set)
    """The options that stand on the command line."""

    def connection(self, *, with_key: bool = True) -> Connection:
        """Return how to reach the authority, without an API key unless *with_key*, or raise ConfigurationFailure."""
        from tokenauthority.client.environment import connection_from

        if not self.address:
            raise ConfigurationFailure(
                "no address: give --address or set TOKENAUTHORITY_ADDRESS "
                "(after `make run`: source .tokenauthority/dev.env)"
            )
        try:
            return connection_from(self._variables(), with_key=with_key, open_file=_open_file)
        except ValueError as error:
            raise ConfigurationFailure(_name_options(str(error))) from error

    def _variables(self) -> dict[str, str]:
        """Return the options as the environment variables that they stand for."""
        values = {
            "address": self.address,
            "api_key": self.api_key,
            "api_key_file": self.api_key_file,
            "token_file": self.token_file,
            "client_cert_file": self.client_cert_file,
            "client_key_file": self.client_key_file,
            "ca_file": self.ca_file,
            "plaintext": "1" if self.plaintext else "",
            "project": self.project,
            "timeout": "" if self.timeout is None else str(self.timeout),
        }
        # A credential on the command line beats one of another kind in the environment.
        beaten = _BEARERS - self.on_line if _BEARERS & self.on_line else set()
        return {_VARIABLES[name]: value for name, value in values.items() if name not in beaten}


def _open_file(variable: str, path: str) -> IO[bytes]:
    """Open the file at *path*; `-` is standard input."""
    try:
        return click.open_file(path, "rb")
    except OSError as error:
        raise ConfigurationFailure(f"{_OPTIONS[variable]} {path}: {error.strerror}") from error


def _name_options(message: str) -> str:
    """Name the option beside each variable of *message*."""
    return _VARIABLE.sub(lambda found: f"{_OPTIONS[found[0]]} ({found[0]})", message)


def current() -> Globals:
    """Return the values of the shared options of the running command."""
    return _globals(click.get_current_context())


class _NamesSharedOptions(click.Command):
    """A command or group whose help ends with a line that says where the shared options are explained."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text("Shared options (--address, --project, --json and more): tokenauthority --help")


class Command(_NamesSharedOptions):
    """A command that accepts the shared options too, and reports failures in one line."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return its own options, and the shared options whose names it does not use itself."""
        own = super().get_params(ctx)
        taken = {name for parameter in own for name in parameter.opts}
        return own + [option for option in _HIDDEN if taken.isdisjoint(option.opts)]

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        with reported_failures(_globals(ctx)):
            for parameter in self.get_params(ctx):
                _require_text(ctx, parameter, ctx.params.get(parameter.name or ""))
            return super().invoke(ctx)


class Group(_NamesSharedOptions, click.Group):
    """A group of such commands."""

    command_class = Command


Group.group_class = Group


def _globals(context: click.Context) -> Globals:
    found = context.meta.setdefault("tokenauthority.cli.options", Globals())
    if not isinstance(found, Globals):
        raise TypeError("another extension of click stores something under this name")
    return found


def _require_text(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """Refuse bytes of the command line that are not UTF-8, but for file names, which may have any."""
    if isinstance(parameter.type, click.Path):
        return
    try:
        for each in value if isinstance(value, tuple) else (value,):
            str(each).encode()
    except UnicodeEncodeError:
        raise click.BadParameter("is not text in UTF-8", context, parameter) from None


def _store_value(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """Store a value that was given. The root command, which reads the environment, is parsed before the others."""
    name = parameter.name or ""
    source = context.get_parameter_source(name)
    if source not in {ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT}:
        return
    _require_text(context, parameter, value)
    given = _globals(context)
    setattr(given, name, value)
    if source is ParameterSource.COMMANDLINE:
        given.on_line.add(name)


@attrs.frozen
class _SharedOption:
    """One option; *metavar* is empty for a flag."""

    flag: str
    variable: str
    text: str
    metavar: str = ""
    kind: click.ParamType[object] | None = None

    @property
    def name(self) -> str:
        """The attribute of `Globals`."""
        return "as_json" if self.flag == "--json" else self.flag.removeprefix("--").replace("-", "_")


_FILE: Final = click.Path(dir_okay=False, allow_dash=True)
_REREAD: Final = click.Path(dir_okay=False)
"""A file that is opened more than once, which standard input cannot be."""

_BEARERS: Final = frozenset({"api_key", "api_key_file", "token_file"})
_SHARED: Final = (
    _SharedOption("--address", "TOKENAUTHORITY_ADDRESS", "Where the authority is.", "HOST:PORT"),
    _SharedOption(
        "--api-key-file", "TOKENAUTHORITY_API_KEY_FILE", "Holds the API key; - is standard input.", "FILE", _FILE
    ),
    _SharedOption(
        "--api-key",
        "TOKENAUTHORITY_API_KEY",
        "The API key itself. As an option, others can see it in the process list.",
        "KEY",
    ),
    _SharedOption(
        "--token-file", "TOKENAUTHORITY_TOKEN_FILE", "Holds a JWT or API key; read for each call.", "FILE", _REREAD
    ),
    _SharedOption(
        "--client-cert-file", "TOKENAUTHORITY_CLIENT_CERT_FILE", "PEM of a client certificate.", "FILE", _REREAD
    ),
    _SharedOption("--client-key-file", "TOKENAUTHORITY_CLIENT_KEY_FILE", "PEM of its private key.", "FILE", _REREAD),
    _SharedOption(
        "--ca-file", "TOKENAUTHORITY_CA_FILE", "PEM of the authorities to trust; default: the system's.", "FILE", _FILE
    ),
    _SharedOption("--plaintext", "TOKENAUTHORITY_PLAINTEXT", "No TLS: only where nobody else is on the way."),
    _SharedOption("--project", "TOKENAUTHORITY_PROJECT_ID", "The project, where the API key may use several.", "ID"),
    _SharedOption(
        "--timeout", "TOKENAUTHORITY_TIMEOUT", "How long a call may take; default: 5.", "SECONDS", click.FLOAT
    ),
    _SharedOption("--json", "TOKENAUTHORITY_JSON", "Print JSON."),
)
_VARIABLES: Final = {option.name: option.variable for option in _SHARED}
_OPTIONS: Final = {option.variable: option.flag for option in _SHARED}


def shared_options(*, hidden: bool) -> list[click.Parameter]:
    """Return the shared options: visible and with variables for the root command, hidden for the other commands."""
    return [
        click.Option(
            [option.flag, option.name],
            envvar=None if hidden else option.variable,
            show_envvar=not hidden,
            help=option.text,
            hidden=hidden,
            metavar=option.metavar or None,
            type=option.kind,
            is_flag=not option.metavar,
            expose_value=False,
            callback=_store_value,
        )
        for option in _SHARED
    ]


_HIDDEN: Final = shared_options(hidden=True)
_VARIABLE: Final = re.compile("|".join(sorted(_OPTIONS, key=len, reverse=True)))

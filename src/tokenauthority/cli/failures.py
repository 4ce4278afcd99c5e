"""How commands fail: one line on standard error, and an exit code that says whose fault it is."""

from __future__ import annotations

import errno
import re

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote

import click

from click.exceptions import NoArgsIsHelpError


if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tokenauthority.client.errors import AuthorityError


NOT_ACTIVE: Final = 4
"""The exit code for a token that is not good."""

_UNREACHABLE: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"})

_ON_THE_WAY: Final = (
    ("onnection refused", "connection refused: is the authority running there?"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted; name its CA with --ca-file"),
    ("Hostname Verification Check failed", "its certificate is for another name than this address"),
    ("http1.x server", "that is a port for HTTP; gRPC has one of its own"),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS; a development server needs --plaintext"),
)
"""What gRPC's message holds, and what it means to who runs the command."""

_ADDRESS: Final = re.compile(r"ipv[46]:(\S+:[0-9]+)")

_BROKEN_OFF: Final = ("Socket closed", "onnection reset", "SETTINGS frame", "GOAWAY", "Broken pipe")


class Failure(click.ClickException):
    """The authority refused it, or it failed."""

    exit_code = 1

    def show(self, file: IO[str] | None = None) -> None:
        """Print the one line."""
        click.echo(f"error: {self.format_message()}", file=file, err=file is None)


class ConfigurationFailure(Failure):
    """The command line or the settings are not complete or not valid."""

    exit_code = 2


class UnreachableFailure(Failure):
    """The authority did not answer."""

    exit_code = 3


class NotIntactFailure(Failure):
    """An audit log is not as it was written."""

    exit_code = 5


class Asked(Protocol):
    """Whom the command asked, and how."""

    address: str
    plaintext: bool
    timeout: float | None


@contextmanager
def usage_in_one_line() -> Iterator[None]:
    """Turn click's usage errors, which it shows with a usage block, into failures like all others."""
    try:
        yield
    except NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        text = " ".join(error.format_message().split()).rstrip(".")
        hint = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
        raise ConfigurationFailure(text + hint) from error


@contextmanager
def reported_failures(asked: Asked) -> Iterator[None]:
    """Turn what a command is known to fail with into a Failure; anything else is a bug and stays as it is."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise  # click ends quietly when the reader of a pipe has gone
        raise Failure(_os_error(error)) from error
    except Exception as error:
        failure = _of_authority(error, asked)
        if failure is None:
            raise
        raise failure from error


def read_bytes(path: Path, name: str) -> bytes:
    """What the file holds that the option or variable *name* names.

    Raises:
        ConfigurationFailure: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationFailure(f"{name} {path}: {error.strerror}") from error


def _of_authority(error: Exception, asked: Asked) -> Failure | None:
    from tokenauthority.client.errors import AuthorityError

    if not isinstance(error, AuthorityError):
        return None
    if error.code.name not in _UNREACHABLE:
        return Failure(_line(error))
    # An authority gives a reason; without one, the call was lost on the way.
    return UnreachableFailure(_line(error) if error.reason else _on_the_way(error, asked))


def _on_the_way(error: AuthorityError, asked: Asked) -> str:
    from tokenauthority.client.connection import DEFAULT_TIMEOUT

    message = str(error)
    where = asked.address or "the authority"
    if error.code.name == "DEADLINE_EXCEEDED":
        limit = DEFAULT_TIMEOUT if asked.timeout is None else asked.timeout
        return f"{where}: no answer within {limit:g} seconds (--timeout)"
    for sign, meaning in _ON_THE_WAY:
        if sign in message:
            # Of a name with several addresses gRPC tells of the last one alone, and another may have failed otherwise.
            last = _ADDRESS.search(message)
            address = unquote(last[1]) if last else where
            tried = "" if address == where else f" ({address}, tried last)"
            return f"{where}{tried}: {meaning}"
    hint = ""
    if asked.plaintext and any(sign in message for sign in _BROKEN_OFF):
        hint = "; if it speaks TLS, leave out --plaintext"
    return f"{where}: {message}{hint}"


def _line(error: AuthorityError) -> str:
    message = str(error)
    missing = [f"{v.field}: {v.problem}" for v in error.violations if v.problem not in message]
    facts = ", ".join(filter(None, (error.reason, error.request_id and f"request id {error.request_id}")))
    return "; ".join([message, *missing]) + (f" ({facts})" if facts else "")


def _os_error(error: OSError) -> str:
    name = f"{error.filename}: " if error.filename else ""
    return f"{name}{error.strerror or type(error).__name__}"

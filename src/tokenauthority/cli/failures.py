"""Report the failure of a command as one line on standard error and an exit code for its kind."""

from __future__ import annotations

import errno
import re

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote

import click

from click.exceptions import NoArgsIsHelpError

from tokenauthority.domain.counts import counted


if TYPE_CHECKING:
    from tokenauthority.client.errors import AuthorityError


NOT_ACTIVE: Final = 4
"""The exit code for a token that is not active."""

DIFFERS: Final = 6
"""The exit code if what is declared differs from what there is."""

READER_GONE: Final = 141
"""The exit code if the reader of the output has closed it, such as `head`."""

_UNREACHABLE: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"})

_UNKNOWN_CALLER: Final = (
    "the authority does not accept the credential: check --api-key-file, --api-key, --token-file, --client-cert-file "
    "or its variable"
)

_MEANINGS: Final = (
    ("onnection refused", "connection refused: is the authority running there?"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted; name its CA with --ca-file"),
    ("Hostname Verification Check failed", "its certificate is for a name other than this address"),
    ("http1.x server", "this is an HTTP port; gRPC has another port"),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS; a development server needs --plaintext"),
)
"""A part of gRPC's message, and what it means to the person who runs the command."""

_ADDRESS: Final = re.compile(r"ipv[46]:(\S+:[0-9]+)")

_BROKEN_CONNECTION: Final = ("Socket closed", "onnection reset", "SETTINGS frame", "GOAWAY", "Broken pipe")


class Failure(click.ClickException):
    """The authority refused the call, or the command failed."""

    exit_code = 1

    def show(self, file: IO[str] | None = None) -> None:
        """Print the line. That nobody reads it changes nothing in the exit code."""
        from tokenauthority.cli.output import print_text

        del file
        with suppress(OSError):
            print_text(f"error: {self.format_message()}", err=True)


class ConfigurationFailure(Failure):
    """The command line or the settings are incomplete or invalid."""

    exit_code = 2


class UnreachableFailure(Failure):
    """The authority did not answer."""

    exit_code = 3


class NotIntactFailure(Failure):
    """An audit log is not as it was written."""

    exit_code = 5


class CallTarget(Protocol):
    """The authority that a command calls, and the time limit of a call in seconds."""

    address: str
    plaintext: bool
    timeout: float | None


@contextmanager
def usage_in_one_line() -> Iterator[None]:
    """Turn click's usage errors, which click shows with a usage block, into one-line failures."""
    try:
        yield
    except NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        text = " ".join(error.format_message().split()).rstrip(".")
        hint = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
        raise ConfigurationFailure(text + hint) from error


@contextmanager
def reported_failures(target: CallTarget) -> Iterator[None]:
    """Turn the expected errors of a command into a Failure; any other error is a bug and passes unchanged."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            # As a shell reports a program that SIGPIPE has ended: 1 would mean that the authority refused the call.
            raise SystemExit(READER_GONE) from None
        name = f"{error.filename}: " if error.filename else ""
        raise Failure(f"{name}{error.strerror or type(error).__name__}") from error
    except Exception as error:
        from tokenauthority.client.errors import AuthorityError

        if not isinstance(error, AuthorityError):
            raise
        raise _to_failure(error, target) from error


def read_bytes(path: Path, name: str) -> bytes:
    """Return the content of the file that the option or variable *name* names, or raise ConfigurationFailure."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationFailure(f"{name} {path}: {error.strerror}") from error


def _to_failure(error: AuthorityError, target: CallTarget) -> Failure:
    from tokenauthority.cli.output import printable

    if error.code.name not in _UNREACHABLE:
        return Failure(printable(_describe_error(error)))
    # An error without a reason is not from the authority: the call was lost on the network.
    return UnreachableFailure(printable(_describe_error(error) if error.reason else _explain_loss(error, target)))


def _explain_loss(error: AuthorityError, target: CallTarget) -> str:
    from tokenauthority.client.connection import DEFAULT_TIMEOUT

    message = str(error)
    where = target.address or "the authority"
    if error.code.name == "DEADLINE_EXCEEDED":
        limit = DEFAULT_TIMEOUT if target.timeout is None else target.timeout
        return f"{where}: no answer within {counted(limit, 'second')} (--timeout)"
    for sign, meaning in _MEANINGS:
        if sign in message:
            # gRPC reports only the last address of a host name, and another address may have failed otherwise.
            last = _ADDRESS.search(message)
            address = unquote(last[1]) if last else where
            tried = "" if address == where else f" ({address}, tried last)"
            return f"{where}{tried}: {meaning}"
    hint = ""
    if target.plaintext and any(sign in message for sign in _BROKEN_CONNECTION):
        hint = "; if it speaks TLS, leave out --plaintext"
    return f"{where}: {message}{hint}"


def _describe_error(error: AuthorityError) -> str:
    message = _UNKNOWN_CALLER if error.reason == "CREDENTIAL_INVALID" else str(error)
    missing = [f"{v.field}: {v.problem}" for v in error.violations if v.problem not in message]
    facts = ", ".join(filter(None, (error.reason, error.request_id and f"request id {error.request_id}")))
    return "; ".join([message, *missing]) + (f" ({facts})" if facts else "")

"""How commands fail: one line on standard error, and an exit code that says whose fault it is."""

from __future__ import annotations

import errno

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

import click


if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenauthority.client.errors import AuthorityError


NOT_ACTIVE: Final = 4
"""The exit code for a token that is not good."""

_UNREACHABLE: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"})


class Failure(click.ClickException):
    """The authority refused it, or it failed."""

    exit_code = 1

    def show(self, file: IO[str] | None = None) -> None:
        """Print the one line."""
        click.echo(f"error: {self.format_message()}", file=file, err=file is None)


class ConfigurationFailure(Failure):
    """The server's settings are not complete or not valid; the same code as for a bad command line."""

    exit_code = 2


class UnreachableFailure(Failure):
    """The authority did not answer."""

    exit_code = 3


@contextmanager
def reported_failures() -> Iterator[None]:
    """Turn what a command is known to fail with into a Failure; anything else is a bug and stays as it is."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise  # click ends quietly when the reader of a pipe has gone
        raise Failure(_os_error(error)) from error
    except Exception as error:
        failure = _of_authority(error)
        if failure is None:
            raise
        raise failure from error


def _of_authority(error: Exception) -> Failure | None:
    from tokenauthority.client.errors import AuthorityError

    if not isinstance(error, AuthorityError):
        return None
    return (UnreachableFailure if error.code.name in _UNREACHABLE else Failure)(_line(error))


def _line(error: AuthorityError) -> str:
    message = str(error)
    missing = [f"{v.field}: {v.problem}" for v in error.violations if v.problem not in message]
    facts = ", ".join(filter(None, (error.reason, error.request_id and f"request id {error.request_id}")))
    return "; ".join([message, *missing]) + (f" ({facts})" if facts else "")


def _os_error(error: OSError) -> str:
    name = f"{error.filename}: " if error.filename else ""
    return f"{name}{error.strerror or type(error).__name__}"

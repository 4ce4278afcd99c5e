"""Find, load and replace the callers file of a command."""

from __future__ import annotations

import os

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import click

from tokenauthority.cli.failures import ConfigurationFailure
from tokenauthority.cli.output import printable
from tokenauthority.cli.server import load_settings
from tokenauthority.files import open_regular, replace_file, sole_writer


if TYPE_CHECKING:
    from tokenauthority.callers.file import CallersFile
    from tokenauthority.callers.registry import CallerRegistry


file_argument: Final = click.argument(
    "file", required=False, type=click.Path(path_type=Path, dir_okay=False), metavar="[FILE]"
)


callers_option: Final = click.option(
    "--callers-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The callers file; default: that of the server's settings.",
)


def find_file(file: Path | None, config_file: Path | None) -> tuple[Path, str]:
    """Return the path of the callers file, and the authority's own issuer if the settings name it."""
    settings = load_settings(config_file, complete=False)
    path = file or settings.callers.file
    if path is None:
        raise click.UsageError("name a callers file, give --config, or set TOKENAUTHORITY_CALLERS__FILE")
    return path, settings.issuance.issuer


def load_valid_file(file: Path | None, config_file: Path | None) -> CallerRegistry:
    """Return the callers of the file, or raise ConfigurationFailure with every problem."""
    from tokenauthority.callers.file import CallersFileError, CallersFileUnreadableError, load_callers

    path, own_issuer = find_file(file, config_file)
    try:
        return load_callers(path, own_issuer)
    except CallersFileUnreadableError as error:
        raise ConfigurationFailure(f"{path} {error.problems[0]}") from error
    except CallersFileError as error:
        lines = [f"{path} is not valid:", *(f"  {printable(str(problem))}" for problem in error.problems)]
        raise ConfigurationFailure("\n".join(lines)) from error


@attrs.frozen
class CallersTarget:
    """A valid callers file as it is; without data it does not exist yet."""

    path: Path
    """As the person has named it."""
    config_file: Path | None
    file: CallersFile
    own_issuer: str
    data: bytes


def read_target(given: Path | None, config_file: Path | None, *, create: bool) -> CallersTarget | None:
    """Return the callers file of a command; None if neither the command nor the settings name one.

    With *create* it need not exist, but its directory must.
    """
    from tokenauthority.callers.file import CallersFile

    settings = load_settings(config_file, complete=False)
    path = given or settings.callers.file
    if path is None:
        return None
    own_issuer = settings.issuance.issuer
    try:
        _, data = _read(path.resolve(), create=create)
    except OSError as error:
        raise ConfigurationFailure(f"{path}: {error.strerror}") from error
    file = CallersFile(path.resolve(), own_issuer)
    if data:
        _require_valid(file, data, "is not valid")
    return CallersTarget(path, config_file, file, own_issuer, data)


@attrs.define
class Edit:
    """A callers file that is being changed: its bytes as they are, and its text as it will be."""

    path: Path
    """As the person has named it."""
    file: CallersFile
    data: bytes
    text: str = ""


@contextmanager
def edited_file(given: Path | None, config_file: Path | None, *, create: bool) -> Iterator[Edit]:
    """Yield a valid callers file, and replace it by the text that the block has set."""
    from tokenauthority.callers.file import CallersFile

    path, own_issuer = find_file(given, config_file)
    # What a link leads to is changed, not the link.
    target = path.resolve()
    try:
        with sole_writer(target.parent):
            status, data = _read(target, create=create)
            edit = Edit(path, CallersFile(target, own_issuer), data)
            if data:
                _require_valid(edit.file, data, "is not valid")
            yield edit
            replace_file(target, edit.text.encode(), like=status)
    except BlockingIOError:
        raise ConfigurationFailure(f"another command changes a file in {target.parent}; try again") from None
    except OSError as error:
        raise ConfigurationFailure(f"{path}: {error.strerror}") from error


def _read(path: Path, *, create: bool) -> tuple[os.stat_result | None, bytes]:
    from tokenauthority.callers.file import MAX_FILE

    try:
        with open_regular(path) as file:
            return os.fstat(file.fileno()), file.read(MAX_FILE + 1)
    except FileNotFoundError:
        if create and path.parent.is_dir():
            return None, b""
        raise


def check_text(file: CallersFile, text: str) -> CallerRegistry:
    """Return the callers of *file* with *text* as its content, or raise ConfigurationFailure with every problem."""
    return _require_valid(file, text.encode(), "would not be valid")


def _require_valid(file: CallersFile, data: bytes, verdict: str) -> CallerRegistry:
    from tokenauthority.callers.file import CallersFileError

    try:
        return file.parse(data)
    except CallersFileError as error:
        problems = "; ".join(problem.text for problem in error.problems)
        raise ConfigurationFailure(f"{file.path.name} {verdict}: {printable(problems)}") from None

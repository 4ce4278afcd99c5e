"""Say why a server cannot start: name the setting, and never show a password."""

from __future__ import annotations

import os
import shlex

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tokenauthority.audit.errors import AuditLogError, AuditLogInUseError
from tokenauthority.callers.file import CallersFile, CallersFileError
from tokenauthority.config.loading import ConfigError
from tokenauthority.config.settings import Settings
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.server.tls import CertificateError
from tokenauthority.signing.key_provider import KeyProviderError
from tokenauthority.signing.sealing import SealBrokenError
from tokenauthority.storage.address import StoreAddressError
from tokenauthority.storage.schema_state import SchemaError


class StoreAwayError(ConfigError):
    """The store cannot be reached or written now. The settings may be right: a later start can succeed."""

    def __str__(self) -> str:
        return "; ".join(self.problems)


def make_data_dir(settings: Settings) -> None:
    """Create the data directory, mode 0700, if anything is stored in it; raise ConfigError if that fails."""
    if settings.database.url is not None and settings.audit.path is not None:
        return
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        problem = f"cannot be made by uid {os.geteuid()}: {error.strerror}"
        raise ConfigError([f"TOKENAUTHORITY_DATA_DIR: {settings.data_dir} {problem}"]) from error


def callers_file_of(settings: Settings) -> CallersFile:
    """Return the callers file, not read yet; raise ConfigError if no setting names it."""
    if settings.callers.file is None:
        raise ConfigError(["a callers file is required"])
    return CallersFile(settings.callers.file, settings.issuance.issuer)


@contextmanager
def start_errors(settings: Settings) -> Iterator[None]:
    """Turn each error for which a server cannot start into ConfigError, in the words of its setting.

    It is a StoreAwayError if a later start may succeed.
    """
    try:
        yield
    except CallersFileError as error:
        raise ConfigError([f"callers file {error.path}: {problem}" for problem in error.problems]) from error
    except (SealBrokenError, CertificateError) as error:
        raise ConfigError([str(error)]) from error
    except KeyProviderError as error:
        raise ConfigError([f"TOKENAUTHORITY_KEYS__PROVIDER: {error}"]) from error
    except UnavailableError as error:
        raise StoreAwayError([store_problem(settings, error)]) from error
    except (StoreAddressError, SchemaError) as error:
        raise ConfigError([store_problem(settings, error)]) from error
    except OSError as error:
        raise ConfigError([os_problem(settings, error)]) from error


def store_problem(settings: Settings, error: Exception) -> str:
    """Return why the store cannot be used: its place, and the driver's cause."""
    variable = "TOKENAUTHORITY_DATABASE__URL" if settings.database.url is not None else "TOKENAUTHORITY_DATA_DIR"
    if isinstance(error, StoreAddressError) or not isinstance(error, UnavailableError):
        return f"{variable}: {error}"
    place = settings.store_address.description
    return f"{variable}: {place} cannot be reached or written{error.cause and f' ({error.cause})'}"


def os_problem(settings: Settings, error: OSError) -> str:
    """Return what the operating system refused, and to which user."""
    if settings.dev and settings.audit.path is None and isinstance(error, AuditLogInUseError):
        commands = shlex.quote(str(settings.data_dir.absolute() / "dev.env"))
        return (
            f"TOKENAUTHORITY_DATA_DIR: a development server already runs with {settings.data_dir}; "
            f"use that server (source {commands}), or give this one another directory"
        )
    if isinstance(error, AuditLogError):
        return f"TOKENAUTHORITY_AUDIT__PATH: {error} (as uid {os.geteuid()})"
    if error.filename is None:
        return str(error)
    path = Path(os.fsdecode(error.filename))
    variable = "TOKENAUTHORITY_AUDIT__PATH: " if settings.audit_path.is_relative_to(path) else ""
    return f"{variable}{path}: {error.strerror} (as uid {os.geteuid()})"

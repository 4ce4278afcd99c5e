"""Say why a server cannot start: name the setting, and never show a password."""

from __future__ import annotations

import os

from pathlib import Path
from typing import Final

from tokenauthority.audit.errors import AuditLogError
from tokenauthority.config.loading import ConfigError
from tokenauthority.config.settings import Settings
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.storage.address import StoreAddressError, parse_address


_CAUSES: Final = (
    "connection refused",
    "timeout",
    "password authentication failed",
    "does not exist",
    "could not translate host name",
    "failed to resolve host",
    "no pg_hba.conf entry",
    "certificate verify failed",
    "unable to open database file",
    "readonly database",
    "database is locked",
    "not a database",
    "disk is full",
)
"""Causes that are copied from a driver's text. The rest of that text may contain the store's URL with its password."""


def make_data_dir(settings: Settings) -> None:
    """Create the data directory, mode 0700, if anything is stored in it; raise ConfigError if that fails."""
    if settings.database.url is not None and settings.audit.path is not None:
        return
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        problem = f"cannot be made by uid {os.geteuid()}: {error.strerror}"
        raise ConfigError([f"TOKENAUTHORITY_DATA_DIR: {settings.data_dir} {problem}"]) from error


def store_problem(settings: Settings, error: Exception) -> str:
    """Return why the store cannot be used: its place, and the driver's cause."""
    variable = "TOKENAUTHORITY_DATABASE__URL" if settings.database.url is not None else "TOKENAUTHORITY_DATA_DIR"
    if isinstance(error, StoreAddressError) or not isinstance(error, UnavailableError):
        return f"{variable}: {error}"
    return f"{variable}: {parse_address(settings.database_url).description} cannot be reached or written{_why(error)}"


def os_problem(settings: Settings, error: OSError) -> str:
    """Return what the operating system refused, and to which user."""
    if isinstance(error, AuditLogError):
        return f"TOKENAUTHORITY_AUDIT__PATH: {error} (as uid {os.geteuid()})"
    if error.filename is None:
        return str(error)
    path = Path(os.fsdecode(error.filename))
    variable = "TOKENAUTHORITY_AUDIT__PATH: " if settings.audit_path.is_relative_to(path) else ""
    return f"{variable}{path}: {error.strerror} (as uid {os.geteuid()})"


def _why(error: UnavailableError) -> str:
    cause = error.__cause__
    if cause is None:
        return ""
    driver = getattr(cause, "orig", None) or cause
    said = str(driver).lower()
    known = next((text for text in _CAUSES if text in said), "")
    return f" ({type(driver).__name__}{known and ': ' + known})"

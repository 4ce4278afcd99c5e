"""Say why a database failed: its code and its message, without anything of the URL, which may hold a password."""

from __future__ import annotations

import sqlite3

from typing import Final

import psycopg
import sqlalchemy as sa

from tokenauthority.threads import PoolError


_LONGEST: Final = 200

_KNOWN: Final = (
    "connection refused",
    "statement timeout: no answer",
    "timeout",
    "password authentication failed",
    "could not translate host name",
    "failed to resolve host",
    "no pg_hba.conf entry",
    "certificate verify failed",
    "certificate has expired",
    "does not match host name",
    "root certificate file",
    "server does not support ssl",
    "unsupported startup parameter",
    "server is in hot standby mode",
    "session is read-only",
    "the database system is starting up",
    "the database system is shutting down",
    "the database system is not accepting connections",
    "the database system is in recovery mode",
    "too many clients",
    "too many connections",
    "no more connections allowed",
    "remaining connection slots are reserved",
    "server closed the connection",
    "connection reset",
    "network is unreachable",
    "no route to host",
    "permission denied",
    "no such file or directory",
    "the connection is closed",
    "the connection is lost",
    "does not exist",
)
"""Causes that are copied from a text of libpq. The rest of such a text may contain the URL with its password."""

_ABLE: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL})
"""Codes of SQLite after which the other kind of work, reading or writing, may still succeed."""


def cause_of(error: BaseException | None) -> str:
    """Return the cause of an `UnavailableError` in one line: such as `25006: cannot execute UPDATE in a ...`."""
    driver = _driver_error(error)
    match driver:
        case psycopg.Error(sqlstate=str(state)):
            text = f"{state}: {driver.diag.message_primary or type(driver).__name__}"
        case psycopg.Error():
            said = str(driver).lower()
            text = ": ".join([type(driver).__name__, *[known for known in _KNOWN if known in said][:1]])
        case sqlite3.Error():
            text = f"{getattr(driver, 'sqlite_errorname', type(driver).__name__)}: {driver}"
        case sa.exc.TimeoutError():
            text = "no connection became free in time"
        case PoolError():
            text = str(driver)
        case _:
            text = type(driver).__name__
    return " ".join(text.split())[:_LONGEST]


def is_unreachable(error: BaseException | None) -> bool:
    """Return whether the database did not answer at all, so that it can be neither read nor written."""
    driver = _driver_error(error)
    if isinstance(driver, psycopg.Error):
        return driver.sqlstate is None or driver.sqlstate[:2] == "08" or driver.sqlstate[:3] == "57P"
    if isinstance(driver, sqlite3.Error):
        return primary_code(driver) not in _ABLE
    return False


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code of *error*; 0 if the error is Python's own, such as a closed connection."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _driver_error(error: BaseException | None) -> BaseException | None:
    return error.orig if isinstance(error, sa.exc.DBAPIError) and error.orig is not None else error

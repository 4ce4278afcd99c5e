"""The cause of a failure is the database's code and message, and nothing of its URL."""

from __future__ import annotations

import sqlite3

from contextlib import closing

import psycopg
import pytest
import sqlalchemy as sa

from tokenauthority.storage.failures import cause_of, is_unreachable
from tokenauthority.threads import PoolTimeoutError


CANARY = "hunter2secret"


def _error_of(url: str, statement: str) -> psycopg.Error:
    with psycopg.connect(url) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(statement)
    return caught.value


def test_a_failure_of_postgresql_has_its_sqlstate_and_message(postgres_url: str) -> None:
    """An operator can look the SQLSTATE up; only what the server did not answer is unreachable."""
    read_only = _error_of(postgres_url, "SET TRANSACTION READ ONLY; CREATE TABLE x ()")
    wrapped = sa.exc.OperationalError("CREATE TABLE x ()", None, read_only)

    assert "25006: cannot execute CREATE TABLE in a read-only transaction" == cause_of(wrapped)
    assert not is_unreachable(wrapped)


def test_a_terminated_connection_is_unreachable(postgres_url: str) -> None:
    """Reads over it fail as writes do."""
    error = _error_of(postgres_url, "SELECT pg_terminate_backend(pg_backend_pid())")

    assert "57P01: terminating connection due to administrator command" == cause_of(error)
    assert is_unreachable(error)


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (f'connection to "{CANARY}" failed: Connection refused', "OperationalError: connection refused"),
        (f'FATAL: password authentication failed for "{CANARY}"', "OperationalError: password authentication failed"),
        (f"something else about {CANARY}", "OperationalError"),
    ],
)
def test_of_a_text_of_libpq_only_known_parts_are_shown(said: str, cause: str) -> None:
    """What libpq says of a connection that failed may contain the URL."""
    error = psycopg.OperationalError(said)

    assert cause == cause_of(error)
    assert is_unreachable(error)


def test_a_failure_of_sqlite_has_its_name() -> None:
    """The name of SQLite's own result code is what its documentation explains."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("PRAGMA query_only=ON")
        with pytest.raises(sqlite3.Error) as caught:
            connection.execute("CREATE TABLE x (y)")

    assert "SQLITE_READONLY: attempt to write a readonly database" == cause_of(caught.value)
    assert not is_unreachable(caught.value)


def test_a_pool_without_room_is_named() -> None:
    """A unit of work that was not done in time is no failure of the database's own."""
    assert "not done after 15 seconds" == cause_of(PoolTimeoutError(15, begun=True))
    assert not is_unreachable(PoolTimeoutError(15, begun=True))


def test_a_cause_is_one_short_line() -> None:
    """Whatever a driver says, the log has one line of at most 200 characters."""
    cause = cause_of(sqlite3.OperationalError("a\nb\tc " + "x" * 1000))

    assert cause.startswith("OperationalError: a b c xxx")
    assert 200 == len(cause)

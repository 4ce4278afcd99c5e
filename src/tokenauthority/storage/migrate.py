"""Bring the schema of a database up to the program's version, or say how the two differ."""

from __future__ import annotations

import os
import threading

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from alembic import command

from tokenauthority.storage.address import SqliteAddress, StoreAddress, parse_address
from tokenauthority.storage.database import StoreLimits, unavailable_on_failure
from tokenauthority.storage.postgres import postgres_engine, with_transactions
from tokenauthority.storage.schema_state import (
    SchemaError,
    SchemaState,
    alembic_config,
    read_state,
    write_oldest_program,
)
from tokenauthority.storage.sqlite import writing_engine


_LIMITS: Final = StoreLimits(pool_size=1, statement_timeout=600.0, busy_timeout=600.0)
"""A migration of a large store may take minutes, and every other server that starts waits for it."""

_LOCK_ID: Final = 0x746F6B656E6D
"""The key of the advisory lock; any number will do that nothing else on the database uses."""

_alembic_lock: Final = threading.Lock()
"""alembic holds the migration that runs in module globals, so two threads of one process must not migrate at once."""


def migrate(place: str | StoreAddress) -> bool:
    """Bring the database at *place* to the program's schema, in one transaction; make a SQLite file if there is none.

    A file gets mode 0600, and directories that are made for it 0700. Servers that start together may all call this: one
    migrates, and the others wait for it (at most 10 minutes). It blocks, so call it outside the event loop.

    A store that a newer program has upgraded stays as it is, if it still works with this program.

    Returns:
        Whether the store is new: nothing of it was there before.

    Raises:
        StoreAddressError: *place* is not the URL of a store.
        SchemaError: The database is newer than the program, and does not work with the program, or its encoding is
            not UTF8.
        UnavailableError: The database cannot be reached or written.
    """
    with unavailable_on_failure():
        address = parse_address(place) if isinstance(place, str) else place
        if isinstance(address, SqliteAddress):
            _create_file(address.path)
        with _alembic_lock, _connect(address) as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_ID)))
            before = read_state(connection)
            before.require_known()
            if before.pending:
                config = alembic_config()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                write_oldest_program(connection)
    return before.store is None


def schema_state(place: str | StoreAddress) -> SchemaState:
    """Return how the schema of the database at *place* and the program's differ. It blocks, as `migrate` does.

    Raises:
        StoreAddressError: *place* is not the URL of a store.
        SchemaError: There is no database yet, its schema is none of this program's line, or its encoding is not UTF8.
        UnavailableError: The database cannot be reached.
    """
    with unavailable_on_failure():
        address = parse_address(place) if isinstance(place, str) else place
        if isinstance(address, SqliteAddress) and not address.path.exists():
            raise SchemaError(
                f"there is no store at {address.path}: if there should be one, check data_dir and --config; "
                "else run `tokenauthority db upgrade`, which makes a new one"
            )
        with _connect(address) as connection:
            return read_state(connection)


def check_schema(place: str | StoreAddress) -> SchemaState:
    """Return the state of the database at *place* if the program can serve with it; else raise as `schema_state`."""
    state = schema_state(place)
    if state.problem:
        raise SchemaError(state.problem)
    return state


@contextmanager
def _connect(address: StoreAddress) -> Iterator[sa.Connection]:
    if isinstance(address, SqliteAddress):
        engine = writing_engine(address.path, _LIMITS.busy_timeout)
    else:
        engine = with_transactions(postgres_engine(address, _LIMITS), _LIMITS)
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                _require_unicode(connection)
            yield connection
    finally:
        engine.dispose()


def _require_unicode(connection: sa.Connection) -> None:
    """Raise SchemaError for a database that cannot hold every text; else a call would fail when it stores one."""
    encoding = connection.scalar(sa.text("SHOW server_encoding"))
    if encoding != "UTF8":
        raise SchemaError(
            f"the database has the encoding {encoding}, which cannot hold every text: make a new one with"
            " CREATE DATABASE ... TEMPLATE template0 ENCODING 'UTF8'"
        )


def _create_file(path: Path) -> None:
    missing = [parent for parent in path.absolute().parents if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir(mode=0o700, exist_ok=True)
    # Before SQLite opens it, which would use the process's umask; its log files take the mode of this one.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))

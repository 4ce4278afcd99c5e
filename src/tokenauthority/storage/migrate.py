"""The version of a database's schema: bring it up to the program's, or say clearly how the two differ."""

from __future__ import annotations

import os
import threading

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from tokenauthority.storage.address import SqliteAddress, parse_address
from tokenauthority.storage.database import StoreLimits, unavailable_on_failure
from tokenauthority.storage.postgres import postgres_engine
from tokenauthority.storage.sqlite import writing_engine


if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_LIMITS: Final = StoreLimits(pool_size=1, statement_timeout=600.0, busy_timeout=600.0)
"""A migration of a large store may take minutes, and every other server that starts waits for it."""

_MIGRATING: Final = 0x746F6B656E6D
"""The key of the advisory lock; any number will do that nothing else on the database uses."""

_alembic_in_use: Final = threading.Lock()
"""alembic keeps the migration that runs in module globals, so threads of one process must take turns."""


class SchemaError(RuntimeError):
    """The schema of the database is not the program's. The message says what to do."""


def migrate(url: str) -> bool:
    """Bring the database at *url* to the program's schema, in one transaction; a SQLite file is made if there is none.

    Answers whether the store is new: nothing of it was there before.

    A file gets mode 0600 and its directories, where they are made too, 0700. Servers that start together may all call
    this: one migrates, and the others wait for it (at most 10 minutes). Blocks, so call it outside the event loop.

    Raises:
        StoreAddressError: *url* is not the URL of a store.
        SchemaError: the database is newer than the program.
        UnavailableError: the database cannot be reached or written.
    """
    with unavailable_on_failure():
        address = parse_address(url)
        if isinstance(address, SqliteAddress):
            _make_file(address.path)
        with _alembic_in_use, _connected(url) as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATING)))
            config = _config()
            before = _version(connection)
            _refuse_newer(before, ScriptDirectory.from_config(config))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    return before is None


def check_schema(url: str) -> None:
    """Return if the database at *url* has the program's schema. Blocks, so call it outside the event loop.

    Raises:
        StoreAddressError: *url* is not the URL of a store.
        SchemaError: there is no database yet, or it is older or newer than the program.
        UnavailableError: the database cannot be reached.
    """
    with unavailable_on_failure():
        address = parse_address(url)
        if isinstance(address, SqliteAddress) and not address.path.exists():
            raise SchemaError(f"there is no store at {address.path}: run `tokenauthority db upgrade`")
        with _connected(url) as connection:
            version = _version(connection)
    scripts = ScriptDirectory.from_config(_config())
    _refuse_newer(version, scripts)
    if version != scripts.get_current_head():
        state = "empty" if version is None else f"older than this program (its schema is {version})"
        raise SchemaError(f"the store is {state}: run `tokenauthority db upgrade`")


def _refuse_newer(version: str | None, scripts: ScriptDirectory) -> None:
    known = {script.revision for script in scripts.walk_revisions()}
    if version is not None and version not in known:
        raise SchemaError(
            f"the store is newer than this program, which does not know its schema {version}: run the newer program"
        )


def _version(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "tokenauthority.storage:migrations")
    return config


@contextmanager
def _connected(url: str) -> Iterator[sa.Connection]:
    address = parse_address(url)
    if isinstance(address, SqliteAddress):
        engine = writing_engine(address.path, _LIMITS.busy_timeout)
    else:
        engine = postgres_engine(address.url, _LIMITS)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _make_file(path: Path) -> None:
    missing = [parent for parent in path.absolute().parents if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir(mode=0o700, exist_ok=True)
    # Made before SQLite opens it, which would use the process's umask; its log files take the mode of this one.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))

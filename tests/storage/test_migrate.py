"""Migrations build the schema that the program uses, once, and report a difference."""

from __future__ import annotations

import logging
import os
import re
import stat

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from tests.storage.conftest import engine_of
from tests.support import forkserver
from tests.support.authority import WAIT, clean_environment
from tests.support.postgres import PostgresServer
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.storage.migrate import check_schema, migrate
from tokenauthority.storage.schema import metadata
from tokenauthority.storage.schema_state import SchemaError


FREE_TEXT = {
    ("revocations", "comment"),
    ("projects", "display_name"),
    ("roles", "description"),
    ("sessions", "archive_name"),
}


@pytest.fixture
def connection(sql_url: str) -> Iterator[sa.Connection]:
    """A connection to a store that is up to date."""
    engine = engine_of(sql_url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def _mode(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


def test_migrations_build_the_schema(connection: sa.Connection) -> None:
    """What the migrations build differs in nothing from the tables that the program uses."""
    # SQLite has no identity columns, which alembic would take for a difference.
    defaults = connection.dialect.name == "postgresql"
    options = {"compare_type": True, "compare_server_default": defaults}
    context = MigrationContext.configure(connection, opts=options)

    assert [] == compare_metadata(context, metadata)


def test_migrations_build_the_same_sqlite_tables_to_the_letter(sqlite_url: str) -> None:
    """On SQLite even what alembic does not compare is the same: partial indexes, deferred keys, AUTOINCREMENT."""
    migrated, created = engine_of(sqlite_url), sa.create_engine("sqlite://")
    metadata.create_all(created)
    statements = []
    for engine in (migrated, created):
        with engine.connect() as connection:
            rows = connection.exec_driver_sql(
                "SELECT sql FROM sqlite_master WHERE sql NOT LIKE '%alembic_version%' ORDER BY name"
            )
            # In pieces: a column that a later step added stands on the line of the one before it.
            statements.append([sorted(re.split(r"\s*,\s*|\s*\n\s*|\)$", sql)) for (sql,) in rows])
        engine.dispose()

    assert statements[0] == statements[1]


def test_only_one_key_can_be_active(connection: sa.Connection) -> None:
    """The schema itself refuses a second ACTIVE key, and only that."""
    row = "VALUES (:id, 'ES256', :state, 0, :sealed)"
    insert = sa.text(f"INSERT INTO signing_keys (key_id, algorithm, state, create_time, sealed) {row}")
    for name, state in (("a", "active"), ("b", "retired"), ("c", "retired")):
        connection.execute(insert, {"id": name, "state": state, "sealed": b""})

    with pytest.raises(sa.exc.IntegrityError):
        connection.execute(insert, {"id": "d", "state": "active", "sealed": b""})


def test_ids_are_ordered_by_their_bytes_on_postgresql(migrated_postgres_url: str) -> None:
    """Every text column but those of free text has the collation "C", whatever the locale of the database."""
    with psycopg.connect(migrated_postgres_url) as connection:
        rows = connection.execute(
            "SELECT table_name, column_name, collation_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND data_type = 'text'"
        ).fetchall()
    columns = {(t.name, c.name) for t in metadata.tables.values() for c in t.c if isinstance(c.type, sa.Text)}

    assert columns - FREE_TEXT == {(table, column) for table, column, collation in rows if collation == "C"}
    assert columns == {(table, column) for table, column, _ in rows}


def test_migrating_again_changes_nothing(new_url: str) -> None:
    """A store that is up to date passes the check, and migrating it again is no error."""
    migrate(new_url)
    check_schema(new_url)

    migrate(new_url)

    check_schema(new_url)


def test_servers_that_start_together_migrate_once(new_url: str, tmp_path: Path) -> None:
    """Several processes may migrate one store at the same time."""
    environment = clean_environment(TOKENAUTHORITY_DATABASE__URL=new_url)
    errors = tmp_path / "errors"
    with errors.open("w") as file:
        started = [forkserver.start(["db", "upgrade"], cwd=tmp_path, env=environment, stderr=file) for _ in range(4)]
        outcomes = [process.wait(WAIT) for process in started]

    assert ([0] * 4, "") == (outcomes, errors.read_text())
    check_schema(new_url)


def test_empty_store_is_refused_with_the_command_to_upgrade(new_url: str) -> None:
    """A store without a schema is refused with the command that makes one, and the check makes nothing."""
    for _ in range(2):
        with pytest.raises(SchemaError, match="run `tokenauthority db upgrade`"):
            check_schema(new_url)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_every_text_is_refused(postgres_server: PostgresServer, encoding: str) -> None:
    """Also by `check_schema`, which a server calls at its start; no table is made."""
    name = postgres_server.create_database("template0", encoding)
    url = postgres_server.url(name)
    for refusing in (migrate, check_schema):
        with pytest.raises(SchemaError, match=f"^the database has the encoding {encoding}, .* ENCODING 'UTF8'$"):
            refusing(url)
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    postgres_server.drop_database(name)

    assert (0,) == tables


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_only_the_owner_can_read_a_new_file(tmp_path: Path, umask: int) -> None:
    """A new SQLite file has mode 0600 and its new directories 0700 at most, whatever the umask."""
    before = os.umask(umask)
    try:
        if umask & 0o700 and os.geteuid() != 0:
            pytest.skip("only root can use a directory whose owner may not")
        migrate(f"sqlite:///{tmp_path}/a/b/authority.db")
    finally:
        os.umask(before)
    owned = 0o700 & ~umask

    assert [oct(owned), oct(owned), oct(owned & 0o600)] == [
        _mode(tmp_path / path) for path in ("a", "a/b", "a/b/authority.db")
    ]


def test_directory_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    """Only what is made here gets a mode."""
    tmp_path.chmod(0o755)

    migrate(f"sqlite:///{tmp_path}/authority.db")

    assert "0o755" == _mode(tmp_path)


def test_what_is_no_database_is_left_alone(tmp_path: Path) -> None:
    """A file that SQLite cannot read is an error, and stays as it was."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database, " * 1000)

    for call in (migrate, check_schema):
        with pytest.raises(UnavailableError):
            call(f"sqlite:///{path}")

    assert "not a database, " * 1000 == path.read_text()


def test_says_nothing_and_configures_no_logging(new_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A migration prints nothing and leaves the process's logging as it was."""
    before = (logging.root.handlers[:], logging.root.level, logging.getLogger("alembic").level)

    migrate(new_url)

    assert ("", "") == capsys.readouterr()
    assert before == (logging.root.handlers, logging.root.level, logging.getLogger("alembic").level)

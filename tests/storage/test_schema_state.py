"""What the schema of a store says of the programs that may serve with it, and what an upgrade does to running ones."""

from __future__ import annotations

import attrs
import pytest
import sqlalchemy as sa

from alembic import command
from alembic.script import Script, ScriptDirectory

from tests.storage.conftest import engine_of
from tokenauthority.storage.address import SqliteAddress, parse_address
from tokenauthority.storage.migrate import _connect, _create_file, check_schema, migrate, schema_state
from tokenauthority.storage.schema_state import SchemaError, alembic_config


def migrate_to(url: str, revision: str) -> None:
    """Bring a store to the schema of an older program, or of one that is under way."""
    address = parse_address(url)
    if isinstance(address, SqliteAddress):
        _create_file(address.path)
    with _connect(address) as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def steps_that_let_servers_run() -> list[Script]:
    """The steps after which older programs still work, by their own word."""
    steps = ScriptDirectory.from_config(alembic_config()).walk_revisions()
    return [step for step in steps if getattr(step.module, "oldest_program", step.revision) != step.revision]


@attrs.frozen
class _Column:
    type: str
    may_be_left_out: bool


def _columns(url: str) -> dict[str, dict[str, _Column]]:
    engine = engine_of(url)
    with engine.connect() as connection:
        tables = sa.MetaData()
        tables.reflect(connection)
    engine.dispose()
    return {
        table.name: {
            column.name: _Column(str(column.type), bool(column.nullable or column.server_default is not None))
            for column in table.c
        }
        for table in tables.tables.values()
        if table.name not in {"alembic_version", "schema_support"}
    }


def _upgrade_by_a_newer_program(url: str, oldest_program: str) -> None:
    engine = engine_of(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(sa.text("UPDATE schema_support SET oldest_program = :oldest"), {"oldest": oldest_program})
    engine.dispose()


def test_newer_store_is_refused(sql_url: str) -> None:
    """A store that a newer program has upgraded, and that this one cannot use, is neither used nor changed."""
    _upgrade_by_a_newer_program(sql_url, "9999")

    with pytest.raises(SchemaError, match=r"newer than this program.* 9999"):
        check_schema(sql_url)
    with pytest.raises(SchemaError, match=r"newer than this program.* 9999"):
        migrate(sql_url)


def test_newer_store_is_served_if_it_says_that_this_program_works(sql_url: str) -> None:
    """And stays as it is."""
    own = check_schema(sql_url).program
    _upgrade_by_a_newer_program(sql_url, own)

    migrate(sql_url)

    assert ("9999", own, "") == (*attrs.astuple(check_schema(sql_url))[:2], check_schema(sql_url).problem)


def test_what_names_no_version_is_refused(sql_url: str) -> None:
    """Of a schema without a number nobody knows whether it is newer."""
    engine = engine_of(sql_url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'branch'"))
    engine.dispose()

    with pytest.raises(SchemaError, match="branch, which no version of this program makes"):
        check_schema(sql_url)


def test_an_upgrade_says_whether_servers_must_stop(new_url: str) -> None:
    """The first step that says so needs it; a store that is empty, or up to date, does not."""
    migrate_to(new_url, "0009")

    before = schema_state(new_url)
    migrate(new_url)
    after = schema_state(new_url)

    assert before.upgrade_stops_servers
    assert (False, ()) == (after.upgrade_stops_servers, after.pending)
    assert after.oldest_program == before.oldest_after_upgrade


@pytest.mark.parametrize("step", steps_that_let_servers_run(), ids=lambda step: step.revision)
def test_a_step_that_lets_servers_run_only_adds(step: Script, new_url: str) -> None:
    """Tables and columns are as before, and a new column of an old table needs no value: older programs write rows."""
    migrate_to(new_url, str(step.down_revision))
    before = _columns(new_url)
    migrate_to(new_url, step.revision)
    after = _columns(new_url)

    new = {table: after[table].keys() - columns for table, columns in before.items()}
    assert before == {table: {name: after[table][name] for name in columns} for table, columns in before.items()}
    assert [] == [
        (table, name) for table, names in new.items() for name in names if not after[table][name].may_be_left_out
    ]

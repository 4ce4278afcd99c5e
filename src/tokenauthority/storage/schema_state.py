"""How the schema of a store and that of the program differ, and whether the program may serve."""

from __future__ import annotations

import re

from typing import Final

import attrs
import sqlalchemy as sa

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory

from tokenauthority.storage.schema import Id, metadata


_NUMBER: Final = re.compile(r"[0-9]{4}")

_MIGRATIONS: Final = "tokenauthority.storage:migrations"

_support: Final = sa.Table(
    "schema_support",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("oldest_program", Id, nullable=False),
)


class SchemaError(RuntimeError):
    """The program cannot work with the schema of the database. The message says what to do."""


@attrs.frozen(kw_only=True)
class SchemaState:
    """The schema of a store beside that of the program. A schema is named by its number, such as `0011`.

    Attributes:
        store: The schema of the store; None if there is none yet.
        program: The schema of the program.
        oldest_program: The oldest program, by its schema, that works with the store; None for a store that names none.
        oldest_after_upgrade: The same for the store once it has the schema of the program.
        pending: The steps from the store to the program, such as `0011 Add a table`, the first one first.
    """

    store: str | None
    program: str
    oldest_program: str | None
    oldest_after_upgrade: str
    pending: tuple[str, ...] = ()

    @property
    def upgrade_stops_servers(self) -> bool:
        """Whether servers of the store's schema must be stopped before the store is upgraded."""
        return self.store is not None and bool(self.pending) and self.oldest_after_upgrade > self.store

    @property
    def is_newer(self) -> bool:
        """Whether a newer program has upgraded the store."""
        return self.store is not None and self.store > self.program

    def require_known(self) -> None:
        """Raise SchemaError if the store is newer than the program, and no longer works with the program."""
        if self.is_newer and self.problem:
            raise SchemaError(self.problem)

    @property
    def problem(self) -> str:
        """Why the program cannot serve with the store as it is; empty if it can."""
        if self.is_newer:
            works = self.oldest_program is not None and self.oldest_program <= self.program
            newer = f"which does not work with its schema {self.store}: run the newer program"
            return "" if works else f"the store is newer than this program, {newer}"
        if self.pending:
            older = f"older than this program (its schema is {self.store})" if self.store else "empty"
            return f"the store is {older}: run `tokenauthority db upgrade`"
        return ""


def alembic_config() -> Config:
    """Return the configuration of alembic, without a connection."""
    config = Config()
    config.set_main_option("script_location", _MIGRATIONS)
    return config


def read_state(connection: sa.Connection) -> SchemaState:
    """Return the state of the store of *connection*; raise SchemaError if its schema is not named by a number."""
    store = MigrationContext.configure(connection).get_current_revision()
    if store is not None and not _NUMBER.fullmatch(store):
        raise SchemaError(f"the schema of the store is {store}, which no version of this program makes")
    steps = _steps()
    return SchemaState(
        store=store,
        program=steps[-1].revision,
        oldest_program=_oldest_program(connection),
        oldest_after_upgrade=_oldest_of(steps[-1]),
        pending=tuple(f"{step.revision} {step.doc}" for step in steps if store is None or step.revision > store),
    )


def write_oldest_program(connection: sa.Connection) -> None:
    """Record which programs work with the schema of this program, to which the store was just upgraded."""
    connection.execute(sa.delete(_support))
    connection.execute(sa.insert(_support).values(id=1, oldest_program=_oldest_of(_steps()[-1])))


def _steps() -> list[Script]:
    """Return the steps that the program knows, the first one first."""
    return list(ScriptDirectory.from_config(alembic_config()).walk_revisions())[::-1]


def _oldest_of(step: Script) -> str:
    return str(step.module.oldest_program)


def _oldest_program(connection: sa.Connection) -> str | None:
    # A question to a missing table would end the transaction on PostgreSQL.
    if not sa.inspect(connection).has_table(_support.name):
        return None
    found = connection.execute(sa.select(_support.c.oldest_program)).scalar()
    return None if found is None else str(found)

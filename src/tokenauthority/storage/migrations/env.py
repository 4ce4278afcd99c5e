"""Give alembic the connection and the transaction of its caller (`storage/migrate.py`). It logs nothing."""

from __future__ import annotations

from alembic import context

from tokenauthority.storage.schema import metadata


# Both engines can undo DDL, so that a step that fails leaves the schema as it was.
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()

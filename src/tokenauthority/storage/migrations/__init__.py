"""The steps from each version of the schema to the next, for alembic alone to load (`storage/migrate.py`)."""

"""Change the schema from each version to the next; only alembic loads these modules (`storage/migrate.py`)."""

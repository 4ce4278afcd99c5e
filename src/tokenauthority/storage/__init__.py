"""Store what the authority knows, durably, in SQLite or PostgreSQL."""

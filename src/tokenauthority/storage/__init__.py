"""What the authority keeps: the Store protocol, in memory for tests, and in SQLite or PostgreSQL by one code path."""

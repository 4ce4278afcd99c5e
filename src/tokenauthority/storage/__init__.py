"""What the authority stores: the `Store` protocol, and SQLite and PostgreSQL behind it by one code path."""

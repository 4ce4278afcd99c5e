"""Store what the authority knows, durably, in SQLite or PostgreSQL.

This is the door of the package: whoever uses a store imports from here.
"""

from tokenauthority.storage.address import PostgresAddress, SqliteAddress, StoreAddressError, parse_address
from tokenauthority.storage.database import StoreLimits
from tokenauthority.storage.migrate import SchemaError, check_schema, migrate
from tokenauthority.storage.sql import open_store
from tokenauthority.storage.store import (
    ChangeStore,
    ProjectStore,
    RevocationStore,
    RoleStore,
    SealedStore,
    SessionStore,
    SigningKeyStore,
    Store,
)


__all__ = [
    "ChangeStore",
    "PostgresAddress",
    "ProjectStore",
    "RevocationStore",
    "RoleStore",
    "SchemaError",
    "SealedStore",
    "SessionStore",
    "SigningKeyStore",
    "SqliteAddress",
    "Store",
    "StoreAddressError",
    "StoreLimits",
    "check_schema",
    "migrate",
    "open_store",
    "parse_address",
]

"""Parse the URL of a store, as an operator writes it, without ever showing its password."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs
import sqlalchemy as sa


class StoreAddressError(ValueError):
    """The URL of the store cannot be used. The message does not quote it."""


@attrs.frozen
class SqliteAddress:
    """A database in one file."""

    path: Path

    @property
    def description(self) -> str:
        """The store in words."""
        return f"the store at {self.path}"


@attrs.frozen
class PostgresAddress:
    """A database on a PostgreSQL server. Its `repr` shows nothing: a password can stand in the query of a URL too."""

    url: sa.URL = attrs.field(repr=False)

    @property
    def description(self) -> str:
        """The store in words, without user and password."""
        port = f":{self.url.port}" if self.url.port else ""
        return f"the store at {self.url.host or 'the local socket'}{port}/{self.url.database or ''}"


_POSTGRES: Final = ("postgresql", "postgres", "postgresql+psycopg")


def parse_address(url: str) -> SqliteAddress | PostgresAddress:
    """Return the address in *url*.

    A store in memory has no URL on purpose: a server that loses its keys must not be one mistyped word away.

    Args:
        url: `sqlite:///PATH`, a file, relative to the working directory unless PATH begins with `/`; or
            `postgresql://USER:PASSWORD@HOST:PORT/DATABASE?PARAMETER=...`, a server, with any connection parameter of
            libpq.

    Raises:
        StoreAddressError: *url* is neither.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # Without the cause, whose text may quote the URL.
        raise StoreAddressError("the URL of the store cannot be read") from None
    if parsed.drivername == "sqlite":
        file = parsed.database
        if parsed.host or parsed.query or not file or file.startswith((":memory:", "file:")):
            raise StoreAddressError("a SQLite store is `sqlite:///` and the path of a file, and nothing else")
        return SqliteAddress(Path(file))
    if parsed.drivername in _POSTGRES:
        return PostgresAddress(parsed.set(drivername="postgresql+psycopg"))
    raise StoreAddressError("the URL of the store must begin with `sqlite:///` or `postgresql://`")

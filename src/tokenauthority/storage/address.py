"""Where a store is: the URL that an operator writes, taken apart without ever showing its password."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import sqlalchemy as sa


if TYPE_CHECKING:
    from typing import Self


class StoreAddressError(ValueError):
    """The URL of the store is not one that can be used. The message does not quote it."""


@attrs.frozen
class SqliteAddress:
    """A database in one file."""

    path: Path

    @classmethod
    def of(cls, url: sa.URL) -> Self:
        """The address in a `sqlite:///` URL.

        Raises:
            StoreAddressError: it names no file, or more than a file.
        """
        if url.host or url.query or not url.database or url.database.startswith((":memory:", "file:")):
            raise StoreAddressError("a SQLite store is `sqlite:///` and the path of a file, and nothing else")
        return cls(Path(url.database))

    @property
    def place(self) -> str:
        """For a person."""
        return f"the store at {self.path}"


@attrs.frozen
class PostgresAddress:
    """A database on a PostgreSQL server. Its `repr` shows nothing: a password can stand in the query of a URL too."""

    url: sa.URL = attrs.field(repr=False)

    @property
    def place(self) -> str:
        """For a person; without user and password."""
        port = f":{self.url.port}" if self.url.port else ""
        return f"the store at {self.url.host or 'the local socket'}{port}/{self.url.database or ''}"


_POSTGRES: Final = ("postgresql", "postgres", "postgresql+psycopg")


def parse_address(url: str) -> SqliteAddress | PostgresAddress:
    """The address in *url*.

    `sqlite:///PATH`: a file, relative to the working directory unless PATH begins with `/`.
    `postgresql://USER:PASSWORD@HOST:PORT/DATABASE?PARAMETER=...`: a server, with any connection parameter of libpq.

    A store in memory has no URL on purpose: a server that forgets its keys must not be one mistyped word away.

    Raises:
        StoreAddressError: *url* is neither.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # Without the cause, whose text may quote the URL.
        raise StoreAddressError("the URL of the store cannot be read") from None
    if parsed.drivername == "sqlite":
        return SqliteAddress.of(parsed)
    if parsed.drivername in _POSTGRES:
        return PostgresAddress(parsed.set(drivername="postgresql+psycopg"))
    raise StoreAddressError("the URL of the store must begin with `sqlite:///` or `postgresql://`")

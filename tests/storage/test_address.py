"""Where a store is, said without its password."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenauthority.storage.address import PostgresAddress, SqliteAddress, StoreAddressError, parse_address
from tokenauthority.storage.sql import open_store


PASSWORD = "hunter2secret"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///relative/a.db", "relative/a.db"),
        ("sqlite:////absolute/a b?.db".replace("?", "%"), "/absolute/a b%.db"),
    ],
)
def test_reads_the_path_of_a_file(url: str, path: str) -> None:
    """A SQLite URL names a file, relative or absolute."""
    assert SqliteAddress(Path(path)) == parse_address(url)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_reads_a_postgresql_url(scheme: str) -> None:
    """Each usual scheme of PostgreSQL leads to the one driver."""
    address = parse_address(f"{scheme}://user:{PASSWORD}@db.example:5433/authority?sslmode=verify-full")

    assert isinstance(address, PostgresAddress)
    assert (
        f"postgresql+psycopg://user:{PASSWORD}@db.example:5433/authority?sslmode=verify-full"
        == address.url.render_as_string(hide_password=False)
    )


@pytest.mark.parametrize(
    "url",
    [
        "",
        PASSWORD,
        "memory://",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file:a.db",
        f"sqlite:///a.db?key={PASSWORD}",
        f"sqlite://{PASSWORD}/a.db",
        f"mysql://user:{PASSWORD}@host/db",
        f"postgresql+asyncpg://user:{PASSWORD}@host/db",
        f"postgresql://user:{PASSWORD}@host:port/db",
        f"postgresql//user:{PASSWORD}@host/db",
    ],
)
def test_refuses_any_other_url_without_quoting_it(url: str) -> None:
    """Every other URL is refused, and the error, with all that led to it, does not show it."""
    with pytest.raises(StoreAddressError) as refused:
        parse_address(url)

    assert PASSWORD not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize("authority", [f"user:{PASSWORD}@host/db", f"user@host/db?password={PASSWORD}"])
async def test_no_repr_shows_the_password(authority: str) -> None:
    """Neither an address nor a store shows a password, wherever in the URL it stands."""
    store = open_store(f"postgresql://{authority}")
    shown = [repr(store), repr(parse_address(f"postgresql://{authority}"))]
    await store.close()

    assert ["SqlStore(PostgresDatabase('host/db'))", "PostgresAddress()"] == shown

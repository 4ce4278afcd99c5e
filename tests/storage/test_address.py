"""Where a store is, said without its password."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.storage.address import PostgresAddress, SqliteAddress, StoreAddressError, parse_address
from tokenauthority.storage.sql import open_store


PASSWORD = "hunter2secret"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///relative/a.db", "relative/a.db"),
        ("sqlite:////absolute/a b%.db", "/absolute/a b%.db"),
        ("sqlite:////a%2520b/x%3Fy%23z.db", "/a%20b/x?y#z.db"),
        ("sqlite:////s p/ü/%ff", "/s p/ü/\udcff"),
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
    assert {
        "user": "user",
        "password": PASSWORD,
        "host": "db.example",
        "port": "5433",
        "dbname": "authority",
        "sslmode": "verify-full",
    } == address.parameters


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
        f"postgresql://user:{PASSWORD}@host:5432,host:port/db",
        f"postgresql://user:{PASSWORD}@host/db?sslmode=sometimes",
        f"postgresql://user:{PASSWORD}@host/db?{PASSWORD}=x",
        f"postgresql://user:{PASSWORD}%zz@host/db",
        f"postgresql://user:first@{PASSWORD}@host/db",
        f"postgresql://user:first@{PASSWORD}/third@host/db",
        f"postgresql://user:9/{PASSWORD}@host/db",
        f"postgresql://user:first@{PASSWORD}:9@host/db",
        f"postgresql://user:9/x?{PASSWORD}@host/db",
        f"postgresql://user@host?password=first@{PASSWORD}",
        "sqlite:///a.db#fragment",
        "sqlite:///a%00b.db",
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


def test_says_what_to_encode_in_a_password() -> None:
    """More than one `@` is what an operator writes who does not know it."""
    with pytest.raises(StoreAddressError, match=r"percent-encode each of `@ : / \? # %`, as `%40` for `@`"):
        parse_address(f"postgresql://user:a@{PASSWORD}@host/db")


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
    st.text("ab,.-:", max_size=9),
)
def test_reads_any_password_that_is_encoded(password: str, user: str) -> None:
    """Whatever its characters, an encoded password is that password, and shows nowhere."""
    address = parse_address(f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@db.example/authority")

    assert isinstance(address, PostgresAddress)
    assert (user, password) == (address.parameters.get("user", ""), address.parameters["password"])
    assert "the store at db.example/authority" == address.description


def test_reads_several_hosts() -> None:
    """The driver looks among them for the primary."""
    address = parse_address("postgresql://user@a.example:5433,b.example/db?target_session_attrs=read-write")

    assert isinstance(address, PostgresAddress)
    assert ("a.example,b.example", "5433,") == (address.parameters["host"], address.parameters["port"])
    assert "read-write" == address.parameters["target_session_attrs"]


@pytest.mark.parametrize(
    ("rest", "verified"),
    [
        ("db.example/db", False),
        ("db.example/db?sslmode=require", False),
        ("db.example/db?sslmode=verify-full", True),
        ("db.example/db?sslmode=verify-ca", True),
        ("192.0.2.1/db", False),
        ("127.0.0.1,192.0.2.1/db", False),
        ("127.0.0.1/db", True),
        ("[::1]/db", True),
        ("localhost/db", True),
        ("/db", True),
        ("/db?host=/run/postgresql", True),
        ("db.example/db?hostaddr=127.0.0.1", True),
    ],
)
def test_knows_whether_the_server_is_verified(rest: str, *, verified: bool) -> None:
    """Only TLS with the CA shows who answers, unless nothing leaves this machine."""
    address = parse_address(f"postgresql://{rest}")

    assert isinstance(address, PostgresAddress)
    assert verified == address.is_verified


@pytest.mark.parametrize(
    ("variables", "url", "verified", "description"),
    [
        ({"PGHOST": "db.example"}, "/ta", False, "the store at db.example/ta"),
        ({"PGHOST": "db.example", "PGSSLMODE": "verify-full"}, "/ta", True, "the store at db.example/ta"),
        ({"PGSSLMODE": "require"}, "db.example/ta?sslmode=verify-full", True, "the store at db.example/ta"),
        ({"PGHOST": "db.example", "PGPORT": "5433"}, "127.0.0.1/ta", True, "the store at 127.0.0.1:5433/ta"),
        ({"PGHOSTADDR": "192.0.2.1"}, "127.0.0.1/ta", False, "the store at 127.0.0.1/ta"),
        ({"PGHOST": "a.example,b.example", "PGPORT": "1"}, "", False, "the store at a.example,b.example:1/"),
    ],
)
def test_judges_the_server_that_libpq_would_reach(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str, description: str, *, verified: bool
) -> None:
    """What a URL does not say, libpq takes from variables: what is judged and shown is what is connected to."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    address = parse_address(f"postgresql://{url}")

    assert isinstance(address, PostgresAddress)
    assert (verified, description) == (address.is_verified, address.description)


def test_names_each_server() -> None:
    """One port is that of every host; a host without a port has the default one."""
    addresses = {
        rest: parse_address(f"postgresql://{rest}")
        for rest in ("a:1,b/db", "/db?host=a,b&port=2", "/db", "a/db?hostaddr=192.0.2.1")
    }

    assert {
        "a:1,b/db": [{"host": "a", "port": "1"}, {"host": "b", "port": ""}],
        "/db?host=a,b&port=2": [{"host": "a", "port": "2"}, {"host": "b", "port": "2"}],
        "/db": [{}],
        "a/db?hostaddr=192.0.2.1": [{"host": "a", "hostaddr": "192.0.2.1"}],
    } == {rest: isinstance(found, PostgresAddress) and found.servers for rest, found in addresses.items()}


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ("service=other", "cannot name a service"),
        ("host=a,b,c&port=1,2", "one port, or as many as hosts"),
        ("host=a,b&hostaddr=192.0.2.1", "one port, or as many as hosts"),
        ("target_session_attrs=standby", "target_session_attrs in the URL of the store, or PGTARGETSESSIONATTRS"),
        ("target_session_attrs=prefer-standby", "must be one of any, primary, read-write"),
        ("sslmode=sometimes", "sslmode in the URL of the store, or PGSSLMODE, must be one of disable"),
    ],
)
def test_refuses_what_leads_elsewhere(parameters: str, problem: str) -> None:
    """A file of services, lists that do not fit, a standby."""
    with pytest.raises(StoreAddressError, match=problem):
        parse_address(f"postgresql:///db?{parameters}")

"""A connection assumes nothing of its session, and waits for nothing without end."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
import trustme

from tests.storage.conftest import postgres_address_of
from tests.support.postgres import PostgresServer, running_postgres
from tokenauthority.storage.database import StoreLimits
from tokenauthority.storage.failures import cause_of
from tokenauthority.storage.postgres_connection import AnswerTimeoutError, TimedConnection, connector


LIMITS = StoreLimits(connect_timeout=2)


@pytest.fixture
def connection(postgres_url: str) -> Iterator[TimedConnection]:
    """A connection to an empty database."""
    made = connector(postgres_address_of(postgres_url), LIMITS)()
    made.autocommit = True
    yield made
    made.close()


@pytest.fixture(scope="module")
def tls_authority() -> trustme.CA:
    """Who issues the server's certificate."""
    return trustme.CA()


@pytest.fixture(scope="module")
def tls_server(tls_authority: trustme.CA) -> Iterator[PostgresServer]:
    """A server with TLS, whose certificate is for localhost."""
    certificate = tls_authority.issue_cert("localhost")
    with running_postgres() as server:
        chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
        files = {
            "ssl_cert_file": str(server.write("server.pem", chain)),
            "ssl_key_file": str(server.write("server.key", certificate.private_key_pem.bytes())),
        }
        server.stop()
        server.start(ssl="on", **files)
        yield server


def test_prepares_no_statement_and_sets_nothing_of_the_session(connection: TimedConnection) -> None:
    """However often a statement is run: behind a pooler, the next one may come to another session."""
    for number in range(20):
        connection.execute("SELECT %s::int", [number])
    prepared = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
    changed = connection.execute("SELECT name FROM pg_settings WHERE source = 'session'").fetchall()
    sent = connection.execute("SELECT name FROM pg_settings WHERE source = 'client'").fetchall()

    assert (0,) == prepared
    assert [] == changed
    assert {"application_name", "client_encoding"} >= {name for (name,) in sent}


def test_waits_for_an_answer_for_a_limited_time(connection: TimedConnection, postgres_url: str) -> None:
    """A statement that takes too long is canceled, and its connection closed: nobody knows what comes over it."""
    connection.answer_timeout = 0.2

    with pytest.raises(AnswerTimeoutError) as refused:
        connection.execute("SELECT pg_sleep(600)")
    with psycopg.connect(postgres_url) as other:
        running = other.execute("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%'")
        left = running.fetchone()

    assert connection.closed
    assert "AnswerTimeoutError: statement timeout: no answer" == cause_of(refused.value)
    assert (0,) == left


def test_takes_answers_that_come_in_time(connection: TimedConnection) -> None:
    """The limit is on each answer, and not on the life of the connection."""
    connection.answer_timeout = 0.5

    answers = [connection.execute("SELECT pg_sleep(0.2), %s::int", [number]).fetchone() for number in range(4)]

    assert [0, 1, 2, 3] == [answer and answer[1] for answer in answers]


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_connects_over_tls(tls_server: PostgresServer, tls_authority: trustme.CA, mode: str) -> None:
    """With the CA in `sslrootcert`, the server is verified."""
    with tls_authority.cert_pem.tempfile() as ca:
        url = f"postgresql://postgres@localhost:{tls_server.port}/postgres?sslmode={mode}&sslrootcert={ca}"
        with connector(postgres_address_of(url), LIMITS)() as connection:
            row = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()

    assert (True,) == row


def test_refuses_a_server_that_it_cannot_verify(tls_server: PostgresServer, tls_authority: trustme.CA) -> None:
    """Another CA, another name, no such file: each is named as the cause."""
    causes = []
    with tls_authority.cert_pem.tempfile() as ours, trustme.CA().cert_pem.tempfile() as other:
        for host, ca in (("localhost", other), ("127.0.0.1", ours), ("localhost", "/nowhere/ca.pem")):
            url = f"postgresql://postgres@{host}:{tls_server.port}/postgres?sslmode=verify-full&sslrootcert={ca}"
            with pytest.raises(psycopg.OperationalError) as refused:
                connector(postgres_address_of(url), LIMITS)()
            causes.append(cause_of(refused.value))

    assert [
        "OperationalError: certificate verify failed",
        "OperationalError: does not match host name",
        "OperationalError: root certificate file",
    ] == causes


def test_refuses_a_server_without_tls(postgres_url: str) -> None:
    """Where the URL asks for TLS, nothing is sent in plaintext."""
    with pytest.raises(psycopg.OperationalError) as refused:
        connector(postgres_address_of(f"{postgres_url}?sslmode=require"), LIMITS)()

    assert "OperationalError: server does not support ssl" == cause_of(refused.value)


@pytest.mark.parametrize(("wanted", "refused"), [("any", False), ("primary", False), ("read-write", True)])
def test_refuses_a_primary_without_writes_where_the_url_says_so(
    postgres_url: str, wanted: str, *, refused: bool
) -> None:
    """The server is asked, whatever it or a pooler has reported."""
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {admin.info.dbname} SET default_transaction_read_only = on".encode())
    connect = connector(postgres_address_of(f"{postgres_url}?target_session_attrs={wanted}"), LIMITS)
    cause = ""
    try:
        connect().close()
    except psycopg.OperationalError as error:
        cause = cause_of(error)

    assert ("OperationalError: session is read-only" if refused else "") == cause


def test_tries_each_server_of_the_url(postgres_url: str) -> None:
    """One that nothing listens on costs a try; if none can be used, the last error is the cause."""
    *_, place = postgres_url.partition("@")
    host, _, database = place.partition("/")
    for servers in (f"127.0.0.1:1,{host}", f"{host},127.0.0.1:1"):
        connector(postgres_address_of(f"postgresql://postgres@{servers}/{database}"), LIMITS)().close()
    with pytest.raises(psycopg.OperationalError) as refused:
        connector(postgres_address_of(f"postgresql://postgres@127.0.0.1:1,127.0.0.1:2/{database}"), LIMITS)()

    assert "OperationalError: connection refused" == cause_of(refused.value)

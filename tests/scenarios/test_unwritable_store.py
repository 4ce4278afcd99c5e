"""A server whose store takes no writes does all else that it can, says why, and goes on by itself."""

from __future__ import annotations

import contextlib
import sqlite3

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias

import grpc
import psycopg
import pytest

from tests.support.authority import eventually
from tests.support.production import Production, Server
from tokenauthority.client import AuthorityError, translated_errors
from tokenauthority.storage.migrate import migrate
from tokenauthority.v1 import project_pb2, session_pb2, session_pb2_grpc


Fence: TypeAlias = Callable[[], AbstractContextManager[None]]
"""Lets the store take no writes while the block runs."""


def _locked(path: Path) -> Fence:
    @contextmanager
    def fence() -> Iterator[None]:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    return fence


def _read_only(url: str) -> Fence:
    @contextmanager
    def fence() -> Iterator[None]:
        with psycopg.connect(url, autocommit=True) as admin:
            database = admin.info.dbname
            admin.execute("SET default_transaction_read_only = off")
            admin.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on".encode())
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            yield
            admin.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only".encode())

    return fence


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Fence, str]:
    """The URL of a store on each engine, how to make it unwritable, and the cause that is then reported."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/store.db"
        return url, _locked(tmp_path / "store.db"), "SQLITE_BUSY: database is locked"
    url = request.getfixturevalue("postgres_url")
    migrate(url)
    return url, _read_only(url), "25006: cannot execute"


def _create_session_once(production: Production, server: Server, project_id: str) -> None:
    """Call without the retries of the client."""
    certificates = grpc.ssl_channel_credentials(production.root_certificates)
    credentials = grpc.composite_channel_credentials(
        certificates, grpc.access_token_call_credentials(production.api_key)
    )
    request = session_pb2.CreateSessionRequest(project_id=project_id)
    with (
        grpc.secure_channel(server.address, credentials, [("grpc.enable_retries", 0)]) as channel,
        translated_errors(),
    ):
        session_pb2_grpc.SessionServiceStub(channel).CreateSession(request, timeout=20)


def test_signs_and_verifies_while_nothing_can_be_written(production: Production, store: tuple[str, Fence, str]) -> None:
    """A write is UNAVAILABLE with its reason; the log has one line for the loss and one for the recovery."""
    url, fence, cause = store
    server = production.start(DATABASE__URL=url)
    with production.client(server.address) as client:
        project_id = client.projects.CreateProject(project_pb2.CreateProjectRequest()).project.project_id
    with production.client(server.address, project_id) as client:
        session = client.create_session()
        token = session.generate_token()
        with fence():
            with pytest.raises(AuthorityError) as refused:
                _create_session_once(production, server, project_id)
            meanwhile = session.generate_token()
            verdicts = [client.verify_token(text).active for text in (token.token, meanwhile.token)]
        again = client.create_session()
        eventually(lambda: bool(server.events("store.recovered")), "the store has not recovered")

    losses, recoveries = server.events("store.unavailable"), server.events("store.recovered")
    assert ("UNAVAILABLE", "STORE_UNAVAILABLE") == (refused.value.code.name, refused.value.reason)
    assert [True, True] == verdicts
    assert again.session_id != session.session_id
    assert (1, 1) == (len(losses), len(recoveries))
    assert str(losses[0]["cause"]).startswith(cause)
    assert (True, False) == (losses[0]["can_read"], losses[0]["can_write"])

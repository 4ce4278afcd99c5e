"""A verifier beside real server processes: one is killed, another takes over, a database is restored."""

from __future__ import annotations

import contextlib
import signal
import socket
import sqlite3

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.authority import WAIT
from tests.support.production import Production, Server
from tests.verifier.conftest import becomes, soon
from tokenauthority.client import Authority
from tokenauthority.client.connection import Connection
from tokenauthority.v1 import project_pb2, token_pb2
from tokenauthority.verifier import Verifier


BEAT = {"LIMITS__WATCH_HEARTBEAT": "0.2"}


@pytest.fixture
def ports() -> list[int]:
    """Two that are free."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def start(production: Production, port: int) -> Server:
    """A server on that port, with a heartbeat that tests can wait for."""
    return production.start(LISTEN__GRPC=f"127.0.0.1:{port}", **BEAT)


def kill(server: Server) -> None:
    """End it without a word."""
    server.process.send_signal(signal.SIGKILL)
    server.process.wait(WAIT)


def revoke(client: Authority, token: object) -> None:
    """Revoke it."""
    client.tokens.RevokeTokens(token_pb2.RevokeTokensRequest(token=str(token)))


def new_project(production: Production, server: Server) -> str:
    """A project's id."""
    with production.client(server.address) as client:
        return client.projects.CreateProject(project_pb2.CreateProjectRequest()).project.project_id


@contextlib.contextmanager
def follow(production: Production, ports: list[int], project_id: str) -> Iterator[Verifier]:
    """A verifier that knows all *ports*, over TLS."""
    connection = Connection(
        address="ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports),
        api_key=production.api_key,
        project_id=project_id,
        root_certificates=production.root_certificates,
        tls_server_name="localhost",
    )
    with Verifier(connection, sync_timeout=WAIT) as verifier:
        yield verifier


def test_nothing_is_missed_when_a_server_is_killed(production: Production, ports: list[int]) -> None:
    """What another server revoked meanwhile is refused once that one is reached, and what was known still is."""
    first = start(production, ports[0])
    project_id = new_project(production, first)
    with follow(production, ports, project_id) as verifier:
        with production.client(first.address, project_id) as client:
            session = client.create_session()
            before, meanwhile, good = (session.generate_token() for _ in range(3))
            revoke(client, before)
        becomes(verifier, before, "REVOKED")
        kill(first)
        soon(lambda: bool(verifier.status().last_error), verifier)
        second = start(production, ports[1])
        with production.client(second.address, project_id) as client:
            revoke(client, meanwhile)
        becomes(verifier, meanwhile, "REVOKED")
        soon(lambda: not verifier.status().last_error, verifier)

        assert "REVOKED" == verifier.verify(before).reason
        assert verifier.verify(good).active


def test_tokens_of_a_deleted_project_are_refused(production: Production, ports: list[int]) -> None:
    """Also by a verifier that starts afterwards."""
    server = start(production, ports[0])
    project_id = new_project(production, server)
    with (
        production.client(server.address, project_id) as client,
        follow(production, [ports[0]], project_id) as verifier,
    ):
        token = client.create_session().generate_token()
        assert verifier.verify(token).active
        client.projects.DeleteProject(project_pb2.DeleteProjectRequest(project_id=project_id))
        becomes(verifier, token, "REVOKED")
        with follow(production, [ports[0]], project_id) as late:
            assert "REVOKED" == late.verify(token).reason


def copy(database: Path, target: Path) -> None:
    """A consistent copy of a database that is in use."""
    with contextlib.closing(sqlite3.connect(database)) as source, contextlib.closing(sqlite3.connect(target)) as made:
        source.backup(made)


def test_it_follows_a_database_that_was_put_back(production: Production, ports: list[int]) -> None:
    """The history is another one, so that everything is read anew: then both say the same again."""
    database, backup = production.directory / "data" / "tokenauthority.db", production.directory / "backup.db"
    first = start(production, ports[0])
    project_id = new_project(production, first)
    with follow(production, ports, project_id) as verifier:
        with production.client(first.address, project_id) as client:
            session = client.create_session()
            before, lost, after = (session.generate_token() for _ in range(3))
            revoke(client, before)
            copy(database, backup)
            revoke(client, lost)
        becomes(verifier, lost, "REVOKED")
        kill(first)
        for part in database.parent.glob(f"{database.name}*"):
            part.unlink()
        backup.rename(database)
        second = start(production, ports[0])
        with production.client(second.address, project_id) as client:
            revoke(client, after)
            becomes(verifier, after, "REVOKED")
            tokens = [before, lost, after]
            soon(lambda: not verifier.status().last_error, verifier)

            assert ["REVOKED", "", "REVOKED"] == [verifier.verify(token).reason for token in tokens]
            assert [verifier.verify(token).reason for token in tokens] == [
                client.verify_token(token).reason for token in tokens
            ]

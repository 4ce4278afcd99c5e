"""Yesterday's database is put back under servers that run: what docs/how-to/back-up-and-restore.md says is lost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import grpc
import psycopg
import pytest

from psycopg import sql

from tests.scenarios.fleet import Stream, fleet_of
from tests.support.authority import eventually
from tests.support.postgres import PostgresServer
from tokenauthority.client import Authority, AuthorityError, Token
from tokenauthority.v1 import key_pb2, project_pb2


BEFORE = {
    "kept": "",
    "revoked before": "REVOKED",
    "ended before": "SESSION_ENDED",
    "revoked": "REVOKED",
    "of the subject": "REVOKED",
    "ended": "SESSION_ENDED",
    "new session": "",
    "new project": "",
    "next key": "",
    "key after that": "",
}
LOST = {
    "revoked": "",
    "of the subject": "",
    "ended": "",
    "new session": "SESSION_MISMATCH",
    "new project": "PROJECT_UNKNOWN",
    "key after that": "KEY_UNKNOWN",
}


def test_what_is_lost_under_running_servers_is_what_the_documentation_says(
    postgres_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """Two servers and a watcher go on: they notice, read all of it anew, and lose what was made since, nothing else."""
    database = postgres_url.rpartition("/")[2]
    quick = {"ISSUANCE__JWKS_MAX_AGE": "1", "ISSUANCE__LEEWAY": "0", "DATABASE__POLL_INTERVAL": "0.05"}
    with fleet_of(tmp_path, postgres_url, **quick) as fleet:
        servers = fleet.start_together(2)
        one, other = (fleet.client(server) for server in servers)
        names = ("kept", "revoked before", "ended before", "revoked", "of the subject", "ended")
        tokens = {name: one.create_session().generate_token(subject=name) for name in names}
        early = one.revoke_tokens(token=tokens["revoked before"])
        one.end_session(tokens["ended before"].session_id)
        backup = backed_up(postgres_server, database)

        one.revoke_tokens(token=tokens["revoked"])
        one.revoke_tokens(subject="of the subject")
        one.end_session(tokens["ended"].session_id)
        tokens["new session"] = one.create_session().generate_token()
        tokens["new project"] = token_of_a_new_project(one, fleet.api_key)
        for name in ("next key", "key after that"):
            rotate(one)
            session_id = tokens["kept"].session_id
            tokens[name] = one.generate_token(session_id)
        for client in (one, other):
            eventually(lambda client=client: BEFORE == reasons(client, tokens), f"{reasons(client, tokens)}")  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        watched = fleet.watch(servers[1])
        place = next(message.resume_token for message in watched if message.WhichOneof("event") == "snapshot_end")

        put_back(postgres_server, database, backup)
        for client in (one, other):
            eventually(lambda client=client: {**BEFORE, **LOST} == reasons(client, tokens), "no server notices")  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        with pytest.raises(grpc.RpcError) as told:
            list(watched)
        told_anew = snapshot(fleet.watch(servers[1], place))
        again = one.generate_token(tokens["ended"].session_id)

        assert grpc.StatusCode.UNAVAILABLE is told.value.code()
        assert [early.revocation_id, tokens["ended before"].session_id] == told_anew
        assert other.verify_token(again).active
        assert ["follower.history_lost" in (server.directory / "stderr.log").read_text() for server in servers] == [
            True,
            True,
        ]


def backed_up(server: PostgresServer, database: str) -> str:
    """Copy a database, and name the copy."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        _empty(connection, database)
        backup = server.create_database(database)
        _do(connection, sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true"), database)
    return backup


def put_back(server: PostgresServer, database: str, backup: str) -> None:
    """Put the copy in the place of the database."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        _empty(connection, database)
        _do(connection, sql.SQL("DROP DATABASE {} WITH (FORCE)"), database)
        _do(connection, sql.SQL("CREATE DATABASE {} TEMPLATE {}"), database, backup)


def _empty(connection: psycopg.Connection, database: str) -> None:
    """Put everybody out, and let nobody in."""
    _do(connection, sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false"), database)
    connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database])


def _do(connection: psycopg.Connection, statement: sql.SQL, *names: str) -> None:
    connection.execute(statement.format(*map(sql.Identifier, names)))


def token_of_a_new_project(client: Authority, api_key: str) -> Token:
    """A token of a session of a project that is made for it."""
    made = client.projects.CreateProject(project_pb2.CreateProjectRequest()).project.project_id
    with Authority(client.address, api_key=api_key, project_id=made, plaintext=True) as own:
        return own.create_session().generate_token()


def rotate(client: Authority) -> None:
    """Activate the PREPARED key, as soon as that is allowed."""
    ring = client.keys.ListSigningKeys(key_pb2.ListSigningKeysRequest()).keys
    (next_key,) = (key.key_id for key in ring if key.state == key_pb2.SIGNING_KEY_STATE_PREPARED)

    def activated() -> bool:
        try:
            client.keys.ActivateSigningKey(key_pb2.ActivateSigningKeyRequest(key_id=next_key))
        except grpc.RpcError:
            return False
        return True

    eventually(activated, "the PREPARED key does not become ACTIVE")
    eventually(lambda: prepared(client), "no other key is PREPARED")


def prepared(client: Authority) -> bool:
    """Whether a key is PREPARED."""
    ring = client.keys.ListSigningKeys(key_pb2.ListSigningKeysRequest()).keys
    return any(key.state == key_pb2.SIGNING_KEY_STATE_PREPARED for key in ring)


def reasons(client: Authority, tokens: Mapping[str, Token]) -> dict[str, str]:
    """Why each is invalid, empty where it is valid; nothing while the server cannot say."""
    try:
        return {name: client.verify_token(token).reason for name, token in tokens.items()}
    except AuthorityError:
        return {}


def snapshot(stream: Stream) -> list[str]:
    """What is in force: ids of revocations, then of sessions."""
    found = []
    for message in stream:
        match message.WhichOneof("event"):
            case "revocation":
                found.append(message.revocation.revocation_id)
            case "session_end":
                found.append(message.session_end.session_id)
            case "snapshot_end":
                return found
    raise AssertionError("the stream ended")

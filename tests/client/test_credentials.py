"""A client proves who it is by a key, by what a file or a function gives for each call, or by a client certificate."""

from __future__ import annotations

import os

from collections.abc import Callable
from pathlib import Path

import pytest

from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from tests.client.conftest import SESSION_ANSWER, Client, ScriptedServer, collected, done, entered, new_session
from tests.support.authority import RunningAuthority
from tests.support.peers import ROOM_SERVICE, ROOM_SERVICE_ID, last_caller, mtls_settings, put, write_callers
from tests.support.production import Production
from tests.support.spiffe import SpiffeCa
from tokenauthority.callers.api_keys import new_api_key
from tokenauthority.client import PermissionDenied, Unauthenticated
from tokenauthority.client.connection import Connection
from tokenauthority.client.credentials import MAX_TOKEN, read_certificate
from tokenauthority.client.environment import connection_from
from tokenauthority.v1 import project_pb2, token_pb2


SECRET = "canary-of-a-token"


async def test_a_token_file_is_read_for_each_call(
    kind: type[Client], running_authority: RunningAuthority, tmp_path: Path
) -> None:
    """A token that was replaced counts from the next call on, without a new connection."""
    file = tmp_path / "token"
    put(file, new_api_key().encode())
    connection = Connection(
        address=running_authority.address,
        token_file=str(file),
        project_id=running_authority.project_id,
        plaintext=True,
    )
    async with entered(kind.from_connection(connection)) as client:
        with pytest.raises(Unauthenticated):
            await new_session(client)
        put(file, f"{running_authority.api_key}\n".encode())

        assert running_authority.project_id == (await new_session(client)).project_id


async def test_a_function_is_called_for_each_call(kind: type[Client], running_authority: RunningAuthority) -> None:
    """It decides what the next call sends."""
    tokens = iter([new_api_key(), running_authority.api_key])
    connection = Connection(
        address=running_authority.address,
        credentials=lambda: next(tokens),
        project_id=running_authority.project_id,
        plaintext=True,
    )
    async with entered(kind.from_connection(connection)) as client:
        with pytest.raises(Unauthenticated):
            await new_session(client)

        assert running_authority.project_id == (await new_session(client)).project_id


async def test_a_stream_sends_what_the_file_holds(
    kind: type[Client], scripted_server: ScriptedServer, tmp_path: Path
) -> None:
    """A watch that opens its stream again sends the token of that moment."""
    file = tmp_path / "token"
    scripted_server.answers = [SESSION_ANSWER]
    async with entered(kind(scripted_server.address, token_file=str(file), plaintext=True)) as client:
        for token in (b"first", b"second"):
            put(file, token)
            await collected(client.tokens.WatchRevocations(token_pb2.WatchRevocationsRequest()))

    assert ["Bearer first", "Bearer second"] == [each["authorization"] for each in scripted_server.metadata]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "No such file or directory"),
        (b"", "the file must hold 1 to 8192"),
        (f"{SECRET}\nx".encode(), "the file must hold 1 to 8192"),
        (f"{SECRET}\xe9".encode(), "the file must hold 1 to 8192"),
        (SECRET.encode() + b"x" * MAX_TOKEN, "has more than 8192 bytes"),
    ],
    ids=["absent", "empty", "two-lines", "non-ascii", "too-long"],
)
async def test_names_a_token_file_that_holds_no_token(
    kind: type[Client], scripted_server: ScriptedServer, tmp_path: Path, content: bytes | None, problem: str
) -> None:
    """Nothing is sent, and the error does not quote the file."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    scripted_server.answers = [SESSION_ANSWER]
    async with entered(kind(scripted_server.address, token_file=str(file), plaintext=True)) as client:
        with pytest.raises(Unauthenticated, match=f"^token_file {file}: {problem}") as caught:
            await done(client.get_session("2_abc"))

    assert [] == scripted_server.metadata
    assert SECRET not in f"{caught.value!r} {caught.value.__context__!r}"


async def test_does_not_wait_for_a_file_without_an_end(
    kind: type[Client], scripted_server: ScriptedServer, tmp_path: Path
) -> None:
    """To open a pipe that nobody writes would block for ever."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    async with entered(kind(scripted_server.address, token_file=str(pipe), plaintext=True)) as client:
        with pytest.raises(Unauthenticated, match="is not a regular file"):
            await done(client.get_session("2_abc"))


def _fail() -> str:
    raise KeyError(SECRET)


@pytest.mark.parametrize(
    ("credentials", "problem"),
    [
        (_fail, "raised KeyError"),
        (SECRET.encode, "must return str, not bytes"),
        (lambda: f"{SECRET}\n", "must return 1 to 8192 characters"),
        (lambda: "", "must return 1 to 8192 characters"),
        (lambda: SECRET * MAX_TOKEN, "must return 1 to 8192 characters"),
    ],
    ids=["raises", "bytes", "line-break", "empty", "too-long"],
)
async def test_says_what_is_wrong_with_a_function(
    kind: type[Client], scripted_server: ScriptedServer, credentials: Callable[[], str], problem: str
) -> None:
    """Nothing is sent, least of all a call without credentials, and the error does not quote what was returned."""
    scripted_server.answers = [SESSION_ANSWER]
    async with entered(kind(scripted_server.address, credentials=credentials, plaintext=True)) as client:
        with pytest.raises(Unauthenticated, match=rf"^credentials\(\) {problem}") as caught:
            await done(client.get_session("2_abc"))

    assert [] == scripted_server.metadata
    assert SECRET not in repr(caught.value)


async def test_a_client_certificate_is_the_caller(kind: type[Client], production: Production) -> None:
    """On listen.mtls of a real server, with the grant of its SPIFFE id; the variables name the files."""
    clients, servers = SpiffeCa(), SpiffeCa()
    issued, directory = clients.workload(ROOM_SERVICE), production.directory
    for name, content in (("cert", issued.chain), ("key", issued.key), ("ca", servers.bundle)):
        put(directory / name, content)
    write_callers(production)
    server = production.start(**mtls_settings(production, servers.issue(x509.DNSName("localhost")), clients))
    connection = connection_from(
        {
            "TOKENAUTHORITY_ADDRESS": f"localhost:{server.address_of('mtls').rpartition(':')[2]}",
            "TOKENAUTHORITY_CLIENT_CERT_FILE": str(directory / "cert"),
            "TOKENAUTHORITY_CLIENT_KEY_FILE": str(directory / "key"),
            "TOKENAUTHORITY_CA_FILE": str(directory / "ca"),
        }
    )
    async with entered(kind.from_connection(connection)) as client:
        await done(client.projects.ListProjects(project_pb2.ListProjectsRequest()))
        with pytest.raises(PermissionDenied):
            await new_session(client)

    assert ("room-service", "spiffe", ROOM_SERVICE_ID) == last_caller(server)


@pytest.mark.parametrize(
    ("cert", "key", "message"),
    [
        ("cert", "absent", "No such file"),
        ("cert", "other", "not a certificate and its private key in PEM"),
        ("cert", "locked", "not a certificate and its private key in PEM"),
        ("key", "key", "not a certificate and its private key in PEM"),
        ("directory", "key", "^cert_file .*directory: is not a regular file"),
        ("empty", "key", "^cert_file .*empty: is empty"),
        ("cert", "empty", "^key_file .*empty: is empty"),
    ],
)
def test_refuses_files_that_are_no_certificate_and_its_key(tmp_path: Path, cert: str, key: str, message: str) -> None:
    """At once, and not by a handshake that fails with the first call; nobody is asked for a password."""
    first, second = (SpiffeCa().workload(ROOM_SERVICE) for _ in range(2))
    locked = first.private_key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(SECRET.encode())
    )
    for name, content in (("cert", first.chain), ("key", first.key), ("other", second.key), ("locked", locked)):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "directory").mkdir()
    (tmp_path / "empty").touch()

    with pytest.raises((OSError, ValueError), match=message):
        read_certificate(str(tmp_path / cert), str(tmp_path / key))

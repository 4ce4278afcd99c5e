"""A real server outside of --dev: TLS only, clear words when it cannot start, nothing forgotten over a restart."""

from __future__ import annotations

import os
import re
import socket
import ssl
import stat

import httpx
import pytest
import trustme

from tests.support.authority import WAIT
from tests.support.production import Production
from tokenauthority.client import Authority, AuthorityError, translated_errors
from tokenauthority.v1 import project_pb2


def test_serves_over_tls_and_keeps_everything_over_a_restart(production: Production) -> None:
    """Project, session, keys and tokens are those of before; the stop is clean; variables win over the file."""
    first = production.start(DATA_DIR="elsewhere")
    with production.client(first.address) as client:
        project = client.projects.CreateProject(project_pb2.CreateProjectRequest(display_name="kept")).project
    with production.client(first.address, project_id=project.project_id) as client:
        session = client.create_session()
        token = session.generate_token(role="subscriber")
        assert client.verify_token(token).active
    keys = first.get("/.well-known/jwks.json").json()
    assert 0 == first.stop()
    second = production.start(DATA_DIR="elsewhere")
    with production.client(second.address, project_id=project.project_id) as client:
        verified = client.verify_token(token, session_id=session.session_id)
        again = client.get_session(session.session_id)
        projects = client.projects.ListProjects(project_pb2.ListProjectsRequest()).projects

    assert (True, session.session_id) == (verified.active, again.session_id)
    assert ["kept"] == [found.display_name for found in projects]
    assert keys == second.get("/.well-known/jwks.json").json()
    assert 0 == second.stop()
    assert ["server.started", "server.draining", "server.stopped"] == [
        name for name in ("server.started", "server.draining", "server.stopped") if second.events(name)
    ]


def test_only_its_owner_can_read_its_files(production: Production) -> None:
    """The store with its sealed keys and the audit log are of mode 0600, in a directory of mode 0700."""
    production.start(AUDIT__PATH=str(production.directory / "data" / "audit.jsonl"))
    data = production.directory / "data"

    assert 0o700 == stat.S_IMODE(data.stat().st_mode)
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in data.iterdir()}


def test_takes_no_plaintext_and_no_strangers_certificate(production: Production) -> None:
    """A client without TLS gets nowhere, nor does one that does not trust the certificate; the server serves on."""
    server = production.start()
    plaintext = Authority(server.address, api_key=production.api_key, plaintext=True, timeout=2)
    stranger = Authority(
        server.address, api_key=production.api_key, root_certificates=trustme.CA().cert_pem.bytes(), timeout=2
    )
    for client in (plaintext, stranger):
        with client, pytest.raises(AuthorityError), translated_errors():
            client.projects.ListProjects(project_pb2.ListProjectsRequest())

    assert [] == server.audited()
    with production.client(server.address) as client:
        assert [] == list(client.projects.ListProjects(project_pb2.ListProjectsRequest()).projects)


def test_http_is_over_tls_unless_it_is_said_otherwise(production: Production) -> None:
    """Who reads the JWKS must be sure of it; a proxy may end TLS, but only where the settings say so."""
    usual = production.start()
    behind_a_proxy = production.start(LISTEN__HTTP_PLAINTEXT="true", DATA_DIR="elsewhere")

    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://{usual.http_address}/livez")
    assert 200 == usual.get("/livez").status_code
    assert 200 == httpx.get(f"http://{behind_a_proxy.http_address}/livez").status_code


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.parametrize(("face", "protocol"), [("address", "h2"), ("http_address", "http/1.1")])
def test_takes_no_old_tls(production: Production, face: str, protocol: str) -> None:
    """Nothing below TLS 1.2 is spoken, and 1.2 and 1.3 are."""
    server = production.start()
    host, _, port = getattr(server, face).rpartition(":")

    def speaks(version: ssl.TLSVersion) -> bool:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=production.root_certificates.decode())
        context.set_alpn_protocols([protocol])
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        with socket.create_connection((host, int(port)), timeout=WAIT) as raw:
            try:
                with context.wrap_socket(raw, server_hostname="127.0.0.1") as connection:
                    return connection.version() is not None
            except (ssl.SSLError, ConnectionError):
                return False

    assert [False, False, True, True] == [
        speaks(version)
        for version in (
            ssl.TLSVersion.TLSv1,
            ssl.TLSVersion.TLSv1_1,
            ssl.TLSVersion.TLSv1_2,
            ssl.TLSVersion.TLSv1_3,
        )
    ]


def test_names_everything_that_is_missing(production: Production) -> None:
    """All at once, with the exit status of a wrong configuration, and without a traceback."""
    (production.directory / "authority.toml").write_text("")
    status, log = production.fail()

    assert 2 == status
    assert ["TLS__CERT_FILE", "TLS__KEY_FILE", "CALLERS__FILE", "KEYS__MASTER_KEY", "ISSUANCE__ISSUER"] == re.findall(
        r"^  - (?:exactly one of )?TOKENAUTHORITY_(\w+)", log, re.MULTILINE
    )
    assert "Traceback" not in log


@pytest.mark.parametrize("content", [b"canary-9c", bytes(range(128, 160))], ids=["short", "raw bytes"])
def test_names_a_malformed_master_key(production: Production, content: bytes) -> None:
    """What is in the file is no key in base64 or hex; the message names the file and nothing of it."""
    (production.directory / "master.key").write_bytes(content)
    status, log = production.fail()

    assert 2 == status
    assert "TOKENAUTHORITY_KEYS__MASTER_KEY_FILE: master.key: a master key is 32 random bytes" in log
    assert not re.search("Traceback|canary-9c", log)


@pytest.mark.parametrize("variable", ["LISTEN__GRPC", "LISTEN__HTTP"])
def test_names_a_port_that_is_taken(production: Production, variable: str) -> None:
    """Whoever has the port, the address is named and nothing hangs."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        status, log = production.fail(**{variable: address})

    assert 2 == status
    assert f"cannot listen on {address}" in log
    assert f"TOKENAUTHORITY_{variable}=HOST:PORT chooses another address" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        ("callers.toml", "[[callers]]\nname = 7\n", "callers file callers.toml: line 2: caller 1: name is invalid"),
        ("server.pem", "no certificate", "server.pem holds no certificate in PEM"),
        ("server.key", "no key", "server.key holds no private key in PEM"),
    ],
)
def test_names_a_file_that_is_not_good(production: Production, file: str, content: str, named: str) -> None:
    """The message leads to the file, not to a port or a library."""
    (production.directory / file).write_text(content)
    status, log = production.fail()

    assert 2 == status
    assert named in log
    assert not re.search("Traceback|is another server there", log)


def test_names_a_key_that_is_not_that_of_the_certificate(
    production: Production, authority_of_certificates: trustme.CA
) -> None:
    """Two good files that do not belong together are told at once, not by the first client."""
    other = authority_of_certificates.issue_cert("127.0.0.1")
    (production.directory / "server.key").write_bytes(other.private_key_pem.bytes())
    status, log = production.fail()

    assert 2 == status
    assert "server.key is not the private key of the certificate in server.pem" in log


def test_names_a_store_that_cannot_be_reached(production: Production) -> None:
    """With its place and the reason, and without the password of its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    status, log = production.fail(DATABASE__URL=f"postgresql://user:canary-77@127.0.0.1:{port}/none")

    assert 2 == status
    assert f"TOKENAUTHORITY_DATABASE__URL: the store at 127.0.0.1:{port}/none cannot be reached" in log
    assert "(OperationalError: connection refused)" in log
    assert not re.search("Traceback|canary-77", log)


@pytest.mark.parametrize(
    ("variable", "path", "named"),
    [("DATA_DIR", "server.pem/data", "server.pem"), ("AUDIT__PATH", "server.pem/audit", "the audit log ")],
)
def test_names_a_place_that_cannot_be_made(production: Production, variable: str, path: str, named: str) -> None:
    """By its setting: below a file there can be no directory."""
    status, log = production.fail(**{variable: path})

    assert 2 == status
    assert f"TOKENAUTHORITY_{variable}: {named}" in log
    assert "server.pem" in log
    assert f"uid {os.geteuid()}" in log
    assert "Traceback" not in log

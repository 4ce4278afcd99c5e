"""A real server outside of --dev: TLS only, nothing lost over a restart."""

from __future__ import annotations

import socket
import ssl
import stat

import httpx
import pytest
import trustme

from tests.support.authority import NO_TRUST, WAIT
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
        httpx.get(f"http://{usual.ops_address}/livez", verify=NO_TRUST)
    assert 200 == usual.get("/livez").status_code
    assert 200 == httpx.get(f"http://{behind_a_proxy.ops_address}/livez", verify=NO_TRUST).status_code


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

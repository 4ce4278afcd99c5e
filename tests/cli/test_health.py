"""`tokenauthority health` exits with 0 for an authority that serves, and only then."""

from __future__ import annotations

import contextlib
import socket
import threading

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import grpc
import pytest
import trustme

from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.cli.conftest import Run
from tests.support.authority import WAIT, RunningAuthority


def test_health_asks_the_authority_without_a_key(run_alone: Run, running_authority: RunningAuthority) -> None:
    """As a whole, or one service; one that does not exist exits with 1."""
    where = ("health", "--address", running_authority.address, "--plaintext")

    whole = run_alone(*where, "--json")
    one = run_alone(*where, "--service", "tokenauthority.v1.TokenService")
    none = run_alone(*where, "--service", "no.such.Service")

    assert {"status": "serving"} == whole.json
    assert 0 == one.exit_code
    assert 1 == none.exit_code
    assert "error: the authority has no service no.such.Service\n" == none.err


def test_health_of_nobody_exits_with_3(run_alone: Run) -> None:
    """There is no server."""
    assert 3 == run_alone("health", "--address", "127.0.0.1:1", "--plaintext").exit_code


@attrs.frozen
class LocalServer:
    """A health service with a certificate, and the settings that describe it."""

    status: health.HealthServicer
    environment: Mapping[str, str]


@pytest.fixture(params=["authority.test", "*.authority.test", "127.0.0.1"])
def local_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalServer]:
    """Its certificate is of an authority that nobody trusts, for different kinds of names."""
    issued = trustme.CA().issue_cert(request.param)
    certificate = issued.cert_chain_pems[0].bytes()
    files = {"cert.pem": certificate, "key.pem": issued.private_key_pem.bytes(), "callers.toml": b"", "master": b""}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    status = health.HealthServicer()
    server = grpc.server(ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    credentials = grpc.ssl_server_credentials([(issued.private_key_pem.bytes(), certificate)])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield LocalServer(
        status,
        {
            "TOKENAUTHORITY_LISTEN__GRPC": f"0.0.0.0:{port}",
            "TOKENAUTHORITY_TLS__CERT_FILE": str(tmp_path / "cert.pem"),
            "TOKENAUTHORITY_TLS__KEY_FILE": str(tmp_path / "key.pem"),
            "TOKENAUTHORITY_CALLERS__FILE": str(tmp_path / "callers.toml"),
            "TOKENAUTHORITY_KEYS__MASTER_KEY_FILE": str(tmp_path / "master"),
            "TOKENAUTHORITY_ISSUANCE__ISSUER": "https://authority.test",
        },
    )
    server.stop(0).wait(10)


def test_health_of_this_container_trusts_its_own_certificate(run_alone: Run, local_server: LocalServer) -> None:
    """Without an address or a CA: what the settings name is what is asked; only SERVING is 0."""
    serving = run_alone("health", env=local_server.environment)
    local_server.status.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    not_serving = run_alone("health", env=local_server.environment)

    assert ("", 0) == (serving.err, serving.exit_code)
    assert 1 == not_serving.exit_code
    assert "error: the authority does not serve: NOT_SERVING\n" == not_serving.err


def test_health_needs_no_valid_file(run_alone: Run, local_server: LocalServer) -> None:
    """A certificate that was replaced by an invalid one fails no server, and so no check of it."""
    Path(local_server.environment["TOKENAUTHORITY_TLS__CERT_FILE"]).write_text("no certificate")

    assert 0 == run_alone("health", env=local_server.environment).exit_code


def test_health_without_address_or_settings_says_so(run_alone: Run) -> None:
    """It does not guess, and says what would help."""
    refused = run_alone("health")

    assert 2 == refused.exit_code
    assert refused.err.startswith("error: no address: give --address")


def test_health_asks_http_where_every_client_needs_a_certificate(
    run_alone: Run, running_authority: RunningAuthority
) -> None:
    """It has no client certificate: readiness over HTTP counts, as for a load balancer."""
    environment = {
        "TOKENAUTHORITY_LISTEN__GRPC": "off",
        "TOKENAUTHORITY_LISTEN__OPS": running_authority.ops_url.removeprefix("http://"),
        "TOKENAUTHORITY_LISTEN__HTTP_PLAINTEXT": "true",
    }
    ready = run_alone("health", env=environment)
    running_authority.app.readiness.drain()
    draining = run_alone("health", env=environment)
    unknown = run_alone("health", "--service", "no.such/Service?", env=environment)
    nobody = run_alone("health", env={**environment, "TOKENAUTHORITY_LISTEN__OPS": "127.0.0.1:1"})

    assert ("", 0) == (ready.err, ready.exit_code)
    assert (1, 3) == (draining.exit_code, nobody.exit_code)
    assert (1, "error: the authority has no service no.such/Service?\n") == (unknown.exit_code, unknown.err)


def test_health_uses_no_proxy(
    run_alone: Run, running_authority: RunningAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that has the variables of its host's proxy is healthy all the same."""
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert 0 == run_alone("health", "--address", running_authority.address, "--plaintext").exit_code


def test_health_does_not_wait_for_an_answer_without_an_end(run_alone: Run) -> None:
    """A listener that sends interim responses for ever is no healthy authority."""

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            while True:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,), daemon=True)
        thread.start()
        environment = {
            "TOKENAUTHORITY_LISTEN__GRPC": "off",
            "TOKENAUTHORITY_LISTEN__OPS": f"127.0.0.1:{listener.getsockname()[1]}",
            "TOKENAUTHORITY_LISTEN__HTTP_PLAINTEXT": "true",
        }

        assert 3 == run_alone("health", "--timeout", "0.2", env=environment).exit_code
        thread.join(WAIT)

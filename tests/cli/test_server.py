"""`tokenauthority serve`, `config`, `db` and `health`: the server's own commands."""

from __future__ import annotations

import os
import subprocess
import sys

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import grpc
import pytest
import trustme

from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.cli.conftest import Run
from tests.support.authority import AuthorityProcess, RunningAuthority, clean_environment, launch


DSN = "postgresql://authority:hunter2@127.0.0.1:1/tokens"


def test_serves_until_it_is_told_to_stop(authority_process: AuthorityProcess, run_alone: Run) -> None:
    """What it prints is enough to call it; SIGTERM ends it with 0, and then nothing points to it any more."""
    served = run_alone("sessions", "create", env=authority_process.environment)

    assert 0 == served.exit_code
    assert 0 == authority_process.stop()
    assert not (authority_process.directory / ".tokenauthority" / "dev.env").exists()


def test_leaves_what_another_server_wrote(authority_process: AuthorityProcess) -> None:
    """A second server of the directory has its own environment there by now."""
    file = authority_process.directory / ".tokenauthority" / "dev.env"
    file.write_text("export TOKENAUTHORITY_ADDRESS=another\n")

    assert 0 == authority_process.stop()
    assert "export TOKENAUTHORITY_ADDRESS=another\n" == file.read_text()


def test_what_it_prints_can_be_pasted(tmp_path: Path) -> None:
    """Into a shell, as it stands, wherever the directory is: a session, a token, and the token is good."""
    directory = tmp_path / "it's $HOME"
    directory.mkdir()
    authority = launch(directory)
    lines = authority.welcome.partition("In another terminal:")[2]
    with authority.process as process:
        done = subprocess.run(
            ["/bin/bash", "-euc", f'{lines}\ntokenauthority tokens verify "$T"'],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=clean_environment(PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"),
        )
        process.terminate()

    assert "active" == done.stdout.partition("\n")[0], done.stderr
    assert str(directory / ".tokenauthority" / "audit.jsonl") in authority.welcome


_MISSING = ("TLS__CERT_FILE", "CALLERS__FILE", "KEYS__MASTER_KEY", "ISSUANCE__ISSUER")


def test_says_everything_that_is_missing(run_alone: Run) -> None:
    """Without --dev nothing insecure is accepted; all at once, exit code 2."""
    refused = run_alone("serve")

    assert 2 == refused.exit_code
    assert refused.err.startswith("error: ")
    assert [] == [name for name in _MISSING if f"TOKENAUTHORITY_{name}" not in refused.err]


def test_shows_settings_that_are_not_complete(run_alone: Run) -> None:
    """Who sets a server up sees every setting, and on standard error what is still missing."""
    shown = run_alone("config", "show")

    assert 0 == shown.exit_code
    assert "TOKENAUTHORITY_LISTEN__GRPC" in shown.out
    assert [] == [name for name in _MISSING if f"TOKENAUTHORITY_{name}" not in shown.err]


def test_shows_settings_without_secrets(run_alone: Run) -> None:
    """Each with its variable, its value and what it means."""
    rows = run_alone("config", "show", "--dev", "--json", env={"TOKENAUTHORITY_DATABASE__URL": DSN}).rows

    by_name = {row["variable"]: row for row in rows}
    assert "127.0.0.1:50051" == by_name["TOKENAUTHORITY_LISTEN__GRPC"]["value"]
    assert "hunter2" not in str(rows)
    assert all(row["meaning"] for row in rows)


def test_reads_settings_from_a_file(run_alone: Run, tmp_path: Path) -> None:
    """A file that is not there is named."""
    file = tmp_path / "authority.toml"
    file.write_text('[listen]\ngrpc = "127.0.0.1:50999"\n')

    shown = run_alone("config", "show", "--dev", "--config", str(file))
    named = run_alone("config", "show", "--dev", env={"TOKENAUTHORITY_CONFIG": str(file)})
    missing = run_alone("config", "show", "--dev", "--config", str(tmp_path / "none.toml"))

    assert "127.0.0.1:50999" in shown.out
    assert "127.0.0.1:50999" in named.out
    assert 2 == missing.exit_code
    assert "none.toml" in missing.err


def test_upgrades_the_database(run_alone: Run, tmp_path: Path) -> None:
    """It says which, and whether it is new; one that cannot be reached is an error without its password."""
    here = {"TOKENAUTHORITY_DATABASE__URL": f"sqlite:///{tmp_path / 'a.db'}"}
    first = run_alone("db", "upgrade", "--dev", env=here)
    second = run_alone("db", "upgrade", "--dev", env=here)
    failed = run_alone("db", "upgrade", "--dev", env={"TOKENAUTHORITY_DATABASE__URL": DSN})

    assert (0, 0, 2) == (first.exit_code, second.exit_code, failed.exit_code)
    place = f"the store at {tmp_path / 'a.db'}"
    assert (f"{place}: made new, up to date\n", f"{place}: up to date\n") == (first.out, second.out)
    assert "TOKENAUTHORITY_DATABASE__URL: the store at 127.0.0.1:1/tokens cannot be reached" in failed.err
    assert "connection refused" in failed.err
    assert "hunter2" not in failed.err


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


def test_health_without_address_or_settings_says_so(run_alone: Run) -> None:
    """It does not guess, and says what would help."""
    refused = run_alone("health")

    assert 2 == refused.exit_code
    assert refused.err.startswith("error: no address: give --address")


def test_health_asks_http_where_every_client_needs_a_certificate(
    run_alone: Run, running_authority: RunningAuthority
) -> None:
    """It is no such client: what a balancer is told counts."""
    environment = {
        "TOKENAUTHORITY_LISTEN__GRPC": "off",
        "TOKENAUTHORITY_LISTEN__HTTP": running_authority.http_url.removeprefix("http://"),
        "TOKENAUTHORITY_LISTEN__HTTP_PLAINTEXT": "true",
    }
    ready = run_alone("health", env=environment)
    running_authority.app.readiness.drain()
    draining = run_alone("health", env=environment)
    nobody = run_alone("health", env={**environment, "TOKENAUTHORITY_LISTEN__HTTP": "127.0.0.1:1"})

    assert ("", 0) == (ready.err, ready.exit_code)
    assert (1, 3) == (draining.exit_code, nobody.exit_code)

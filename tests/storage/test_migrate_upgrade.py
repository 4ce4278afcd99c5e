"""A store of the first schema has all that it held when it is upgraded, on both engines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs
import pytest
import sqlalchemy as sa

from alembic import command

from tests.storage.builders import (
    DAY,
    NOW,
    PROJECT,
    make_credential,
    make_idempotency_key,
    make_key,
    make_project,
    make_revocation,
    make_role,
    make_session,
)
from tests.storage.conftest import ClosedLater
from tokenauthority.domain.change import ChangeKind, Cursor
from tokenauthority.domain.credential import CredentialKind
from tokenauthority.domain.key import Algorithm, KeyState
from tokenauthority.domain.session import SessionState
from tokenauthority.domain.times import Millis
from tokenauthority.server.wiring import system_clock
from tokenauthority.storage.address import SqliteAddress, parse_address
from tokenauthority.storage.migrate import _connect, _create_file, check_schema, migrate
from tokenauthority.storage.schema_state import alembic_config
from tokenauthority.storage.sql import open_store


APPLICATION: Final = "78d335fa-323d-0114-9c3d-d6f0d48968cf"
SESSION: Final[Mapping[str, object]] = {
    "project_id": PROJECT,
    "media_mode": "relayed",
    "archive_mode": "manual",
    "location": "",
    "e2ee": False,
    "archive_name": "",
    "archive_resolution": "",
    "create_time": NOW,
}
ROWS: Final[Mapping[str, tuple[Mapping[str, object], ...]]] = {
    "projects": (
        {
            "project_id": PROJECT,
            "number": int(PROJECT),
            "display_name": "Café ✓ 🎥",
            "default_format": "SESSION_JWT",
            "default_ttl": 3600,
            "max_ttl": 86400,
            "external_sessions": False,
            "create_time": NOW,
            "vonage_application_id": APPLICATION,
        },
    ),
    "project_credentials": (
        {
            "project_id": PROJECT,
            "credential_id": "secret-1",
            "kind": "secret",
            "create_time": NOW,
            "sealed": b"\x00sealed\xff",
        },
        {"project_id": PROJECT, "credential_id": "vkey-1", "kind": "vonage_key", "create_time": NOW, "sealed": b"\x01"},
    ),
    "roles": (
        {
            "project_id": PROJECT,
            "name": "host",
            "permissions": "subscribe force_mute",
            "description": "runs the room",
            "create_time": NOW,
            "update_time": NOW,
        },
    ),
    "sessions": (
        {**SESSION, "session_id": "2_active", "state": "active"},
        {**SESSION, "session_id": "2_ended", "state": "ended", "end_time": NOW + 1},
    ),
    "session_requests": (
        {
            "caller": "room-service",
            "request_id": make_idempotency_key().request_id,
            "body_digest": "d1",
            "session_id": "2_active",
            "create_time": NOW,
        },
    ),
    "signing_keys": (
        {
            "key_id": "signed",
            "algorithm": "RS256",
            "state": "retired",
            "create_time": NOW - DAY,
            "activate_time": NOW - DAY,
            "retire_time": NOW,
            "expire_time": NOW + 30 * DAY,
            "sealed": b"\x00old\xff",
        },
    ),
    "changes": tuple(
        {"kind": kind, "project_id": PROJECT, "subject": "x"} for kind in ("project", "role", "session_end", "key")
    ),
}
"""What a store of the first schema holds, but for the key that signs."""


def make_first(url: str, activate_time: Millis) -> None:
    """Make a store as the first version had it, whose key began to sign at *activate_time*."""
    address = parse_address(url)
    if isinstance(address, SqliteAddress):
        _create_file(address.path)
    signs = {
        "key_id": "signs",
        "algorithm": "ES256",
        "state": "active",
        "create_time": activate_time,
        "activate_time": activate_time,
        "sealed": b"\x00sealed key\xff",
    }
    with _connect(address) as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        tables = sa.MetaData()
        tables.reflect(connection)
        for name, rows in {**ROWS, "signing_keys": (*ROWS["signing_keys"], signs)}.items():
            for row in rows:
                connection.execute(sa.insert(tables.tables[name]).values(row))


@pytest.fixture(params=["sqlite", "postgres"])
def first_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that is not there yet, on each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/authority.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


async def test_an_upgraded_store_has_all_that_it_had(first_url: str, closed_later: ClosedLater) -> None:
    """Projects with their credentials, roles, sessions and their request ids, and keys; to the letter."""
    make_first(first_url, NOW)
    new = migrate(first_url)
    check_schema(first_url)
    store = closed_later(open_store(first_url))
    keys = {key.key_id: key for key in await store.list_keys()}
    repeated = await store.create_session(make_session("2_other"), make_idempotency_key())

    assert not new
    credentials = (make_credential(), make_credential("vkey-1", kind=CredentialKind.VONAGE_KEY, sealed=b"\x01"))
    project = make_project(credentials=credentials, vonage_application_id=APPLICATION)
    assert project == await store.get_project(PROJECT)
    assert [make_role()] == await store.list_roles(PROJECT)
    assert make_session("2_active") == await store.get_session("2_active") == repeated
    ended = make_session("2_ended", state=SessionState.ENDED, end_time=Millis(NOW + 1))
    assert ended == await store.get_session("2_ended")
    retired = make_key(
        "signed",
        algorithm=Algorithm.RS256,
        state=KeyState.RETIRED,
        create_time=Millis(NOW - DAY),
        activate_time=Millis(NOW - DAY),
        retire_time=NOW,
        expire_time=Millis(NOW + 30 * DAY),
        sealed=b"\x00old\xff",
    )
    assert {"signs": make_key("signs"), "signed": retired} == {
        key_id: attrs.evolve(key, sign_until=None) for key_id, key in keys.items()
    }


async def test_an_upgraded_store_lists_its_changes_anew(first_url: str, closed_later: ClosedLater) -> None:
    """No follower can mistake a position in the old numbers for one in the new."""
    make_first(first_url, NOW)
    migrate(first_url)
    store = closed_later(open_store(first_url))
    changes = await store.changes_after(Cursor(), 10)
    await store.create_revocation(make_revocation())
    [revoked] = await store.changes_after(changes[-1].cursor, 10)

    assert [ChangeKind.STORE_CREATED] == [change.kind for change in changes]
    assert await store.last_change() == revoked.cursor
    assert 0 < changes[0].mark < 2**63
    [end] = await store.list_session_ends(since=Millis(0), after=(Millis(0), ""), limit=10)
    assert ("2_ended", PROJECT, NOW + 1) == (end.session_id, end.project_id, end.end_time)


@pytest.mark.parametrize("days", [0, 29, 31, 36, 38, 400])
async def test_a_key_that_signs_goes_on_until_the_next_can(
    first_url: str, closed_later: ClosedLater, days: int
) -> None:
    """However old it is: no upgrade leaves a server without a key for as long as a new one has to be published."""
    before = system_clock()
    activate_time = Millis(before - days * DAY)
    make_first(first_url, activate_time)
    migrate(first_url)
    after = system_clock()
    [key] = [key for key in await closed_later(open_store(first_url)).list_keys() if key.state is KeyState.ACTIVE]
    planned = activate_time + 37 * DAY

    assert key.sign_until is not None
    if planned >= after + 7 * DAY:
        assert planned == key.sign_until
    else:
        assert before + 7 * DAY <= key.sign_until <= after + 7 * DAY

"""Fills the store of a development server before it starts: projects and sessions by the thousand, written at once."""

from __future__ import annotations

import secrets

from typing import TYPE_CHECKING, Final

import attrs
import sqlalchemy as sa

from tokenauthority.authority.credential_sealer import CredentialSealer, new_secret
from tokenauthority.config.loading import load
from tokenauthority.domain.ids import (
    REVOCATION_RANDOM_BYTES,
    SESSION_RANDOM_BYTES,
    make_revocation_id,
    make_session_id,
)
from tokenauthority.domain.project import Project
from tokenauthority.domain.revocation import TargetKind
from tokenauthority.domain.session import ArchiveMode, MediaMode, SessionState
from tokenauthority.domain.times import DEFAULT_TTL, MAX_TTL, Millis, whole_seconds
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.server import dev
from tokenauthority.server.wiring import system_clock
from tokenauthority.signing.sealing import Sealer
from tokenauthority.storage.migrate import migrate
from tokenauthority.storage.sql_projects import insert_project
from tokenauthority.storage.sql_revocations import revocations as revocation_table
from tokenauthority.storage.sql_sessions import sessions as session_table
from tokenauthority.storage.sqlite import writing_engine


if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tokenauthority.domain.times import Millis


_FIRST_PROJECT: Final = 47_000_000
_CHUNK: Final = 10_000
_BUSY_TIMEOUT: Final = 5.0


@attrs.frozen(kw_only=True)
class Contents:
    """What is in a store. `secret` is that of every project, `session_ids` go round the projects in turn."""

    project_id: str
    secret: str = attrs.field(repr=False)
    session_ids: Sequence[str] = attrs.field(repr=False)


def fill(directory: Path, *, projects: int, sessions: int, revocations: int = 0) -> Contents:
    """Make the store that `tokenauthority serve --dev` will find in *directory*; *revocations* are of other tokens."""
    settings = load(dev=True).model_copy(update={"data_dir": directory / ".tokenauthority"})
    sealer = CredentialSealer(Sealer(dev.master_key(settings)))
    migrate(settings.store_address)
    now, secret = system_clock(), secrets.token_hex(20)
    project_ids = [str(_FIRST_PROJECT + number) for number in range(projects)]
    engine = writing_engine(settings.data_dir / "tokenauthority.db", _BUSY_TIMEOUT)
    try:
        with engine.begin() as connection:
            for project_id in project_ids:
                insert_project(connection, _project(project_id, sealer, secret, now))
            session_ids = add_sessions(connection, project_ids, sessions, now)
            _add_revocations(connection, project_ids[0], revocations, now)
    finally:
        engine.dispose()
    return Contents(project_id=project_ids[0], secret=secret, session_ids=session_ids)


def _project(project_id: str, sealer: CredentialSealer, secret: str, now: Millis) -> Project:
    project = Project(
        project_id=project_id,
        display_name="benchmark",
        default_format=TokenFormat.SESSION_JWT,
        default_ttl=DEFAULT_TTL,
        max_ttl=MAX_TTL,
        external_sessions=False,
        create_time=now,
    )
    return sealer.sealed_project(project, [new_secret(secret, now)])


def add_sessions(connection: sa.Connection, project_ids: Sequence[str], count: int, now: Millis) -> list[str]:
    """Write *count* sessions of the projects in turn; their ids."""
    made = []
    for start in range(0, count, _CHUNK):
        owners = [project_ids[number % len(project_ids)] for number in range(start, min(start + _CHUNK, count))]
        rows = [_row(project_id, now) for project_id in owners]
        connection.execute(sa.insert(session_table), rows)
        made += [str(row["session_id"]) for row in rows]
    return made


def _add_revocations(connection: sa.Connection, project_id: str, count: int, now: Millis) -> None:
    for start in range(0, count, _CHUNK):
        rows = [
            {
                "revocation_id": make_revocation_id(Millis(now + number), secrets.token_bytes(REVOCATION_RANDOM_BYTES)),
                "project_id": project_id,
                "kind": TargetKind.TOKEN.value,
                "target": secrets.token_hex(16),
                "issued_before": whole_seconds(now),
                "comment": "",
                "create_time": now,
            }
            for number in range(start, min(start + _CHUNK, count))
        ]
        connection.execute(sa.insert(revocation_table), rows)


def _row(project_id: str, now: Millis) -> dict[str, str | int | bool | None]:
    return {
        "session_id": make_session_id(
            project_id, location="", relayed=True, now=now, random=secrets.token_bytes(SESSION_RANDOM_BYTES)
        ),
        "project_id": project_id,
        "media_mode": MediaMode.RELAYED.value,
        "archive_mode": ArchiveMode.MANUAL.value,
        "location": "",
        "e2ee": False,
        "archive_name": "",
        "archive_resolution": "",
        "state": SessionState.ACTIVE.value,
        "create_time": now,
        "end_time": None,
    }

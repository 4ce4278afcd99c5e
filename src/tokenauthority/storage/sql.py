"""The Store over SQL: SQLite or PostgreSQL, one code path.

Each method is a unit of work from the `sql_` modules, handed to the Database. The duties of each are those of the
protocol (`store.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tokenauthority.storage import (
    sql_changes,
    sql_keys,
    sql_projects,
    sql_revocations,
    sql_roles,
    sql_sealed,
    sql_sessions,
)
from tokenauthority.storage.store import KEPT_CHANGES


if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import sqlalchemy as sa

    from tokenauthority.domain.change import Change, Cursor
    from tokenauthority.domain.key import StoredKey
    from tokenauthority.domain.project import Credential, Project
    from tokenauthority.domain.revocation import Event, RevokedTarget, StoredRevocation, StoredSessionEnd
    from tokenauthority.domain.role import Role
    from tokenauthority.domain.sealed import SealedBlob, SealedCount, SealedKind
    from tokenauthority.domain.session import IdempotencyKey, SessionState, StoredSession
    from tokenauthority.domain.times import Millis
    from tokenauthority.storage.database import Database


_PRUNED_AT_ONCE: Final = 1000


class SqlStore:
    """A Store in *database*, whose schema must be up to date (`check_schema`). It closes the database with itself."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __repr__(self) -> str:
        return f"SqlStore({self._database!r})"

    async def create_project(self, project: Project) -> None:
        """Keep a new project with its credentials."""
        await self._database.write(lambda c: sql_projects.create_project(c, project))

    async def get_project(self, project_id: str) -> Project | None:
        """The project with its credentials, or None."""
        return await self._database.read_point(lambda c: sql_projects.get_project(c, project_id))

    async def find_vonage_project(self, application_id: str) -> Project | None:
        """The project of a Vonage application, or None."""
        return await self._database.read_point(lambda c: sql_projects.find_vonage_project(c, application_id))

    async def list_projects(self, *, after: int, limit: int, only: Collection[str] | None) -> Sequence[Project]:
        """A page of projects by number."""
        return await self._database.read(lambda c: sql_projects.list_projects(c, after, limit, only))

    async def update_project(self, project_id: str, change: Callable[[Project], Project]) -> Project:
        """Replace the values of a project by those that *change* makes of it."""
        return await self._database.write(lambda c: sql_projects.update_project(c, project_id, change))

    async def add_secret(self, project_id: str, credential: Credential) -> None:
        """Give a project its second live secret."""
        await self._database.write(lambda c: sql_projects.add_secret(c, project_id, credential))

    async def remove_secret(self, project_id: str, secret_id: str) -> None:
        """Forget one of two live secrets."""
        await self._database.write(lambda c: sql_projects.remove_secret(c, project_id, secret_id))

    async def create_role(self, role: Role) -> None:
        """Keep a new role of a project."""
        await self._database.write(lambda c: sql_roles.create_role(c, role))

    async def list_roles(self, project_id: str) -> Sequence[Role]:
        """The project's own roles by name."""
        return await self._database.read(lambda c: sql_roles.list_roles(c, project_id))

    async def update_role(self, project_id: str, name: str, change: Callable[[Role], Role]) -> Role:
        """Replace the permissions, description and update time of a role by those that *change* makes of it."""
        return await self._database.write(lambda c: sql_roles.update_role(c, project_id, name, change))

    async def delete_role(self, project_id: str, name: str) -> None:
        """Forget a role."""
        await self._database.write(lambda c: sql_roles.delete_role(c, project_id, name))

    async def create_session(self, session: StoredSession, repeat: IdempotencyKey | None) -> StoredSession:
        """Keep a new session, or answer the one that *repeat* made."""
        return await self._database.write(lambda c: sql_sessions.create_session(c, session, repeat))

    async def get_session(self, session_id: str) -> StoredSession | None:
        """The session, or None."""
        return await self._database.read_point(lambda c: sql_sessions.get_session(c, session_id))

    async def list_sessions(
        self, project_id: str, *, before: tuple[Millis, str] | None, limit: int, state: SessionState | None
    ) -> Sequence[StoredSession]:
        """A page of a project's sessions, newest first."""
        return await self._database.read(lambda c: sql_sessions.list_sessions(c, project_id, before, limit, state))

    async def end_session(self, session: StoredSession, now: Millis) -> StoredSession:
        """End a session as of *now* and answer it."""
        return await self._database.write(lambda c: sql_sessions.end_session(c, session, now))

    async def update_keys(self, change: Callable[[Sequence[StoredKey]], Sequence[StoredKey]]) -> Sequence[StoredKey]:
        """Replace the ring by what *change* makes of it."""
        return await self._database.write(lambda c: sql_keys.update_keys(c, change))

    async def list_keys(self) -> Sequence[StoredKey]:
        """All signing keys, newest first."""
        return await self._database.read(sql_keys.list_keys)

    async def revoke(self, revocation: StoredRevocation) -> StoredRevocation:
        """Keep a revocation, or answer the one that covers as much."""
        return await self._database.write(lambda c: sql_revocations.revoke(c, revocation))

    async def list_revocations(
        self, *, project_ids: Collection[str] | None = None, after: str, limit: int, now: Millis
    ) -> Sequence[StoredRevocation]:
        """A page of the revocations in force."""
        return await self._database.read(lambda c: sql_revocations.list_revocations(c, project_ids, after, limit, now))

    async def list_revoked(self, *, after: str, limit: int, now: Millis) -> Sequence[RevokedTarget]:
        """The same as plain tuples."""
        return await self._database.read(lambda c: sql_revocations.list_revoked(c, after, limit, now))

    async def list_session_ends(
        self, *, project_ids: Collection[str] | None = None, since: Millis, after: tuple[Millis, str], limit: int
    ) -> Sequence[StoredSessionEnd]:
        """A page of ended sessions."""
        return await self._database.read(
            lambda c: sql_revocations.list_session_ends(c, project_ids, since, after, limit)
        )

    async def events_of(self, changes: Sequence[Change]) -> Mapping[int, Event]:
        """The revocations and ended sessions among *changes*."""
        return await self._database.read(lambda c: sql_revocations.events_of(c, changes))

    async def last_change(self) -> Cursor:
        """The place after the newest change."""
        return await self._database.read_point(sql_changes.last_change)

    async def changes_after(self, cursor: Cursor, limit: int) -> Sequence[Change]:
        """A page of changes in order."""
        return await self._database.read_point(lambda c: sql_changes.changes_after(c, cursor, limit))

    async def count_sealed(self, length: int) -> Sequence[SealedCount]:
        """How many owners have envelopes with which first bytes."""
        return await self._database.read(lambda c: sql_sealed.count_sealed(c, length))

    async def list_sealed(self, kind: SealedKind, *, after: tuple[str, str], limit: int) -> Sequence[SealedBlob]:
        """A page of envelopes by owner and id."""
        return await self._database.read(lambda c: sql_sealed.list_sealed(c, kind, after, limit))

    async def replace_sealed(self, changes: Sequence[tuple[SealedBlob, bytes]]) -> int:
        """Put new envelopes in the place of those that are as they were."""
        return await self._database.write(lambda c: sql_sealed.replace_sealed(c, changes))

    async def prune(self, now: Millis) -> int:
        """Forget what has no use any more, some at a time so that no other writer waits long."""
        steps: tuple[Callable[[sa.Connection], int], ...] = (
            lambda c: sql_sessions.prune_requests(c, now, _PRUNED_AT_ONCE),
            lambda c: sql_revocations.prune_revocations(c, now, _PRUNED_AT_ONCE),
            lambda c: sql_changes.prune_changes(c, KEPT_CHANGES, _PRUNED_AT_ONCE),
        )
        gone = 0
        for step in steps:
            while count := await self._database.write(step):
                gone += count
        return gone

    async def close(self) -> None:
        """Let go of files and connections."""
        await self._database.close()

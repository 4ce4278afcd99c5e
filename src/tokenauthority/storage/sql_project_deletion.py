"""Delete projects in SQL: at once what makes tokens, and page by page what a project can have a million of."""

from __future__ import annotations

from typing import Final

import msgspec
import sqlalchemy as sa

from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.project import ProjectContents
from tokenauthority.domain.revocation import StoredRevocation, TargetKind
from tokenauthority.domain.revocation_index import oldest_stored
from tokenauthority.domain.times import Millis, in_millis
from tokenauthority.storage.database import SqlOperations, query, transaction
from tokenauthority.storage.project_deletion_store import MAX_COUNTED
from tokenauthority.storage.sql_changes import ChangeLog
from tokenauthority.storage.sql_projects import IS_LIVE, project_credentials, projects, require_project
from tokenauthority.storage.sql_revocations import revocations
from tokenauthority.storage.sql_roles import roles
from tokenauthority.storage.sql_sessions import requests, sessions


_DELETED: Final = sa.select(projects.c.project_id).where(~IS_LIVE)
_IS_PURGED_LATER: Final = revocations.c.kind != TargetKind.PROJECT.value


class SqlProjectDeletionStore(SqlOperations):
    """Implements `ProjectDeletionStore`."""

    @query
    def count_contents(self, connection: sa.Connection, project_id: str) -> ProjectContents:
        require_project(connection, project_id)
        return _count(connection, project_id)

    @transaction
    def delete_project(
        self, connection: sa.Connection, project_id: str, revocation: StoredRevocation
    ) -> ProjectContents:
        log = ChangeLog(connection)
        require_project(connection, project_id)
        contents = _count(connection, project_id)
        is_project = projects.c.project_id == project_id
        connection.execute(sa.update(projects).where(is_project).values(delete_time=revocation.create_time))
        for table in (project_credentials, roles):
            connection.execute(sa.delete(table).where(table.c.project_id == project_id))
        # That of an earlier project of the same id.
        is_known = (revocations.c.project_id == project_id, ~_IS_PURGED_LATER)
        connection.execute(sa.delete(revocations).where(*is_known))
        row = msgspec.structs.asdict(revocation) | {"kind": revocation.kind.value}
        connection.execute(sa.insert(revocations), row)
        log.append(ChangeKind.PROJECT_DELETION, project_id, project_id)
        log.append(ChangeKind.REVOCATION, project_id, revocation.revocation_id)
        return contents

    @transaction
    def purge_deleted(self, connection: sa.Connection, limit: int) -> int:
        page = sa.select(sessions.c.session_id).where(sessions.c.project_id.in_(_DELETED)).limit(limit)
        found = connection.execute(page).scalars().all()
        connection.execute(sa.delete(requests).where(requests.c.session_id.in_(found)))
        connection.execute(sa.delete(sessions).where(sessions.c.session_id.in_(found)))
        old = sa.select(revocations.c.revocation_id).where(revocations.c.project_id.in_(_DELETED), _IS_PURGED_LATER)
        is_old = revocations.c.revocation_id.in_(old.limit(limit))
        return len(found) + connection.execute(sa.delete(revocations).where(is_old)).rowcount

    @transaction
    def delete_old_projects(self, connection: sa.Connection, now: Millis) -> int:
        """Delete what is left of projects whose last token has expired, and return how many projects."""
        is_over = (
            projects.c.delete_time < in_millis(oldest_stored(now)),
            ~sa.exists().where(revocations.c.project_id == projects.c.project_id),
            ~sa.exists().where(sessions.c.project_id == projects.c.project_id),
        )
        return connection.execute(sa.delete(projects).where(*is_over)).rowcount


def _count(connection: sa.Connection, project_id: str) -> ProjectContents:
    def count(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
        found = sa.select(sa.literal(1)).select_from(table).where(table.c.project_id == project_id, *conditions)
        return connection.execute(
            sa.select(sa.func.count()).select_from(found.limit(MAX_COUNTED).subquery())
        ).scalar_one()

    return ProjectContents(
        sessions=count(sessions),
        secrets=count(project_credentials),
        roles=count(roles),
        revocations=count(revocations, _IS_PURGED_LATER),
    )

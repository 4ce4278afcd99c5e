"""Store projects and their credentials in SQL."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import groupby
from typing import Final

import attrs
import sqlalchemy as sa

from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.credential import Credential, CredentialKind
from tokenauthority.domain.errors import NotFoundError
from tokenauthority.domain.ids import is_project_id
from tokenauthority.domain.project import Project
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.storage import errors
from tokenauthority.storage.database import Query, SqlOperations, insert_or, point_query, query, transaction
from tokenauthority.storage.schema import PAGE, Id, metadata
from tokenauthority.storage.sql_changes import ChangeLog


projects: Final = sa.Table(
    "projects",
    metadata,
    sa.Column("project_id", Id, primary_key=True),
    # The id as a number: what pages of projects are ordered by.
    sa.Column("number", sa.BigInteger, nullable=False, unique=True),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("default_format", Id, nullable=False),
    sa.Column("default_ttl", sa.BigInteger, nullable=False),
    sa.Column("max_ttl", sa.BigInteger, nullable=False),
    sa.Column("external_sessions", sa.Boolean, nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("vonage_application_id", Id, nullable=True, unique=True),
)

project_credentials: Final = sa.Table(
    "project_credentials",
    metadata,
    sa.Column("project_id", Id, sa.ForeignKey(projects.c.project_id), primary_key=True),
    sa.Column("credential_id", Id, primary_key=True),
    sa.Column("kind", Id, nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)

_CHUNK: Final = 500
"""Ids in one statement: far below what either engine takes, and one shape of statement for all sizes of grant."""


def _with_credentials(page: sa.FromClause) -> Query:
    # One statement, so that a project is never seen with half of a change to its credentials.
    credentials = project_credentials
    columns: list[sa.ColumnElement[object]] = [
        *page.c,
        credentials.c.credential_id,
        credentials.c.kind,
        credentials.c.create_time.label("credential_time"),
        credentials.c.sealed,
    ]
    return (
        sa.select(*columns)
        .select_from(page.outerjoin(credentials, credentials.c.project_id == page.c.project_id))
        .order_by(page.c.number, credentials.c.create_time, credentials.c.credential_id)
    )


def _page_where(condition: sa.ColumnElement[bool]) -> Query:
    page = sa.select(projects).where(condition).order_by(projects.c.number).limit(PAGE)
    return _with_credentials(page.subquery())


_IDS: Final = sa.select(projects.c.project_id).where(projects.c.project_id == sa.bindparam("wanted"))
_BY_ID: Final = _with_credentials(projects).where(projects.c.project_id == sa.bindparam("wanted"))
_BY_VONAGE: Final = _with_credentials(projects).where(projects.c.vonage_application_id == sa.bindparam("wanted"))
_PAGE: Final = _page_where(projects.c.number > sa.bindparam("after", type_=sa.BigInteger))
_CHOSEN: Final = _page_where(projects.c.number.in_(sa.bindparam("chosen", expanding=True)))


class SqlProjectStore(SqlOperations):
    """Implements `ProjectStore`."""

    @transaction
    def create_project(self, connection: sa.Connection, project: Project) -> None:
        log = ChangeLog(connection)
        if not insert_project(connection, project):
            raise errors.project_exists(project, by_id=_project_exists(connection, project.project_id))
        log.append(ChangeKind.PROJECT, project.project_id, project.project_id)

    @point_query
    def get_project(self, connection: sa.Connection, project_id: str) -> Project | None:
        return next(_select_projects(connection, _BY_ID, {"wanted": project_id}), None)

    @point_query
    def find_vonage_project(self, connection: sa.Connection, application_id: str) -> Project | None:
        return next(_select_projects(connection, _BY_VONAGE, {"wanted": application_id}), None)

    @query
    def list_projects(
        self, connection: sa.Connection, *, after: int, limit: int, only: Collection[str] | None
    ) -> Sequence[Project]:
        if only is None:
            return list(_select_projects(connection, _PAGE, {"after": after, "page": limit}))
        numbers = sorted(number for number in map(int, filter(is_project_id, only)) if number > after)
        found: list[Project] = []
        for start in range(0, len(numbers), _CHUNK):
            if len(found) >= limit:
                break
            chosen = {"chosen": numbers[start : start + _CHUNK], "page": limit - len(found)}
            found += _select_projects(connection, _CHOSEN, chosen)
        return found

    @transaction
    def update_project(
        self, connection: sa.Connection, project_id: str, change: Callable[[Project], Project]
    ) -> Project:
        # Its lock keeps all other writers away, so the row needs no lock of its own.
        log = ChangeLog(connection)
        present = _require_whole_project(connection, project_id)
        project = present.with_values_of(change(present))
        is_project = projects.c.project_id == project_id
        connection.execute(sa.update(projects).where(is_project).values(_updatable_columns(project)))
        log.append(ChangeKind.PROJECT, project_id, project_id)
        return project

    @transaction
    def add_secret(self, connection: sa.Connection, project_id: str, credential: Credential) -> None:
        log = ChangeLog(connection)
        secrets = _require_whole_project(connection, project_id).secrets
        if len(secrets) != 1:
            raise errors.not_one_secret(project_id, len(secrets))
        _insert_credential(connection, project_id, credential)
        log.append(ChangeKind.PROJECT, project_id, project_id)

    @transaction
    def remove_secret(self, connection: sa.Connection, project_id: str, secret_id: str) -> None:
        log = ChangeLog(connection)
        secret_ids = [secret.credential_id for secret in _require_whole_project(connection, project_id).secrets]
        if secret_id not in secret_ids:
            raise NotFoundError.secret(secret_id)
        if len(secret_ids) == 1:
            raise errors.only_secret(project_id)
        columns = project_credentials.c
        is_secret = (columns.project_id == project_id, columns.credential_id == secret_id)
        connection.execute(sa.delete(project_credentials).where(*is_secret))
        log.append(ChangeKind.PROJECT, project_id, project_id)


def insert_project(connection: sa.Connection, project: Project) -> bool:
    """Insert a project with its credentials, or return False if its id or Vonage application is taken."""
    row = {
        "project_id": project.project_id,
        "number": int(project.project_id),
        "create_time": project.create_time,
        "vonage_application_id": project.vonage_application_id,
        **_updatable_columns(project),
    }
    insert = insert_or(connection, projects).on_conflict_do_nothing().returning(projects.c.project_id)
    if connection.execute(insert, row).first() is None:
        return False
    for credential in project.credentials:
        _insert_credential(connection, project.project_id, credential)
    return True


def require_project(connection: sa.Connection, project_id: str) -> None:
    """Raise `NotFoundError` for a project that does not exist. Projects are never deleted, so one that does stays."""
    if not _project_exists(connection, project_id):
        raise NotFoundError.project(project_id)


def _project_exists(connection: sa.Connection, project_id: str) -> bool:
    return connection.execute(_IDS, {"wanted": project_id}).first() is not None


def _require_whole_project(connection: sa.Connection, project_id: str) -> Project:
    project = next(_select_projects(connection, _BY_ID, {"wanted": project_id}), None)
    if project is None:
        raise NotFoundError.project(project_id)
    return project


def _insert_credential(connection: sa.Connection, project_id: str, credential: Credential) -> None:
    row = {"project_id": project_id, **attrs.asdict(credential), "kind": credential.kind.value}
    connection.execute(sa.insert(project_credentials), row)


def _updatable_columns(project: Project) -> dict[str, str | int | bool]:
    return {
        "display_name": project.display_name,
        "default_format": project.default_format.value,
        "default_ttl": project.default_ttl,
        "max_ttl": project.max_ttl,
        "external_sessions": project.external_sessions,
    }


def _select_projects(connection: sa.Connection, statement: Query, values: dict[str, object]) -> Iterator[Project]:
    rows = connection.execute(statement, values).mappings().all()
    for _, rows_of_one in groupby(rows, key=lambda row: row["project_id"]):
        yield _project_from_rows(list(rows_of_one))


def _project_from_rows(rows: Sequence[sa.RowMapping]) -> Project:
    first = rows[0]
    return Project(
        project_id=first["project_id"],
        display_name=first["display_name"],
        default_format=TokenFormat(first["default_format"]),
        default_ttl=first["default_ttl"],
        max_ttl=first["max_ttl"],
        external_sessions=first["external_sessions"],
        create_time=first["create_time"],
        vonage_application_id=first["vonage_application_id"],
        credentials=tuple(
            Credential(
                credential_id=row["credential_id"],
                kind=CredentialKind(row["kind"]),
                create_time=row["credential_time"],
                sealed=row["sealed"],
            )
            for row in rows
            if row["credential_id"] is not None
        ),
    )

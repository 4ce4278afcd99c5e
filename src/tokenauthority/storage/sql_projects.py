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
from tokenauthority.domain.profile import RealTimeServer
from tokenauthority.domain.project import Project
from tokenauthority.domain.token_format import DEFAULT_FORMAT, TokenFormat
from tokenauthority.storage import errors
from tokenauthority.storage.database import Query, SqlOperations, insert_or, point_query, query, transaction
from tokenauthority.storage.schema import PAGE, Id, envelope, member, metadata, partial_index
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
    sa.Column("platform_url", Id, nullable=False, server_default=""),
    # Names, separated by spaces.
    sa.Column("claims_for", Id, nullable=False, server_default=""),
    sa.Column("disabled", sa.Boolean, nullable=False, server_default=sa.false()),
    # A deleted project is stored as long as its tokens can live, but nobody finds it.
    sa.Column("delete_time", sa.BigInteger, nullable=True),
)
partial_index("ix_projects_deleted", "delete_time IS NOT NULL", projects.c.delete_time)
IS_LIVE: Final = projects.c.delete_time.is_(None)

project_credentials: Final = sa.Table(
    "project_credentials",
    metadata,
    sa.Column("project_id", Id, sa.ForeignKey(projects.c.project_id), primary_key=True),
    sa.Column("credential_id", Id, primary_key=True),
    sa.Column("kind", Id, nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Index("ix_project_credentials_credential_id", "credential_id"),
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
    page = sa.select(projects).where(IS_LIVE, condition).order_by(projects.c.number).limit(PAGE)
    return _with_credentials(page.subquery())


_IDS: Final = sa.select(projects.c.project_id).where(projects.c.project_id == sa.bindparam("wanted"), IS_LIVE)
_STORED_IDS: Final = sa.select(projects.c.project_id).where(projects.c.project_id == sa.bindparam("wanted"))
_BY_ID: Final = _with_credentials(projects).where(projects.c.project_id == sa.bindparam("wanted"), IS_LIVE)
_ID_BY_VONAGE: Final = sa.select(projects.c.project_id).where(
    projects.c.vonage_application_id == sa.bindparam("wanted"), IS_LIVE
)
_STORED_BY_VONAGE: Final = sa.select(projects.c.project_id).where(
    projects.c.vonage_application_id == sa.bindparam("wanted")
)
_SESSIONS: Final = sa.table("sessions", sa.column("project_id", Id))
_HAS_SESSIONS: Final = sa.exists().where(_SESSIONS.c.project_id == projects.c.project_id)
_IDS_BY_SECRET: Final = (
    sa.select(project_credentials.c.project_id)
    .where(project_credentials.c.credential_id == sa.bindparam("wanted"))
    .limit(2)
)
_PAGE: Final = _page_where(projects.c.number > sa.bindparam("after", type_=sa.BigInteger))
_CHOSEN: Final = _page_where(projects.c.number.in_(sa.bindparam("chosen", expanding=True)))


class SqlProjectStore(SqlOperations):
    """Implements `ProjectStore`."""

    @transaction
    def create_project(self, connection: sa.Connection, project: Project) -> None:
        log = ChangeLog(connection)
        if not (insert_project(connection, project) or _replace_deleted(connection, project)):
            by_id = connection.execute(_STORED_IDS, {"wanted": project.project_id}).first() is not None
            raise errors.project_exists(project, by_id=by_id)
        log.append(ChangeKind.PROJECT, project.project_id, project.project_id)

    @point_query
    def get_project(self, connection: sa.Connection, project_id: str) -> Project | None:
        return next(_select_projects(connection, _BY_ID, {"wanted": project_id}), None)

    @point_query
    def find_vonage_project(
        self, connection: sa.Connection, application_id: str, *, only: Collection[str] | None
    ) -> str | None:
        # The index finds at most one id, however many projects *only* has.
        found: str | None = connection.execute(_ID_BY_VONAGE, {"wanted": application_id}).scalar()
        return found if only is None or found in only else None

    @point_query
    def find_secret_project(
        self, connection: sa.Connection, secret_id: str, *, only: Collection[str] | None
    ) -> str | None:
        found = connection.execute(_IDS_BY_SECRET, {"wanted": secret_id}).scalars().all()
        # Only two imports of a key at once, and somebody who writes to the database, can make two the same.
        [project_id] = found if len(found) == 1 else [None]
        return project_id if only is None or project_id in only else None

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
    def update_credentials(
        self, connection: sa.Connection, project_id: str, change: Callable[[Project], Project]
    ) -> Project:
        log = ChangeLog(connection)
        present = _require_whole_project(connection, project_id)
        project = attrs.evolve(present, credentials=change(present).credentials)
        connection.execute(sa.delete(project_credentials).where(project_credentials.c.project_id == project_id))
        _insert_credentials(connection, project)
        log.append(ChangeKind.PROJECT, project_id, project_id)
        return _require_whole_project(connection, project_id)


def insert_project(connection: sa.Connection, project: Project) -> bool:
    """Insert a project with its credentials, or return False if its id or Vonage application is taken."""
    row = {"project_id": project.project_id, "number": int(project.project_id), **_columns(project)}
    insert = insert_or(connection, projects).on_conflict_do_nothing().returning(projects.c.project_id)
    if connection.execute(insert, row).first() is None:
        return False
    _insert_credentials(connection, project)
    return True


def _replace_deleted(connection: sa.Connection, project: Project) -> bool:
    """Put *project* in the place of a deleted one of its id whose sessions are deleted, too; return whether it could.

    The revocation of all tokens of the deleted project stays.
    """
    owner = connection.execute(_STORED_BY_VONAGE, {"wanted": project.vonage_application_id or ""}).scalar()
    if owner not in {None, project.project_id}:
        return False
    is_emptied = (projects.c.project_id == project.project_id, ~IS_LIVE, ~_HAS_SESSIONS)
    replace = sa.update(projects).where(*is_emptied).values(delete_time=None, **_columns(project))
    if connection.execute(replace).rowcount == 0:
        return False
    _insert_credentials(connection, project)
    return True


def require_project(connection: sa.Connection, project_id: str) -> None:
    """Raise `NotFoundError` for a project that does not exist.

    It may be deleted before the transaction ends: what refers to it is then deleted as its other objects are.
    """
    if not _project_exists(connection, project_id):
        raise NotFoundError.project(project_id)


def _project_exists(connection: sa.Connection, project_id: str) -> bool:
    return connection.execute(_IDS, {"wanted": project_id}).first() is not None


def _require_whole_project(connection: sa.Connection, project_id: str) -> Project:
    project = next(_select_projects(connection, _BY_ID, {"wanted": project_id}), None)
    if project is None:
        raise NotFoundError.project(project_id)
    return project


def _insert_credentials(connection: sa.Connection, project: Project) -> None:
    for credential in project.credentials:
        row = {"project_id": project.project_id, **attrs.asdict(credential), "kind": credential.kind.value}
        connection.execute(sa.insert(project_credentials), row)


def _columns(project: Project) -> dict[str, str | int | bool | None]:
    own = {"create_time": project.create_time, "vonage_application_id": project.vonage_application_id}
    return {**own, **_updatable_columns(project)}


def _updatable_columns(project: Project) -> dict[str, str | int | bool]:
    return {
        "display_name": project.display_name,
        "default_format": project.default_format.value,
        "default_ttl": project.default_ttl,
        "max_ttl": project.max_ttl,
        "external_sessions": project.external_sessions,
        "platform_url": project.platform_url,
        "claims_for": " ".join(project.claims_for),
        "disabled": project.disabled,
    }


def _select_projects(connection: sa.Connection, statement: Query, values: dict[str, object]) -> Iterator[Project]:
    rows = connection.execute(statement, values).mappings().all()
    for _, rows_of_one in groupby(rows, key=lambda row: row["project_id"]):
        yield _project_from_rows(list(rows_of_one))


def _project_from_rows(rows: Sequence[sa.RowMapping]) -> Project:
    first = rows[0]
    default_format = member(TokenFormat, first["default_format"], DEFAULT_FORMAT)
    servers = tuple(server for server in RealTimeServer if server in str(first["claims_for"]).split(" "))
    unreadable = [] if default_format == first["default_format"] else ["its default_format is no format"]
    if " ".join(servers) != first["claims_for"]:
        unreadable.append("its claims_for are no servers")
    return Project(
        project_id=first["project_id"],
        display_name=first["display_name"],
        default_format=default_format,
        default_ttl=first["default_ttl"],
        max_ttl=first["max_ttl"],
        external_sessions=first["external_sessions"],
        create_time=first["create_time"],
        vonage_application_id=first["vonage_application_id"],
        platform_url=first["platform_url"],
        claims_for=servers,
        disabled=first["disabled"],
        credentials=tuple(
            Credential(
                credential_id=row["credential_id"],
                kind=member(CredentialKind, row["kind"], CredentialKind.SECRET),
                create_time=row["credential_time"],
                sealed=envelope(row["sealed"]),
            )
            for row in rows
            if row["credential_id"] is not None
        ),
        unreadable=" and ".join(unreadable),
    )

"""Projects and their credentials in SQL: functions over a Connection, each a whole unit of work."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.errors import NotFoundError
from tokenauthority.domain.ids import is_project_id
from tokenauthority.domain.project import Credential, CredentialKind, Project
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.storage import refusals
from tokenauthority.storage.database import Query, insert_or
from tokenauthority.storage.schema import project_credentials as credentials
from tokenauthority.storage.schema import projects
from tokenauthority.storage.sql_changes import ChangeLog


if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence


_CHUNK: Final = 500
"""Ids in one statement: far below what either engine takes, and one shape of statement for all sizes of grant."""


def _with_credentials(page: sa.FromClause) -> Query:
    # One statement, so that a project is never seen with half of a change to its credentials.
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


_IDS: Final = sa.select(projects.c.project_id).where(projects.c.project_id == sa.bindparam("wanted"))
_BY_ID: Final = _with_credentials(projects).where(projects.c.project_id == sa.bindparam("wanted"))
_BY_VONAGE: Final = _with_credentials(projects).where(projects.c.vonage_application_id == sa.bindparam("wanted"))
_PAGE: Final = _with_credentials(
    sa.select(projects)
    .where(projects.c.number > sa.bindparam("after", type_=sa.BigInteger))
    .order_by(projects.c.number)
    .limit(sa.bindparam("page", type_=sa.BigInteger))
    .subquery()
)
_CHOSEN: Final = _with_credentials(
    sa.select(projects)
    .where(projects.c.number.in_(sa.bindparam("chosen", expanding=True)))
    .order_by(projects.c.number)
    .limit(sa.bindparam("page", type_=sa.BigInteger))
    .subquery()
)


def create_project(connection: sa.Connection, project: Project) -> None:
    """Keep a new project with its credentials, or raise `AlreadyExistsError`."""
    log = ChangeLog(connection)
    row = {
        "project_id": project.project_id,
        "number": int(project.project_id),
        "create_time": project.create_time,
        "vonage_application_id": project.vonage_application_id,
        **_values(project),
    }
    insert = insert_or(connection, projects).on_conflict_do_nothing().returning(projects.c.project_id)
    if connection.execute(insert, row).first() is None:
        raise refusals.project_taken(project, by_id=_exists(connection, project.project_id))
    for credential in project.credentials:
        _add_credential(connection, project.project_id, credential)
    log.append(ChangeKind.PROJECT, project.project_id, project.project_id)


def get_project(connection: sa.Connection, project_id: str) -> Project | None:
    """The project with its credentials, or None."""
    return next(_read(connection, _BY_ID, {"wanted": project_id}), None)


def find_vonage_project(connection: sa.Connection, application_id: str) -> Project | None:
    """The project of a Vonage application, or None."""
    return next(_read(connection, _BY_VONAGE, {"wanted": application_id}), None)


def list_projects(connection: sa.Connection, after: int, limit: int, only: Collection[str] | None) -> Sequence[Project]:
    """A page of projects by number."""
    if only is None:
        return list(_read(connection, _PAGE, {"after": after, "page": limit}))
    wanted = sorted(number for number in map(int, filter(is_project_id, only)) if number > after)
    found: list[Project] = []
    for start in range(0, len(wanted), _CHUNK):
        if len(found) >= limit:
            break
        chosen = {"chosen": wanted[start : start + _CHUNK], "page": limit - len(found)}
        found += _read(connection, _CHOSEN, chosen)
    return found


def update_project(connection: sa.Connection, project_id: str, change: Callable[[Project], Project]) -> Project:
    """Replace the values of a project by those that *change* makes of it, or raise `NotFoundError`."""
    log = ChangeLog(connection)
    # Nobody else writes from here on: the log holds the turn, so the row needs no lock of its own.
    present = get_project(connection, project_id)
    if present is None:
        raise NotFoundError.project(project_id)
    kept = present.with_values_of(change(present))
    connection.execute(sa.update(projects).where(projects.c.project_id == project_id).values(_values(kept)))
    log.append(ChangeKind.PROJECT, project_id, project_id)
    return kept


def add_secret(connection: sa.Connection, project_id: str, credential: Credential) -> None:
    """Give a project its second live secret."""
    log = ChangeLog(connection)
    secrets = _secrets(connection, project_id)
    if len(secrets) != 1:
        raise refusals.too_many_secrets(project_id, len(secrets))
    _add_credential(connection, project_id, credential)
    log.append(ChangeKind.PROJECT, project_id, project_id)


def remove_secret(connection: sa.Connection, project_id: str, secret_id: str) -> None:
    """Forget one of two live secrets."""
    log = ChangeLog(connection)
    secrets = _secrets(connection, project_id)
    if secret_id not in secrets:
        raise NotFoundError.secret(secret_id)
    if len(secrets) == 1:
        raise refusals.only_secret(project_id)
    connection.execute(
        sa.delete(credentials).where(credentials.c.project_id == project_id, credentials.c.credential_id == secret_id)
    )
    log.append(ChangeKind.PROJECT, project_id, project_id)


def require_project(connection: sa.Connection, project_id: str) -> None:
    """Raise `NotFoundError` for a project that does not exist. Projects are never deleted, so a yes stays true."""
    if not _exists(connection, project_id):
        raise NotFoundError.project(project_id)


def _exists(connection: sa.Connection, project_id: str) -> bool:
    return connection.execute(_IDS, {"wanted": project_id}).first() is not None


def _secrets(connection: sa.Connection, project_id: str) -> set[str]:
    project = get_project(connection, project_id)
    if project is None:
        raise NotFoundError.project(project_id)
    return {secret.credential_id for secret in project.secrets}


def _add_credential(connection: sa.Connection, project_id: str, credential: Credential) -> None:
    row = {
        "project_id": project_id,
        "credential_id": credential.credential_id,
        "kind": credential.kind.value,
        "create_time": credential.create_time,
        "sealed": credential.sealed,
    }
    connection.execute(sa.insert(credentials), row)


def _values(project: Project) -> dict[str, str | int | bool]:
    return {
        "display_name": project.display_name,
        "default_format": project.default_format.value,
        "default_ttl": project.default_ttl,
        "max_ttl": project.max_ttl,
        "external_sessions": project.external_sessions,
    }


def _read(connection: sa.Connection, statement: Query, values: dict[str, object]) -> Iterator[Project]:
    rows = connection.execute(statement, values).mappings().all()
    for _, of_one in groupby(rows, key=lambda row: row["project_id"]):
        yield _project(list(of_one))


def _project(rows: Sequence[sa.RowMapping]) -> Project:
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

"""Roles in SQL: functions over a Connection, each a whole unit of work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.errors import NotFoundError
from tokenauthority.domain.role import MAX_ROLES, Permission, Role
from tokenauthority.storage import refusals
from tokenauthority.storage.schema import roles
from tokenauthority.storage.sql_changes import ChangeLog
from tokenauthority.storage.sql_projects import require_project


if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


_OF_PROJECT: Final = sa.select(roles).where(roles.c.project_id == sa.bindparam("wanted")).order_by(roles.c.name)


def create_role(connection: sa.Connection, role: Role) -> None:
    """Keep a new role of a project."""
    log = ChangeLog(connection)
    require_project(connection, role.project_id)
    names = {known.name for known in list_roles(connection, role.project_id)}
    if role.name in names:
        raise refusals.role_taken(role)
    if len(names) >= MAX_ROLES:
        raise refusals.role_limit(role.project_id)
    row = {
        "project_id": role.project_id,
        "name": role.name,
        "create_time": role.create_time,
        **_values(role),
    }
    connection.execute(sa.insert(roles), row)
    log.append(ChangeKind.ROLE, role.project_id, role.name)


def list_roles(connection: sa.Connection, project_id: str) -> Sequence[Role]:
    """The project's own roles by name."""
    rows = connection.execute(_OF_PROJECT, {"wanted": project_id}).mappings().all()
    return [
        Role(
            name=row["name"],
            permissions=tuple(map(Permission, row["permissions"].split())),
            project_id=row["project_id"],
            description=row["description"],
            create_time=row["create_time"],
            update_time=row["update_time"],
        )
        for row in rows
    ]


def update_role(connection: sa.Connection, project_id: str, name: str, change: Callable[[Role], Role]) -> Role:
    """Replace the permissions, description and update time of a role by those that *change* makes of it."""
    log = ChangeLog(connection)
    # Nobody else writes from here on: the log holds the turn, so the row needs no lock of its own.
    present = next((role for role in list_roles(connection, project_id) if role.name == name), None)
    if present is None:
        raise NotFoundError.role(name)
    kept = present.with_values_of(change(present))
    connection.execute(sa.update(roles).where(_is(project_id, name)).values(_values(kept)))
    log.append(ChangeKind.ROLE, project_id, name)
    return kept


def delete_role(connection: sa.Connection, project_id: str, name: str) -> None:
    """Forget a role."""
    log = ChangeLog(connection)
    if connection.execute(sa.delete(roles).where(_is(project_id, name))).rowcount == 0:
        raise NotFoundError.role(name)
    log.append(ChangeKind.ROLE, project_id, name)


def _is(project_id: str, name: str) -> sa.ColumnElement[bool]:
    return sa.and_(roles.c.project_id == project_id, roles.c.name == name)


def _values(role: Role) -> dict[str, str | int | None]:
    return {
        "permissions": " ".join(role.permissions),
        "description": role.description,
        "update_time": role.update_time,
    }

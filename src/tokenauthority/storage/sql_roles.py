"""Store the roles of projects in SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import sqlalchemy as sa

from tokenauthority.domain.change import ChangeKind
from tokenauthority.domain.errors import NotFoundError
from tokenauthority.domain.role import MAX_ROLES, Permission, Role
from tokenauthority.storage import errors
from tokenauthority.storage.database import SqlOperations, query, transaction
from tokenauthority.storage.schema import Id, metadata
from tokenauthority.storage.sql_changes import ChangeLog
from tokenauthority.storage.sql_projects import projects, require_project


roles: Final = sa.Table(
    "roles",
    metadata,
    sa.Column("project_id", Id, sa.ForeignKey(projects.c.project_id), primary_key=True),
    sa.Column("name", Id, primary_key=True),
    # Names in the order of the enum, with single spaces between.
    sa.Column("permissions", Id, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("update_time", sa.BigInteger, nullable=False),
)

_PERMISSIONS: Final = {permission.value: permission for permission in Permission}
_OF_PROJECT: Final = sa.select(roles).where(roles.c.project_id == sa.bindparam("wanted")).order_by(roles.c.name)


class SqlRoleStore(SqlOperations):
    """Implements `RoleStore`."""

    @transaction
    def create_role(
        self, connection: sa.Connection, role: Role, check: Callable[[Sequence[Role]], None] | None = None
    ) -> None:
        log = ChangeLog(connection)
        require_project(connection, role.project_id)
        known = _select_roles(connection, role.project_id)
        if check is not None:
            check(known)
        names = {each.name for each in known}
        if role.name in names:
            raise errors.role_exists(role)
        if len(names) >= MAX_ROLES:
            raise errors.role_limit(role.project_id)
        row = {"project_id": role.project_id, "name": role.name, "create_time": role.create_time}
        connection.execute(sa.insert(roles), row | _updatable_columns(role))
        log.append(ChangeKind.ROLE, role.project_id, role.name)

    @query
    def list_roles(self, connection: sa.Connection, project_id: str) -> Sequence[Role]:
        return _select_roles(connection, project_id)

    @transaction
    def update_role(
        self, connection: sa.Connection, project_id: str, name: str, change: Callable[[Role, Sequence[Role]], Role]
    ) -> Role:
        # Its lock keeps all other writers away, so the row needs no lock of its own.
        log = ChangeLog(connection)
        known = _select_roles(connection, project_id)
        present = next((role for role in known if role.name == name), None)
        if present is None:
            raise NotFoundError.role(name)
        role = present.with_values_of(change(present, known))
        connection.execute(sa.update(roles).where(_is_role(project_id, name)).values(_updatable_columns(role)))
        log.append(ChangeKind.ROLE, project_id, name)
        return role

    @transaction
    def delete_role(self, connection: sa.Connection, project_id: str, name: str) -> None:
        log = ChangeLog(connection)
        if connection.execute(sa.delete(roles).where(_is_role(project_id, name))).rowcount == 0:
            raise NotFoundError.role(name)
        log.append(ChangeKind.ROLE, project_id, name)


def _select_roles(connection: sa.Connection, project_id: str) -> list[Role]:
    return [_role_from_row(row) for row in connection.execute(_OF_PROJECT, {"wanted": project_id}).mappings()]


def _role_from_row(row: sa.RowMapping) -> Role:
    names = str(row["permissions"]).split()
    permissions = tuple(_PERMISSIONS[name] for name in names if name in _PERMISSIONS)
    if permissions and len(permissions) == len(names):
        return Role(**{**row, "permissions": permissions})
    # A part of them could be less or more than what was meant.
    return Role(**{**row, "permissions": (), "unreadable": "its permissions are none"})


def _is_role(project_id: str, name: str) -> sa.ColumnElement[bool]:
    return sa.and_(roles.c.project_id == project_id, roles.c.name == name)


def _updatable_columns(role: Role) -> dict[str, str | int | None]:
    return {"permissions": " ".join(role.permissions), "description": role.description, "update_time": role.update_time}

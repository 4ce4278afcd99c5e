"""RoleService: maps to and from the use cases of roles."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from tokenauthority.context import audit_record, current_caller
from tokenauthority.domain.role import Permission, Role
from tokenauthority.service import mapping, paging
from tokenauthority.service.context import Context
from tokenauthority.service.problems import Problems
from tokenauthority.v1 import role_pb2, role_pb2_grpc


if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenauthority.authority.roles import Roles
    from tokenauthority.domain.times import Millis


_CHANGEABLE: Final = frozenset({"permissions", "description"})
_ALL: Final = tuple(Permission)
"""Stands in for permissions that cannot be read, so that they are not found missing as well."""


class RoleServicer(role_pb2_grpc.RoleServiceServicer):
    """Roles over gRPC."""

    def __init__(self, roles: Roles, clock: Callable[[], Millis]) -> None:
        self._roles = roles
        self._clock = clock

    async def ListRoles(self, request: role_pb2.ListRolesRequest, context: Context) -> role_pb2.ListRolesResponse:
        """See the contract."""
        problems = Problems()
        project_id = problems.read(partial(_chosen, request.project_id), "")
        query = f"roles/{project_id}"
        size = problems.read(partial(paging.page_size, request.page_size), 0)
        after = problems.read(partial(paging.position, request.page_token, query if project_id else None, str), None)
        problems.refuse()
        roles = await self._roles.list_all(project_id)
        names = [role.name for role in roles]
        # A role that was deleted since the last page sorts where it stood: after the built-in ones, by name.
        start = 0
        if after is not None:
            start = names.index(after) + 1 if after in names else sum(r.built_in or r.name <= after for r in roles)
        page, last = paging.cut(roles[start : start + size + 1], size)
        return role_pb2.ListRolesResponse(
            roles=[mapping.role_message(role) for role in page],
            next_page_token=paging.next_token(query, last.name) if last else "",
        )

    async def GetRole(self, request: role_pb2.GetRoleRequest, context: Context) -> role_pb2.GetRoleResponse:
        """See the contract."""
        project_id = _chosen(request.project_id, request.name)
        role = await self._roles.get(project_id, request.name)
        return role_pb2.GetRoleResponse(role=mapping.role_message(role))

    async def CreateRole(self, request: role_pb2.CreateRoleRequest, context: Context) -> role_pb2.CreateRoleResponse:
        """See the contract."""
        problems = Problems()
        project_id = problems.read(partial(_chosen, request.project_id, request.name), "")
        now = self._clock()
        role = Role(
            name=request.name,
            project_id=project_id,
            permissions=problems.read(partial(mapping.permissions, request.permissions, "permissions"), _ALL),
            description=request.description,
            create_time=now,
            update_time=now,
        )
        return role_pb2.CreateRoleResponse(role=mapping.role_message(await self._roles.create(role, problems.found)))

    async def UpdateRole(self, request: role_pb2.UpdateRoleRequest, context: Context) -> role_pb2.UpdateRoleResponse:
        """See the contract."""
        problems = Problems()
        project_id = problems.read(partial(_chosen, request.project_id, request.name), "")
        given = {"permissions": bool(request.permissions), "description": bool(request.description)}
        paths = set(request.update_mask.paths) or {field for field, there in given.items() if there}
        if not paths or paths - _CHANGEABLE:
            problems.add("update_mask", "must name permissions, description or both")
        permissions = None
        if "permissions" in paths:
            permissions = problems.read(partial(mapping.permissions, request.permissions, "permissions"), None)
            audit_record().changes = (f"permissions={','.join(permissions or ())}",)
        role = await self._roles.update(
            project_id,
            request.name,
            self._clock(),
            permissions=permissions,
            description=request.description if "description" in paths else None,
            problems=problems.found,
        )
        return role_pb2.UpdateRoleResponse(role=mapping.role_message(role))

    async def DeleteRole(self, request: role_pb2.DeleteRoleRequest, context: Context) -> role_pb2.DeleteRoleResponse:
        """See the contract."""
        project_id = _chosen(request.project_id, request.name)
        await self._roles.delete(project_id, request.name)
        return role_pb2.DeleteRoleResponse()


def _chosen(asked: str, name: str = "") -> str:
    record = audit_record()
    record.ask(project_id=asked, role=name)
    record.project_id = current_caller().grant.chosen_project(asked)
    return record.project_id

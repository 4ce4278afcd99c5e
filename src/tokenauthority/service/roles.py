"""RoleService: map its requests to the use cases of roles, and their results to its answers."""

from __future__ import annotations

from functools import partial
from typing import Final

from tokenauthority.authority.roles import Roles
from tokenauthority.domain.role import Permission, Role
from tokenauthority.service import mapping, paging
from tokenauthority.service.problems import Problems
from tokenauthority.service.rpc import Rpc
from tokenauthority.v1 import role_pb2 as pb


_CHANGEABLE: Final = frozenset({"permissions", "description"})
_ALL: Final = tuple(Permission)
"""Stands in for permissions that cannot be read, so that they are not found missing as well."""


class RoleServicer:
    """The RPCs of RoleService."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles

    async def list_roles(self, request: pb.ListRolesRequest, rpc: Rpc) -> pb.ListRolesResponse:
        """Answer ListRoles."""
        problems = Problems()
        project_id = problems.value_or(partial(rpc.chosen_project, request.project_id), "")
        query = f"roles/{project_id}"
        size, after = paging.requested_page(request, query if project_id else None, str, problems)
        problems.raise_if_any()
        roles = await self._roles.list_all(project_id)
        names = [role.name for role in roles]
        # A role that was deleted since the last page sorts where it stood: after the built-in ones, by name.
        start = 0
        if after is not None:
            start = names.index(after) + 1 if after in names else sum(r.built_in or r.name <= after for r in roles)
        page, next_page = paging.cut_page(roles[start : start + size + 1], size, query, lambda last: last.name)
        return pb.ListRolesResponse(roles=map(mapping.role_message, page), next_page_token=next_page)

    async def get_role(self, request: pb.GetRoleRequest, rpc: Rpc) -> pb.GetRoleResponse:
        """Answer GetRole."""
        project_id = rpc.chosen_project(request.project_id)
        role = await self._roles.get(project_id, request.name)
        return pb.GetRoleResponse(role=mapping.role_message(role))

    async def create_role(self, request: pb.CreateRoleRequest, rpc: Rpc) -> pb.CreateRoleResponse:
        """Answer CreateRole."""
        problems = Problems()
        project_id = problems.value_or(partial(rpc.chosen_project, request.project_id), "")
        role = Role(
            name=request.name,
            project_id=project_id,
            permissions=problems.value_or(partial(mapping.permissions, request.permissions, "permissions"), _ALL),
            description=request.description,
            create_time=rpc.now,
            update_time=rpc.now,
        )
        return pb.CreateRoleResponse(
            role=mapping.role_message(await self._roles.create(role, rpc.caller, problems.found))
        )

    async def update_role(self, request: pb.UpdateRoleRequest, rpc: Rpc) -> pb.UpdateRoleResponse:
        """Answer UpdateRole."""
        problems = Problems()
        project_id = problems.value_or(partial(rpc.chosen_project, request.project_id), "")
        given = {"permissions": bool(request.permissions), "description": bool(request.description)}
        paths = set(request.update_mask.paths) or {field for field, there in given.items() if there}
        if not paths or paths - _CHANGEABLE:
            problems.add("update_mask", "must name permissions, description or both")
        permissions = None
        if "permissions" in paths:
            permissions = problems.value_or(partial(mapping.permissions, request.permissions, "permissions"), None)
            rpc.record.changes = (f"permissions={','.join(permissions or ())}",)
        role = await self._roles.update(
            project_id,
            request.name,
            rpc.caller,
            rpc.now,
            permissions=permissions,
            description=request.description if "description" in paths else None,
            problems=problems.found,
        )
        return pb.UpdateRoleResponse(role=mapping.role_message(role))

    async def delete_role(self, request: pb.DeleteRoleRequest, rpc: Rpc) -> pb.DeleteRoleResponse:
        """Answer DeleteRole."""
        project_id = rpc.chosen_project(request.project_id)
        await self._roles.delete(project_id, request.name)
        return pb.DeleteRoleResponse()

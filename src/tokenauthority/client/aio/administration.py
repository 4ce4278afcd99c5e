"""The methods of a client for the roles of projects, and for stopping and deleting projects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING

from google.protobuf.field_mask_pb2 import FieldMask

from tokenauthority.client import arguments, requests
from tokenauthority.client.aio.calls import call
from tokenauthority.client.base import AuthorityBase
from tokenauthority.client.errors import next_page_token
from tokenauthority.client.values import DeletedProject, RoleData, convert_message
from tokenauthority.v1 import project_pb2, role_pb2


if TYPE_CHECKING:
    from tokenauthority.v1.project_pb2_grpc import ProjectServiceAsyncStub
    from tokenauthority.v1.role_pb2_grpc import RoleServiceAsyncStub


class AsyncAdministration(AuthorityBase):
    """What an operator does with a client; see `AsyncAuthority`.

    `project_id` is a project of the caller; empty for the client's project.
    """

    roles: RoleServiceAsyncStub
    projects: ProjectServiceAsyncStub

    async def create_role(
        self, name: str, permissions: Iterable[str], *, description: str = "", project_id: str = ""
    ) -> RoleData:
        """Define a role of a project.

        Args:
            name: 1 to 63 of a-z, 0-9, "-" and "_"; the first is a letter.
            permissions: at least one, such as "publish".
            description: for people, at most 256 characters.
            project_id: see above.

        Raises:
            AlreadyExists: the project has a role of this name.
            FailedPrecondition: the project has 100 roles, or another caller's grant names the role.
            PermissionDenied: the caller's grant has no role with one of the permissions.
            ValueError: a permission is unknown.
        """
        request = role_pb2.CreateRoleRequest(
            project_id=self._project(project_id),
            name=arguments.text("name", name),
            permissions=requests.permissions("permissions", permissions),
            description=arguments.text("description", description),
        )
        return convert_message((await call(self.roles.CreateRole, request)).role, RoleData)

    async def get_role(self, name: str, *, project_id: str = "") -> RoleData:
        """Return a built-in role, or one of a project.

        Raises:
            NotFound: the project has no role of this name.
        """
        request = role_pb2.GetRoleRequest(project_id=self._project(project_id), name=arguments.text("name", name))
        return convert_message((await call(self.roles.GetRole, request)).role, RoleData)

    async def list_roles(self, *, project_id: str = "") -> AsyncIterator[RoleData]:
        """Iterate over the built-in roles, then over those of a project by name."""
        request = role_pb2.ListRolesRequest(project_id=self._project(project_id))
        while True:
            page = await call(self.roles.ListRoles, request)
            for message in page.roles:
                yield convert_message(message, RoleData)
            request.page_token = next_page_token(request.page_token, page.next_page_token, page.roles)
            if not request.page_token:
                return

    async def update_role(
        self,
        name: str,
        *,
        permissions: Iterable[str] | None = None,
        description: str | None = None,
        project_id: str = "",
    ) -> RoleData:
        """Change what is not None of a role. Tokens that were made before have the permissions of that time.

        Raises:
            NotFound: the project has no role of this name.
            FailedPrecondition: the role is built in, or it gains a permission and another caller's grant names it.
            PermissionDenied: the caller's grant has no role with one of the permissions that the role gains.
            ValueError: a permission is unknown, or nothing is to be changed.
        """
        request = role_pb2.UpdateRoleRequest(project_id=self._project(project_id), name=arguments.text("name", name))
        if permissions is not None:
            request.permissions.extend(requests.permissions("permissions", permissions))
            request.update_mask.paths.append("permissions")
        if description is not None:
            request.description = arguments.text("description", description)
            request.update_mask.paths.append("description")
        if not request.update_mask.paths:
            raise ValueError("nothing to change: give permissions or description")
        return convert_message((await call(self.roles.UpdateRole, request)).role, RoleData)

    async def delete_role(self, name: str, *, project_id: str = "") -> None:
        """Delete a role of a project. Tokens that were made before have its permissions.

        Raises:
            NotFound: the project has no role of this name.
            FailedPrecondition: the role is built in, or a caller's grant names it.
        """
        request = role_pb2.DeleteRoleRequest(project_id=self._project(project_id), name=arguments.text("name", name))
        await call(self.roles.DeleteRole, request)

    async def disable_project(self, project_id: str) -> None:
        """Give a project no new sessions and tokens, and refuse its tokens, until `enable_project`.

        Raises:
            NotFound: no project has this id.
        """
        await self._set_disabled(project_id, disabled=True)

    async def enable_project(self, project_id: str) -> None:
        """Enable a project that is disabled: its tokens that have not expired are valid again.

        Raises:
            NotFound: no project has this id.
        """
        await self._set_disabled(project_id, disabled=False)

    async def delete_project(self, project_id: str, *, validate_only: bool = False) -> DeletedProject:
        """Delete a project for good, with its sessions, secrets, roles and revocations; its tokens become invalid.

        Args:
            project_id: the project; there is no default.
            validate_only: count what would be deleted, and delete nothing.

        Returns:
            How much was deleted, or would be.

        Raises:
            NotFound: no project has this id.
        """
        request = project_pb2.DeleteProjectRequest(
            project_id=arguments.text("project_id", project_id),
            validate_only=arguments.instance("validate_only", validate_only, bool),
        )
        answer = await call(self.projects.DeleteProject, request)
        return convert_message(answer, DeletedProject)

    async def _set_disabled(self, project_id: str, *, disabled: bool) -> None:
        project = project_pb2.Project(project_id=arguments.text("project_id", project_id), disabled=disabled)
        request = project_pb2.UpdateProjectRequest(project=project, update_mask=FieldMask(paths=["disabled"]))
        await call(self.projects.UpdateProject, request)

    def _project(self, project_id: str) -> str:
        return arguments.text("project_id", project_id) or self.project_id

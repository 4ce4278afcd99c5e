"""Read the projects and roles of an authority as values of the domain, and make one planned change of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Final, cast

import attrs

from google.protobuf.field_mask_pb2 import FieldMask

from tokenauthority.cli.calls import fetch_items
from tokenauthority.cli.failures import Failure
from tokenauthority.cli.output import human, record
from tokenauthority.cli.projects import set_fields
from tokenauthority.client import Authority, requests
from tokenauthority.declaration.plan import ActualProject, PlannedChange, Verb
from tokenauthority.declaration.written import as_written
from tokenauthority.domain.credential import Credential, CredentialKind
from tokenauthority.domain.profile import RealTimeServer
from tokenauthority.domain.project import Project
from tokenauthority.domain.role import Permission, Role
from tokenauthority.domain.times import Millis, Seconds
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.v1 import project_pb2, role_pb2


_NOT_AT_CREATION: Final = {"platform_url": "", "disabled": False}
"""Fields that CreateProject does not take, with the values that it gives them."""


def read_projects(client: Authority, roles_of: Collection[str] | None = None) -> dict[str, ActualProject]:
    """Return all projects that the caller may see, by id, with the roles of those in *roles_of*; None is all."""
    request = project_pb2.ListProjectsRequest()
    found = fetch_items(client.projects.ListProjects, request, lambda page: page.projects)
    return {
        each.project_id: ActualProject(
            to_project(each),
            _read_roles(client, each.project_id) if roles_of is None or each.project_id in roles_of else (),
        )
        for each in found
    }


def make_change(client: Authority, change: PlannedChange) -> None:
    """Create, change or delete one project or role.

    What has changed since the plan was made, in the fields that the plan changes or deletes, is a Failure: nobody has
    seen what would be overwritten.
    """
    match change:
        case PlannedChange(verb=Verb.CREATE, after=Project() as project):
            _create_project(client, change, project)
        case PlannedChange(verb=Verb.CHANGE, after=Project() as project):
            _require_unchanged(change, _get_project(client, change.name))
            _update_project(client, project, [field.name for field in change.fields])
        case PlannedChange(verb=Verb.DELETE, before=Project()):
            _require_same(change, _get_project(client, change.name))
            client.projects.DeleteProject(project_pb2.DeleteProjectRequest(project_id=change.name))
        case PlannedChange(verb=Verb.CREATE, after=Role() as role):
            create = role_pb2.CreateRoleRequest(
                project_id=role.project_id, name=role.name, description=role.description
            )
            create.permissions.extend(requests.permissions("permissions", role.permissions))
            client.roles.CreateRole(create)
        case PlannedChange(verb=Verb.CHANGE, after=Role() as role):
            _require_unchanged(change, _get_role(client, role))
            _update_role(client, role, [field.name for field in change.fields])
        case PlannedChange(verb=Verb.DELETE, before=Role() as role):
            _require_same(change, _get_role(client, role))
            client.roles.DeleteRole(role_pb2.DeleteRoleRequest(project_id=role.project_id, name=role.name))
        case _:
            raise AssertionError(f"no change of a project or a role: {change}")


def _create_project(client: Authority, change: PlannedChange, project: Project) -> None:
    names = [field.name for field in change.fields]
    request = project_pb2.CreateProjectRequest(project_id=project.project_id)
    set_fields(request, _values(project, [name for name in names if name not in _NOT_AT_CREATION]))
    client.projects.CreateProject(request)
    later = [name for name in names if name in _NOT_AT_CREATION and getattr(project, name) != _NOT_AT_CREATION[name]]
    if later:
        _update_project(client, project, later)


def _update_project(client: Authority, project: Project, names: list[str]) -> None:
    message = project_pb2.Project(project_id=project.project_id)
    set_fields(message, _values(project, names))
    request = project_pb2.UpdateProjectRequest(project=message, update_mask=FieldMask(paths=names))
    client.projects.UpdateProject(request)


def _update_role(client: Authority, role: Role, names: list[str]) -> None:
    request = role_pb2.UpdateRoleRequest(
        project_id=role.project_id, name=role.name, description=role.description, update_mask=FieldMask(paths=names)
    )
    request.permissions.extend(requests.permissions("permissions", role.permissions))
    client.roles.UpdateRole(request)


def _values(project: Project, names: list[str]) -> Mapping[str, object]:
    values = {name: getattr(project, name) for name in names}
    return {name: timedelta(seconds=value) if name.endswith("_ttl") else value for name, value in values.items()}


def _require_unchanged(change: PlannedChange, now: Project | Role) -> None:
    for field in change.fields:
        value = as_written(getattr(now, field.name))
        if value != field.old:
            raise Failure(f"{field.name} has changed since the plan was made, and is {human(value)}: apply again")


def _require_same(change: PlannedChange, now: Project | Role) -> None:
    if now != change.before:
        raise Failure("it has changed since the plan was made: apply again")


def _get_project(client: Authority, project_id: str) -> Project:
    return to_project(client.projects.GetProject(project_pb2.GetProjectRequest(project_id=project_id)).project)


def _get_role(client: Authority, role: Role) -> Role:
    request = role_pb2.GetRoleRequest(project_id=role.project_id, name=role.name)
    return to_role(client.roles.GetRole(request).role)


def _read_roles(client: Authority, project_id: str) -> tuple[Role, ...]:
    request = role_pb2.ListRolesRequest(project_id=project_id)
    found = fetch_items(client.roles.ListRoles, request, lambda page: page.roles)
    return tuple(to_role(each) for each in found if not each.built_in)


def to_project(message: project_pb2.Project) -> Project:
    """Return a project as a value of the domain; raise Failure for a value that this version does not know."""
    values = record(message)
    try:
        default_format = TokenFormat(str(values["default_format"]).upper())
        claims_for = tuple(RealTimeServer(each.upper()) for each in cast("list[str]", values["claims_for"]))
    except ValueError:
        raise Failure(f"project {message.project_id} has a default_format or claims_for of another version") from None
    return Project(
        project_id=message.project_id,
        display_name=message.display_name,
        default_format=default_format,
        default_ttl=Seconds(message.default_ttl.seconds),
        max_ttl=Seconds(message.max_ttl.seconds),
        external_sessions=message.external_sessions,
        create_time=Millis(message.create_time.ToMilliseconds()),
        vonage_application_id=message.vonage_application_id or None,
        platform_url=message.platform_url,
        claims_for=claims_for,
        disabled=message.disabled,
        credentials=tuple(map(_to_credential, message.secrets)),
    )


def _to_credential(secret: project_pb2.ProjectSecret) -> Credential:
    """Return a secret without its value, which the authority does not show."""
    return Credential(
        credential_id=secret.secret_id,
        kind=CredentialKind.SECRET,
        create_time=Millis(secret.create_time.ToMilliseconds()),
        sealed=b"",
    )


def to_role(message: role_pb2.Role) -> Role:
    """Return a role as a value of the domain; raise Failure for a value that this version does not know."""
    try:
        permissions = tuple(map(Permission, cast("list[str]", record(message)["permissions"])))
    except ValueError:
        raise Failure(f"role {message.name} has a permission of another version") from None
    role = Role(name=message.name, project_id=message.project_id, permissions=permissions)
    return attrs.evolve(role, description=message.description)

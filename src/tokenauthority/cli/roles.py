"""Create, show, list, change and delete the roles of a project: `tokenauthority roles`."""

from __future__ import annotations

from typing import Final

import click

from tokenauthority.cli.calls import authority, limit_option, show_message, show_pages
from tokenauthority.cli.options import Group
from tokenauthority.cli.values import PERMISSIONS
from tokenauthority.client import requests
from tokenauthority.v1 import role_pb2


_COLUMNS: Final = ("name", "permissions", "description", "built_in", "update_time")
_DESCRIPTION: Final = "For people; at most 256 characters."


@click.group(cls=Group)
def roles() -> None:
    """Create, show, change and delete the roles that a project defines: named sets of permissions."""


@roles.command("create")
@click.argument("name")
@click.option(
    "--permission", "permissions", type=PERMISSIONS, multiple=True, required=True, help="May be repeated; at least one."
)
@click.option("--description", default="", metavar="TEXT", help=_DESCRIPTION)
def create_role(name: str, permissions: tuple[str, ...], description: str) -> None:
    """Define the role NAME: 1 to 63 of a-z, 0-9, - and _, of which the first is a letter."""
    with authority() as client:
        request = role_pb2.CreateRoleRequest(
            project_id=client.project_id,
            name=name,
            permissions=requests.permissions("permissions", permissions),
            description=description,
        )
        show_message(client.roles.CreateRole(request).role)


@roles.command("list")
@limit_option
def list_roles(limit: int) -> None:
    """List the built-in roles, then those of the project by name."""
    with authority() as client:
        request = role_pb2.ListRolesRequest(project_id=client.project_id)
        show_pages(client.roles.ListRoles, request, lambda page: page.roles, limit, _COLUMNS)


@roles.command("show")
@click.argument("name")
def show_role(name: str) -> None:
    """Show one role."""
    with authority() as client:
        show_message(client.roles.GetRole(role_pb2.GetRoleRequest(project_id=client.project_id, name=name)).role)


@roles.command("update")
@click.argument("name")
@click.option("--permission", "permissions", type=PERMISSIONS, multiple=True, help="All that it has from now on.")
@click.option("--description", metavar="TEXT", help=_DESCRIPTION)
def update_role(name: str, permissions: tuple[str, ...], description: str | None) -> None:
    """Change what the options name of one role. Tokens that were made before do not change."""
    if not permissions and description is None:
        raise click.UsageError("nothing to change: give --permission or --description")
    with authority() as client:
        request = role_pb2.UpdateRoleRequest(project_id=client.project_id, name=name)
        if permissions:
            request.permissions.extend(requests.permissions("permissions", permissions))
            request.update_mask.paths.append("permissions")
        if description is not None:
            request.description = description
            request.update_mask.paths.append("description")
        show_message(client.roles.UpdateRole(request).role)


@roles.command("delete")
@click.argument("name")
def delete_role(name: str) -> None:
    """Delete one role. Tokens that were made before have its permissions."""
    with authority() as client:
        request = role_pb2.DeleteRoleRequest(project_id=client.project_id, name=name)
        show_message(client.roles.DeleteRole(request))

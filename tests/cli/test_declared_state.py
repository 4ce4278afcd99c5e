"""What an authority has is read whole, or the command ends."""

from __future__ import annotations

import pytest

from tests.support.authority import RunningAuthority
from tokenauthority.cli.declared_state import make_change, read_projects, to_project, to_role
from tokenauthority.cli.failures import Failure
from tokenauthority.client import Authority
from tokenauthority.declaration.plan import PlannedChange, Verb
from tokenauthority.v1 import project_pb2, role_pb2


def test_a_value_of_a_newer_version_is_an_error() -> None:
    """It could neither be shown nor compared."""
    with pytest.raises(Failure, match="project 47 has a default_format or claims_for of another version"):
        to_project(project_pb2.Project(project_id="47", default_format=99))  # type: ignore[arg-type]  # a newer one
    with pytest.raises(Failure, match="project 47 has a default_format or claims_for of another version"):
        to_project(project_pb2.Project(project_id="47", default_format=1, claims_for=[99]))  # type: ignore[arg-type, list-item]  # likewise
    with pytest.raises(Failure, match="role a has a permission of another version"):
        to_role(role_pb2.Role(name="a", permissions=[99]))  # type: ignore[list-item]  # likewise


def test_roles_are_read_only_where_they_are_declared(running_authority: RunningAuthority) -> None:
    """So a caller without the right to others can apply its own."""
    environment = running_authority.environment
    with Authority(running_authority.address, api_key=running_authority.api_key, plaintext=True) as client:
        project_id = environment["TOKENAUTHORITY_PROJECT_ID"]
        request = role_pb2.CreateRoleRequest(project_id=project_id, name="a", permissions=[role_pb2.PERMISSION_PUBLISH])
        client.roles.CreateRole(request)

        assert () == read_projects(client, [])[project_id].roles
        assert ["a"] == [role.name for role in read_projects(client)[project_id].roles]
        with pytest.raises(AssertionError):
            make_change(client, PlannedChange(verb=Verb.BY_HAND, kind="project", name="47"))

"""What a role permits is what VerifyToken requires, in each language."""

from __future__ import annotations

import pytest

from clients.interop.client import Client
from clients.interop.rpcs import new_role, new_session
from tokenauthority.domain.role import BUILT_IN_ROLES, Permission


ALL = sorted(permission.value for permission in Permission)
BUILT_IN = {role.name: {permission.value for permission in role.permissions} for role in BUILT_IN_ROLES.values()}


def permitted(client: Client, role: str) -> set[str]:
    """The permissions with which a token of *role* is active, asked for one by one."""
    driver, session_id = client.driver(), new_session(client).session_id
    token = driver.ok("generate_token", session_id=session_id, via="session", options={"role": role})["token"]
    found = {name: driver.ok("verify_token", token=token, required_permissions=[name]) for name in ALL}
    assert {"", "PERMISSION_MISSING"} >= {answer["reason"] for answer in found.values()}
    return {name for name, answer in found.items() if answer["active"]}


@pytest.mark.parametrize("role", BUILT_IN)
def test_a_built_in_role_permits_what_it_says(client: Client, role: str) -> None:
    """And nothing else."""
    assert BUILT_IN[role] == permitted(client, role)


def test_a_role_of_the_project_permits_what_it_says(client: Client) -> None:
    """Made by the same client."""
    assert {"publish", "signal"} == permitted(client, new_role(client).name)


def test_all_permissions_are_required(client: Client) -> None:
    """One that is missing is enough."""
    driver, session_id = client.driver(), new_session(client).session_id
    token = driver.ok("generate_token", session_id=session_id, via="session", options={"role": "publisher"})["token"]

    found = driver.ok("verify_token", token=token, required_permissions=["publish", "force_mute"])

    assert (False, "PERMISSION_MISSING") == (found["active"], found["reason"])

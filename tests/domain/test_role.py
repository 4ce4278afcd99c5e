"""Roles: the built-in ones as OpenTok has them, and what a project may define."""

from __future__ import annotations

from typing import Any

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from tokenauthority.domain.role import BUILT_IN_ROLES, Permission, Role, in_order, role_violations


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("subscriber", {"subscribe"}),
        ("publisher", {"subscribe", "publish", "signal"}),
        ("publisheronly", {"publish"}),
        ("moderator", {"subscribe", "publish", "signal", "force_disconnect", "force_unpublish", "force_mute"}),
    ],
)
def test_built_in_roles_permit_what_opentok_says(name: str, expected: set[str]) -> None:
    """The table of capabilities of the OpenTok model."""
    assert expected == {permission.value for permission in BUILT_IN_ROLES[name].permissions}


def test_there_are_four_built_in_roles_that_belong_to_no_project() -> None:
    """Every project has them."""
    assert {"subscriber", "publisher", "publisheronly", "moderator"} == set(BUILT_IN_ROLES)
    assert all(role.built_in and role.create_time is None for role in BUILT_IN_ROLES.values())


@settings(deadline=None)
@given(st.lists(st.sampled_from(Permission)))
def test_permissions_stand_once_in_the_order_of_the_enum(permissions: list[Permission]) -> None:
    """However they are asked for, they are kept in one way."""
    ordered = in_order(permissions)

    assert set(permissions) == set(ordered)
    assert sorted(ordered, key=list(Permission).index) == list(ordered)
    assert len(set(ordered)) == len(ordered)


def make_role(**values: Any) -> Role:
    """A role of a project, well made but for *values*."""
    good: dict[str, Any] = {"name": "host", "permissions": (Permission.PUBLISH,), "project_id": "1"}
    return Role(**{**good, **values})


@pytest.mark.parametrize("values", [{}, {"name": "a" * 63}, {"description": "\N{GRINNING FACE}" * 256}], ids=repr)
def test_takes_what_is_at_the_limit(values: dict[str, Any]) -> None:
    """Legal roles are legal."""
    assert [] == role_violations(make_role(**values))


def test_names_every_invalid_field_at_once() -> None:
    """A name, permissions and a description that cannot be are all named."""
    bad = role_violations(make_role(name="a" * 64, permissions=(), description="x" * 257))

    assert ["name", "permissions", "description"] == [violation.field for violation in bad]


def test_refuses_text_that_a_store_cannot_hold() -> None:
    """U+0000 would be refused by PostgreSQL, as an error of ours."""
    assert ["description"] == [violation.field for violation in role_violations(make_role(description="a\x00b"))]

"""RoleService: four roles that nobody changes, and those that a project defines."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import grpc
import pytest

from google.protobuf.field_mask_pb2 import FieldMask

from tests.service.api import FORCE_MUTE, PUBLISH, SIGNAL, SUBSCRIBE, Api, Connect, failure, reason_of
from tests.service.conftest import AWAY, HOME, NOW, NOWHERE
from tests.support.authority import Clock
from tokenauthority.domain.role import BUILT_IN_ROLES
from tokenauthority.domain.times import Millis
from tokenauthority.v1 import role_pb2, token_pb2


Permissions = list[role_pb2.Permission.ValueType]


def create(
    api: Api, project_id: str, name: str, *permissions: role_pb2.Permission.ValueType, **more: str
) -> role_pb2.Role:
    """A role just defined."""
    request = role_pb2.CreateRoleRequest(project_id=project_id, name=name, permissions=permissions, **more)
    return api.roles.CreateRole(request).role


def get(api: Api, project_id: str, name: str) -> role_pb2.Role:
    """A role as it is shown."""
    return api.roles.GetRole(role_pb2.GetRoleRequest(project_id=project_id, name=name)).role


def update(
    api: Api, project_id: str, name: str, *paths: str, permissions: Permissions | None = None, description: str = ""
) -> role_pb2.Role:
    """A role, changed; without paths the mask is unset."""
    request = role_pb2.UpdateRoleRequest(
        project_id=project_id, name=name, permissions=permissions or [], description=description
    )
    if paths:
        request.update_mask.CopyFrom(FieldMask(paths=paths))
    return api.roles.UpdateRole(request).role


def delete(api: Api, project_id: str, name: str) -> object:
    """Delete a role."""
    return api.roles.DeleteRole(role_pb2.DeleteRoleRequest(project_id=project_id, name=name))


def test_every_project_has_the_built_in_roles_first(api: Api, project_id: str) -> None:
    """Then its own, by name."""
    for name in ("zebra", "host", "a"):
        create(api, project_id, name, PUBLISH)

    roles = api.roles.ListRoles(role_pb2.ListRolesRequest(project_id=project_id)).roles

    assert [*BUILT_IN_ROLES, "a", "host", "zebra"] == [role.name for role in roles]
    assert [True] * 4 + [False] * 3 == [role.built_in for role in roles]


@pytest.mark.parametrize("name", list(BUILT_IN_ROLES))
def test_shows_a_built_in_role(api: Api, project_id: str, name: str) -> None:
    """It has its permissions, no project and no times."""
    permissions = [role_pb2.Permission.Value(f"PERMISSION_{p.name}") for p in BUILT_IN_ROLES[name].permissions]

    assert role_pb2.Role(name=name, permissions=permissions, built_in=True) == get(api, project_id, name)


def test_a_role_is_kept_as_it_was_defined(api: Api, project_id: str, clock: Clock) -> None:
    """Its permissions stand once each, in the order of the enum."""
    made = create(api, project_id, "host", FORCE_MUTE, SUBSCRIBE, FORCE_MUTE, description="runs the room ✓")

    assert made == get(api, project_id, "host")
    assert ("host", project_id, "runs the room ✓", False) == (
        made.name,
        made.project_id,
        made.description,
        made.built_in,
    )
    assert [SUBSCRIBE, FORCE_MUTE] == list(made.permissions)
    assert NOW == made.create_time.ToMilliseconds() == made.update_time.ToMilliseconds()


def test_a_role_of_one_project_is_none_of_another(api: Api, project_id: str) -> None:
    """Names are the project's own."""
    create(api, project_id, "host", PUBLISH)

    assert grpc.StatusCode.NOT_FOUND == failure(lambda: get(api, AWAY, "host")).code


def test_names_every_invalid_field_at_once(api: Api, project_id: str) -> None:
    """A role that cannot be."""
    failed = failure(lambda: create(api, project_id, "Host!", description="x" * 257))

    assert (grpc.StatusCode.INVALID_ARGUMENT, ["name", "permissions", "description"]) == (failed.code, failed.fields)


def test_names_what_cannot_be_read_with_all_else(api: Api, project_id: str) -> None:
    """A project id, a permission and a mask that there is not, together with what is too long."""
    create = role_pb2.CreateRoleRequest(project_id="x", name="Host!", description="x" * 257)
    create.permissions.append(99)  # type: ignore[arg-type]  # a number that no permission has
    update = role_pb2.UpdateRoleRequest(project_id="x", name="Host!", description="x" * 257)
    update.permissions.append(99)  # type: ignore[arg-type]  # as above
    update.update_mask.paths.extend(["permissions", "description", "name"])

    failures = [failure(lambda: api.roles.CreateRole(create)), failure(lambda: api.roles.UpdateRole(update))]

    assert [
        ["description", "name", "permissions[0]", "project_id"],
        ["description", "name", "permissions[0]", "project_id", "update_mask"],
    ] == [sorted(failed.fields) for failed in failures]


def test_a_project_outside_the_grant_goes_before_what_is_wrong(connect: Connect) -> None:
    """PERMISSION_DENIED, however malformed the rest is."""
    request = role_pb2.CreateRoleRequest(project_id=AWAY, name="Host!")

    assert grpc.StatusCode.PERMISSION_DENIED == failure(lambda: connect("home").roles.CreateRole(request)).code


@pytest.mark.parametrize("permission", [0, 99])
def test_refuses_a_permission_that_there_is_not(api: Api, project_id: str, permission: int) -> None:
    """UNSPECIFIED is none either."""
    request = role_pb2.CreateRoleRequest(project_id=project_id, name="host", permissions=[PUBLISH])
    request.permissions.append(permission)  # type: ignore[arg-type]  # as above

    assert ["permissions[1]"] == failure(lambda: api.roles.CreateRole(request)).fields


@pytest.mark.parametrize("name", ["host", "moderator"])
def test_a_name_that_is_taken_is_refused(api: Api, project_id: str, name: str) -> None:
    """ALREADY_EXISTS, also for a built-in role."""
    create(api, project_id, "host", PUBLISH)

    failed = failure(lambda: create(api, project_id, name, PUBLISH))

    assert (grpc.StatusCode.ALREADY_EXISTS, "ROLE_EXISTS", ("role", name)) == (*failed.outcome, failed.resource)


def test_a_project_has_at_most_100_roles(api: Api, project_id: str) -> None:
    """The hundredth is made, the next one is not until one is deleted."""
    for number in range(100):
        create(api, project_id, f"r{number}", PUBLISH)

    failed = failure(lambda: create(api, project_id, "r100", PUBLISH))
    delete(api, project_id, "r0")

    assert (grpc.StatusCode.FAILED_PRECONDITION, "ROLE_LIMIT") == failed.outcome
    assert ("ROLE_LIMIT", project_id) == failed.precondition
    assert "r100" == create(api, project_id, "r100", PUBLISH).name


def test_the_mask_says_what_changes(api: Api, project_id: str, clock: Clock) -> None:
    """What is not in it stays."""
    made = create(api, project_id, "host", PUBLISH, description="before")
    clock.fixed = Millis(NOW + 5)
    described = update(api, project_id, "host", "description", permissions=[SIGNAL], description="after")
    permitted = update(api, project_id, "host", "permissions", permissions=[SIGNAL], description="never")
    cleared = update(api, project_id, "host", "description")

    assert ([PUBLISH], "after") == (list(described.permissions), described.description)
    assert ([SIGNAL], "after") == (list(permitted.permissions), permitted.description)
    assert "" == cleared.description
    assert (made.create_time, NOW + 5) == (cleared.create_time, cleared.update_time.ToMilliseconds())
    assert cleared == get(api, project_id, "host")


def test_without_a_mask_what_is_set_changes(api: Api, project_id: str) -> None:
    """And nothing else."""
    create(api, project_id, "host", PUBLISH, description="before")
    permitted = update(api, project_id, "host", permissions=[SIGNAL])
    described = update(api, project_id, "host", description="after")

    assert ([SIGNAL], "before") == (list(permitted.permissions), permitted.description)
    assert ([SIGNAL], "after") == (list(described.permissions), described.description)


def test_refuses_an_update_that_changes_nothing_or_something_else(api: Api, project_id: str) -> None:
    """The mask names what there is; a role keeps at least one permission."""
    create(api, project_id, "host", PUBLISH)

    assert ["update_mask"] == failure(lambda: update(api, project_id, "host")).fields
    assert ["update_mask"] == failure(lambda: update(api, project_id, "host", "name", "description")).fields
    assert ["permissions"] == failure(lambda: update(api, project_id, "host", "permissions")).fields


@pytest.mark.parametrize("name", list(BUILT_IN_ROLES))
def test_a_built_in_role_cannot_be_changed(api: Api, project_id: str, name: str) -> None:
    """Neither updated nor deleted."""
    calls: list[Callable[[], object]] = [
        partial(update, api, project_id, name, description="x"),
        partial(delete, api, project_id, name),
    ]

    failures = [failure(call) for call in calls]

    expected = (grpc.StatusCode.FAILED_PRECONDITION, "ROLE_BUILT_IN", ("ROLE_BUILT_IN", name))
    assert [expected] * 2 == [(*failed.outcome, failed.precondition) for failed in failures]


def test_a_role_in_a_callers_grant_cannot_be_deleted(api: Api, project_id: str) -> None:
    """In the projects of that grant; elsewhere it can."""
    create(api, HOME, "cameraman", PUBLISH)
    create(api, project_id, "cameraman", PUBLISH)

    failed = failure(lambda: delete(api, HOME, "cameraman"))
    delete(api, project_id, "cameraman")

    assert (grpc.StatusCode.FAILED_PRECONDITION, "ROLE_IN_USE") == failed.outcome
    assert ("ROLE_IN_USE", "cameraman") == failed.precondition
    assert "cameraman" == get(api, HOME, "cameraman").name
    assert grpc.StatusCode.NOT_FOUND == failure(lambda: get(api, project_id, "cameraman")).code


def test_get_update_and_delete_of_a_role_that_there_is_not(api: Api, project_id: str) -> None:
    """NOT_FOUND, with the role."""
    calls: list[Callable[[], object]] = [
        partial(get, api, project_id, "absent"),
        partial(update, api, project_id, "absent", description="x"),
        partial(delete, api, project_id, "absent"),
    ]

    failures = [failure(call) for call in calls]

    expected = (grpc.StatusCode.NOT_FOUND, "ROLE_NOT_FOUND", ("role", "absent"))
    assert [expected] * 3 == [(*failed.outcome, failed.resource) for failed in failures]


@pytest.mark.parametrize("name", ["", "No Role", "x" * 20_000], ids=len)
def test_what_no_role_can_be_called_is_malformed(api: Api, project_id: str, name: str) -> None:
    """INVALID_ARGUMENT in every call, without repeating the text."""
    calls: list[Callable[[], object]] = [
        partial(get, api, project_id, name),
        partial(create, api, project_id, name, PUBLISH),
        partial(update, api, project_id, name, description="x"),
        partial(delete, api, project_id, name),
    ]

    failures = [failure(call) for call in calls]

    assert [(grpc.StatusCode.INVALID_ARGUMENT, ["name"])] * 4 == [(failed.code, failed.fields) for failed in failures]
    assert max(len(failed.message) for failed in failures) < 200


@pytest.mark.parametrize(
    ("caller", "project", "expected"),
    [
        ("tester", NOWHERE, (grpc.StatusCode.NOT_FOUND, "PROJECT_NOT_FOUND")),
        ("tester", "", (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")),
        ("home", NOWHERE, (grpc.StatusCode.PERMISSION_DENIED, "PROJECT_NOT_GRANTED")),
        ("home", AWAY, (grpc.StatusCode.PERMISSION_DENIED, "PROJECT_NOT_GRANTED")),
    ],
)
def test_every_call_is_about_a_project_of_the_grant(
    connect: Connect, caller: str, project: str, expected: tuple[grpc.StatusCode, str]
) -> None:
    """Outside the grant it makes no difference whether it exists."""
    called = connect(caller)
    calls: list[Callable[[], object]] = [
        partial(get, called, project, "host"),
        partial(create, called, project, "host", PUBLISH),
        partial(update, called, project, "host", description="x"),
        partial(delete, called, project, "host"),
        lambda: called.roles.ListRoles(role_pb2.ListRolesRequest(project_id=project)),
    ]

    assert [expected] * 5 == [failure(call).outcome for call in calls]


class TestTokens:
    """What custom roles mean for tokens."""

    def test_they_go_into_the_native_format_alone(self, api: Api, project_id: str, session_id: str) -> None:
        """The other formats have no place for their permissions."""
        create(api, project_id, "host", SUBSCRIBE, FORCE_MUTE)
        verdict = api.verify(api.generate(session_id, role="host").token, required=[FORCE_MUTE])
        others = (
            token_pb2.TOKEN_FORMAT_OPENTOK_T1,
            token_pb2.TOKEN_FORMAT_OPENTOK_JWT,
            token_pb2.TOKEN_FORMAT_VONAGE_JWT,
        )

        calls: list[Callable[[], object]] = [
            partial(api.generate, session_id, role="host", format=other) for other in others
        ]

        failures = [failure(call) for call in calls]

        assert "ACTIVE" == reason_of(verdict)
        assert ("host", [SUBSCRIBE, FORCE_MUTE]) == (verdict.claims.role, list(verdict.claims.permissions))
        assert [(grpc.StatusCode.INVALID_ARGUMENT, ["request.role"])] * 3 == [(f.code, f.fields) for f in failures]

    def test_tokens_keep_the_permissions_that_they_were_made_with(
        self, api: Api, project_id: str, session_id: str
    ) -> None:
        """A changed role is for new tokens, a deleted one for none."""
        create(api, project_id, "host", PUBLISH)
        before = api.generate(session_id, role="host").token
        update(api, project_id, "host", permissions=[SIGNAL])
        after = api.generate(session_id, role="host").token
        delete(api, project_id, "host")

        permissions = [list(api.verify(token).claims.permissions) for token in (before, after)]

        assert [[PUBLISH], [SIGNAL]] == permissions
        assert ["ACTIVE"] * 2 == [reason_of(api.verify(token)) for token in (before, after)]
        assert "ROLE_NOT_FOUND" == failure(lambda: api.generate(session_id, role="host")).reason

"""One way to each error reason that a caller can cause. Whoever adds a reason adds one, or says why there is none."""

from __future__ import annotations

import uuid

from collections.abc import Callable
from typing import Final, TypeAlias

from google.protobuf.field_mask_pb2 import FieldMask

from clients.interop.client import Client
from clients.interop.driver import Failure
from clients.interop.rpcs import new_role, new_session
from clients.interop.world import FOREIGN_PROJECT, FULL_PROJECT, HELD_ROLE
from tests.support.authority import absent_session
from tokenauthority.callers.api_keys import new_api_key
from tokenauthority.v1 import key_pb2, project_pb2, role_pb2, session_pb2


Cause: TypeAlias = Callable[[Client], Failure]

CAUSES: Final[dict[tuple[str, str], Cause]] = {}
"""Each status and reason, with a function that causes it."""

OF_THE_SERVER: Final = {
    "ADDRESS_THROTTLED",
    "AUDIT_UNAVAILABLE",
    "CALLERS_CHANGED",
    "CONCURRENCY_LIMIT",
    "DRAINING",
    "INTERNAL",
    "MEMORY_LIMIT",
    "PLATFORM_REFUSED",
    "PLATFORM_UNAVAILABLE",
    "READER_TOO_SLOW",
    "REVOCATION_LIMIT",
    "SEAL_BROKEN",
    "SIGNING_KEY_ENDED",
    "SIGNING_UNAVAILABLE",
    "STORE_UNAVAILABLE",
    "TURN_UNAVAILABLE",
}
"""What a server says of its own state, of the load of all callers or of a platform; its own tests cause these."""

OF_THE_CLIENT: Final = {"DEADLINE_EXCEEDED", "UNIMPLEMENTED"}
"""What a client finds itself before the server can say it: that time is up, and which methods there are."""

ABSENT_PROJECT: Final = "45000001"


def cause(code: str, reason: str) -> Callable[[Cause], Cause]:
    """Register what causes *reason*."""

    def register(function: Cause) -> Cause:
        CAUSES[code, reason] = function
        return function

    return register


def _refused_token(client: Client, caller: str = "backend", **options: object) -> Failure:
    session_id = new_session(client).session_id
    return client.driver(caller).failure("generate_token", session_id=session_id, via="authority", options=options)


@cause("UNAUTHENTICATED", "CREDENTIAL_INVALID")
def _credential_invalid(client: Client) -> Failure:
    with client.started(client.world.environment(API_KEY=new_api_key())) as driver:
        return driver.failure("create_session", options={})


@cause("PERMISSION_DENIED", "ACTION_NOT_GRANTED")
def _action_not_granted(client: Client) -> Failure:
    request = role_pb2.ListRolesRequest(project_id=client.project_id)
    return client.refusal("RoleService/ListRoles", request, "limited")


@cause("PERMISSION_DENIED", "PROJECT_NOT_GRANTED")
def _project_not_granted(client: Client) -> Failure:
    request = session_pb2.CreateSessionRequest(project_id=FOREIGN_PROJECT)
    return client.refusal("SessionService/CreateSession", request, "limited")


@cause("PERMISSION_DENIED", "ROLE_NOT_GRANTED")
def _role_not_granted(client: Client) -> Failure:
    return _refused_token(client, "limited", role="moderator")


@cause("PERMISSION_DENIED", "FORMAT_NOT_GRANTED")
def _format_not_granted(client: Client) -> Failure:
    return _refused_token(client, "limited", format="opentok_t1")


@cause("PERMISSION_DENIED", "LIFETIME_NOT_GRANTED")
def _lifetime_not_granted(client: Client) -> Failure:
    return _refused_token(client, "limited", ttl=7200)


@cause("NOT_FOUND", "PROJECT_NOT_FOUND")
def _project_not_found(client: Client) -> Failure:
    return client.refusal("ProjectService/GetProject", project_pb2.GetProjectRequest(project_id=ABSENT_PROJECT))


@cause("NOT_FOUND", "SESSION_NOT_FOUND")
def _session_not_found(client: Client) -> Failure:
    return client.driver().failure("end_session", session_id=absent_session(client.project_id))


@cause("NOT_FOUND", "ROLE_NOT_FOUND")
def _role_not_found(client: Client) -> Failure:
    return _refused_token(client, role="no-such-role")


@cause("NOT_FOUND", "KEY_NOT_FOUND")
def _key_not_found(client: Client) -> Failure:
    return client.refusal("KeyService/RevokeSigningKey", key_pb2.RevokeSigningKeyRequest(key_id="x" * 43))


@cause("NOT_FOUND", "SECRET_NOT_FOUND")
def _secret_not_found(client: Client) -> Failure:
    request = project_pb2.RetireProjectSecretRequest(project_id=client.project_id, secret_id="no-such-secret")
    return client.refusal("ProjectService/RetireProjectSecret", request)


@cause("ALREADY_EXISTS", "PROJECT_EXISTS")
def _project_exists(client: Client) -> Failure:
    return client.refusal("ProjectService/CreateProject", project_pb2.CreateProjectRequest(project_id=FOREIGN_PROJECT))


@cause("ALREADY_EXISTS", "ROLE_EXISTS")
def _role_exists(client: Client) -> Failure:
    name = new_role(client).name
    request = role_pb2.CreateRoleRequest(
        project_id=client.project_id, name=name, permissions=[role_pb2.PERMISSION_SUBSCRIBE]
    )
    return client.refusal("RoleService/CreateRole", request)


@cause("ALREADY_EXISTS", "SESSION_EXISTS")
def _session_exists(client: Client) -> Failure:
    request = session_pb2.CreateSessionRequest(project_id=client.project_id, name=client.new_name("twice-"))
    client.call("SessionService/CreateSession", request, session_pb2.CreateSessionResponse)
    return client.refusal("SessionService/CreateSession", request)


@cause("ALREADY_EXISTS", "REQUEST_ID_REUSED")
def _request_id_reused(client: Client) -> Failure:
    request = session_pb2.CreateSessionRequest(project_id=client.project_id, request_id=str(uuid.uuid4()))
    client.call("SessionService/CreateSession", request, session_pb2.CreateSessionResponse)
    request.media_mode = session_pb2.MEDIA_MODE_ROUTED
    return client.refusal("SessionService/CreateSession", request)


@cause("FAILED_PRECONDITION", "SESSION_ENDED")
def _session_ended(client: Client) -> Failure:
    session_id = new_session(client).session_id
    client.driver().ok("end_session", session_id=session_id)
    return client.driver().failure("generate_token", session_id=session_id, via="session", options={})


@cause("FAILED_PRECONDITION", "PROJECT_DISABLED")
def _project_disabled(client: Client) -> Failure:
    create = project_pb2.CreateProjectRequest()
    project = client.call("ProjectService/CreateProject", create, project_pb2.CreateProjectResponse).project
    project.disabled = True
    update = project_pb2.UpdateProjectRequest(project=project, update_mask=FieldMask(paths=["disabled"]))
    client.call("ProjectService/UpdateProject", update, project_pb2.UpdateProjectResponse)
    request = session_pb2.CreateSessionRequest(project_id=project.project_id)
    return client.refusal("SessionService/CreateSession", request)


@cause("FAILED_PRECONDITION", "FORMAT_UNAVAILABLE")
def _format_unavailable(client: Client) -> Failure:
    return _refused_token(client, format="vonage_jwt")


@cause("FAILED_PRECONDITION", "ROLE_BUILT_IN")
def _role_built_in(client: Client) -> Failure:
    request = role_pb2.DeleteRoleRequest(project_id=client.project_id, name="publisher")
    return client.refusal("RoleService/DeleteRole", request)


@cause("FAILED_PRECONDITION", "ROLE_IN_USE")
def _role_in_use(client: Client) -> Failure:
    new_role(client, HELD_ROLE)
    request = role_pb2.DeleteRoleRequest(project_id=client.project_id, name=HELD_ROLE)
    return client.refusal("RoleService/DeleteRole", request)


@cause("FAILED_PRECONDITION", "ROLE_LIMIT")
def _role_limit(client: Client) -> Failure:
    request = role_pb2.CreateRoleRequest(
        project_id=FULL_PROJECT, name="one-more", permissions=[role_pb2.PERMISSION_PUBLISH]
    )
    return client.refusal("RoleService/CreateRole", request)


@cause("FAILED_PRECONDITION", "SECRET_COUNT")
def _secret_count(client: Client) -> Failure:
    request = project_pb2.GetProjectRequest(project_id=client.project_id)
    project = client.call("ProjectService/GetProject", request, project_pb2.GetProjectResponse).project
    last = project_pb2.RetireProjectSecretRequest(project_id=client.project_id, secret_id=project.secrets[0].secret_id)
    return client.refusal("ProjectService/RetireProjectSecret", last)


@cause("FAILED_PRECONDITION", "KEY_STATE")
def _key_state(client: Client) -> Failure:
    keys = client.call(
        "KeyService/ListSigningKeys", key_pb2.ListSigningKeysRequest(page_size=1000), key_pb2.ListSigningKeysResponse
    ).keys
    [active] = [key.key_id for key in keys if key.state == key_pb2.SIGNING_KEY_STATE_ACTIVE]
    return client.refusal("KeyService/ActivateSigningKey", key_pb2.ActivateSigningKeyRequest(key_id=active))

"""Examples of the RPCs of back ends, called with the stubs of a language: sessions, tokens and roles."""

from __future__ import annotations

import uuid

from collections.abc import Callable
from typing import Final, TypeAlias

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from clients.interop.client import Client
from tests.support.turn import URLS, password_of
from tokenauthority.v1 import role_pb2, session_pb2, token_pb2


Example: TypeAlias = Callable[[Client], None]

EXAMPLES: Final[dict[str, Example]] = {}
"""Each RPC, such as `RoleService/GetRole`, with a function that calls it and checks the answer."""

PUBLISH, SIGNAL = role_pb2.PERMISSION_PUBLISH, role_pb2.PERMISSION_SIGNAL


def example(method: str) -> Callable[[Example], Example]:
    """Register the example of *method*."""

    def register(function: Example) -> Example:
        EXAMPLES[method] = function
        return function

    return register


@example("SessionService/CreateSession")
def create_session(client: Client) -> None:
    """The answer has every option; the same request id again makes no second session."""
    request = session_pb2.CreateSessionRequest(
        project_id=client.project_id,
        media_mode=session_pb2.MEDIA_MODE_ROUTED,
        archive_mode=session_pb2.ARCHIVE_MODE_ALWAYS,
        location="192.0.2.1",
        archive_name="lesson → 1",
        archive_resolution="1280x720",
        request_id=str(uuid.uuid4()),
    )
    made = [
        client.call("SessionService/CreateSession", request, session_pb2.CreateSessionResponse).session
        for _ in range(2)
    ]
    assert made[0] == made[1]
    for field, value in request.ListFields():
        if field.name != "request_id":
            assert value == getattr(made[0], field.name), field.name


@example("SessionService/GetSession")
def get_session(client: Client) -> None:
    """The session as it was made."""
    made = new_session(client)
    request = session_pb2.GetSessionRequest(session_id=made.session_id)
    assert made == client.call("SessionService/GetSession", request, session_pb2.GetSessionResponse).session


@example("SessionService/ListSessions")
def list_sessions(client: Client) -> None:
    """Newest first, page after page."""
    made = [new_session(client).session_id for _ in range(2)]
    request = session_pb2.ListSessionsRequest(
        project_id=client.project_id, page_size=1, state=session_pb2.SESSION_STATE_ACTIVE
    )
    found = []
    for _ in made:
        page = client.call("SessionService/ListSessions", request, session_pb2.ListSessionsResponse)
        found += [session.session_id for session in page.sessions]
        request.page_token = page.next_page_token
    assert made[::-1] == found


@example("SessionService/EndSession")
def end_session(client: Client) -> None:
    """It is ENDED, with the time."""
    request = session_pb2.EndSessionRequest(session_id=new_session(client).session_id)
    ended = client.call("SessionService/EndSession", request, session_pb2.EndSessionResponse).session
    assert session_pb2.SESSION_STATE_ENDED == ended.state
    assert ended.HasField("end_time")


@example("TokenService/GenerateToken")
def generate_token(client: Client) -> None:
    """The fields of the answer are those of the token."""
    wanted = token_pb2.TokenRequest(
        session_id=new_session(client).session_id,
        role="subscriber",
        subject="alice",
        data="a",
        ttl=Duration(seconds=60),
    )
    request = token_pb2.GenerateTokenRequest(request=wanted)
    token = client.call("TokenService/GenerateToken", request, token_pb2.GenerateTokenResponse).token
    assert (wanted.session_id, client.project_id, "subscriber") == (token.session_id, token.project_id, token.role)
    assert 60 == token.expire_time.seconds - token.issue_time.seconds


@example("TokenService/BatchGenerateTokens")
def batch_generate_tokens(client: Client) -> None:
    """In the order of the request."""
    session_id = new_session(client).session_id
    roles = ["publisher", "moderator", "subscriber"]
    request = token_pb2.BatchGenerateTokensRequest(
        requests=[token_pb2.TokenRequest(session_id=session_id, role=role) for role in roles]
    )
    tokens = client.call("TokenService/BatchGenerateTokens", request, token_pb2.BatchGenerateTokensResponse).tokens
    assert roles == [token.role for token in tokens]


@example("TokenService/VerifyToken")
def verify_token(client: Client) -> None:
    """With every claim."""
    token = new_token(client)
    request = token_pb2.VerifyTokenRequest(token=token.token, required_permissions=[PUBLISH, SIGNAL])
    found = client.call("TokenService/VerifyToken", request, token_pb2.VerifyTokenResponse)
    assert found.active
    assert (token.token_id, token.expire_time) == (found.claims.token_id, found.claims.expire_time)


@example("TokenService/RevokeTokens")
def revoke_tokens(client: Client) -> None:
    """The answer is the revocation."""
    token_id = new_token(client).token_id
    request = token_pb2.RevokeTokensRequest(token_id=token_id, project_id=client.project_id, comment="lost → Zoë")
    revocation = client.call("TokenService/RevokeTokens", request, token_pb2.RevokeTokensResponse).revocation
    assert (token_id, "lost → Zoë") == (revocation.token_id, revocation.comment)


@example("TokenService/CreateTurnCredentials")
def create_turn_credentials(client: Client) -> None:
    """For the servers of the settings, with the password that these compute."""
    request = token_pb2.CreateTurnCredentialsRequest(
        session_id=new_session(client).session_id, subject="Zoë", ttl=Duration(seconds=60)
    )
    method = "TokenService/CreateTurnCredentials"
    made = client.call(method, request, token_pb2.CreateTurnCredentialsResponse).credentials
    assert (URLS, f"{made.expire_time.seconds}") == (tuple(made.urls), made.username.partition(":")[0])
    assert password_of(made.username) == made.credential


@example("RoleService/CreateRole")
def create_role(client: Client) -> None:
    """With its permissions and its description."""
    role = new_role(client)
    assert ([PUBLISH, SIGNAL], "who speaks → é") == (list(role.permissions), role.description)
    assert not role.built_in


@example("RoleService/GetRole")
def get_role(client: Client) -> None:
    """The role as it was made."""
    role = new_role(client)
    request = role_pb2.GetRoleRequest(project_id=client.project_id, name=role.name)
    assert role == client.call("RoleService/GetRole", request, role_pb2.GetRoleResponse).role


@example("RoleService/ListRoles")
def list_roles(client: Client) -> None:
    """The built-in ones too."""
    role = new_role(client)
    request = role_pb2.ListRolesRequest(project_id=client.project_id, page_size=1000)
    names = [found.name for found in client.call("RoleService/ListRoles", request, role_pb2.ListRolesResponse).roles]
    assert {role.name, "moderator", "publisher", "publisheronly", "subscriber"} <= set(names)


@example("RoleService/UpdateRole")
def update_role(client: Client) -> None:
    """Only what the mask names."""
    role = new_role(client)
    request = role_pb2.UpdateRoleRequest(
        project_id=client.project_id, name=role.name, permissions=[SIGNAL], update_mask=FieldMask(paths=["permissions"])
    )
    updated = client.call("RoleService/UpdateRole", request, role_pb2.UpdateRoleResponse).role
    assert ([SIGNAL], role.description) == (list(updated.permissions), updated.description)


@example("RoleService/DeleteRole")
def delete_role(client: Client) -> None:
    """It is gone."""
    role = new_role(client)
    request = role_pb2.DeleteRoleRequest(project_id=client.project_id, name=role.name)
    client.call("RoleService/DeleteRole", request, role_pb2.DeleteRoleResponse)
    wanted = role_pb2.GetRoleRequest(project_id=client.project_id, name=role.name)
    assert "ROLE_NOT_FOUND" == client.refusal("RoleService/GetRole", wanted).reason


def new_session(client: Client) -> session_pb2.Session:
    """Create a session."""
    request = session_pb2.CreateSessionRequest(project_id=client.project_id)
    return client.call("SessionService/CreateSession", request, session_pb2.CreateSessionResponse).session


def new_token(client: Client) -> token_pb2.Token:
    """Generate a token for a session that was just made."""
    request = token_pb2.GenerateTokenRequest(request=token_pb2.TokenRequest(session_id=new_session(client).session_id))
    return client.call("TokenService/GenerateToken", request, token_pb2.GenerateTokenResponse).token


def new_role(client: Client, name: str = "") -> role_pb2.Role:
    """Create a role that may publish and signal."""
    request = role_pb2.CreateRoleRequest(
        project_id=client.project_id,
        name=name or client.new_name("role-"),
        permissions=[PUBLISH, SIGNAL],
        description="who speaks → é",
    )
    return client.call("RoleService/CreateRole", request, role_pb2.CreateRoleResponse).role

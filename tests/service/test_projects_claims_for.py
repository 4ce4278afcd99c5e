"""Further claims of SESSION_JWT for the servers that a project names."""

from __future__ import annotations

from typing import Any

import grpc
import jwt
import pytest

from google.protobuf.field_mask_pb2 import FieldMask

from tests.service.api import Api, failure, reason_of, wanted
from tests.support.authority import RunningAuthority
from tests.support.wire import V1, records
from tokenauthority.v1 import project_pb2, token_pb2


CENTRIFUGO = project_pb2.REAL_TIME_SERVER_CENTRIFUGO
MEDIAMTX = project_pb2.REAL_TIME_SERVER_MEDIAMTX
FURTHER = {"channels", "mediamtx_permissions"}


def create(api: Api, *servers: Any) -> project_pb2.Project:
    """A new project whose tokens have claims for *servers*."""
    return api.projects.CreateProject(project_pb2.CreateProjectRequest(claims_for=servers)).project


def update(api: Api, project_id: str, *servers: Any) -> project_pb2.Project:
    """The project, whose tokens have claims for *servers* from now on."""
    project = project_pb2.Project(project_id=project_id, claims_for=servers)
    request = project_pb2.UpdateProjectRequest(project=project, update_mask=FieldMask(paths=["claims_for"]))
    return api.projects.UpdateProject(request).project


def claims_of(token: token_pb2.Token) -> dict[str, Any]:
    """The payload of a token."""
    found: dict[str, Any] = jwt.decode(token.token, options={"verify_signature": False})
    return found


def test_a_token_has_claims_for_each_server(api: Api) -> None:
    """Bound to its session, with a subject for Centrifugo, and valid here as before."""
    project = create(api, MEDIAMTX, CENTRIFUGO, MEDIAMTX)
    session_id = api.new_session(project.project_id).session_id

    token = api.generate(session_id)

    said = claims_of(token)
    assert [CENTRIFUGO, MEDIAMTX] == list(project.claims_for)
    assert ([session_id], token.token_id) == (said["channels"], said["sub"])
    assert [("read", session_id), ("publish", session_id)] == [
        (each["action"], each["path"]) for each in said["mediamtx_permissions"]
    ]
    assert "ACTIVE" == reason_of(api.verify(token.token, session_id=session_id))


def test_they_are_switched_on_and_off(api: Api, shared: RunningAuthority, project_id: str, session_id: str) -> None:
    """At once, and on record."""
    before = claims_of(api.generate(session_id))
    on = update(api, project_id, MEDIAMTX)
    during = claims_of(api.generate(session_id))
    off = update(api, project_id)
    after = claims_of(api.generate(session_id))

    assert ([MEDIAMTX], []) == (list(on.claims_for), list(off.claims_for))
    assert [set(), {"mediamtx_permissions"}, set()] == [FURTHER & each.keys() for each in (before, during, after)]
    # The authority is shared: others change their projects, and some of their changes are refused.
    update_project = {"method": V1 + "ProjectService/UpdateProject", "project_id": project_id}
    changes = [record["changes"] for record in records(shared.audit_path) if update_project.items() <= record.items()]
    assert [["claims_for=MEDIAMTX"], ["claims_for="]] == changes


def test_an_import_takes_them(api: Api) -> None:
    """As CreateProject does."""
    credential = project_pb2.OpenTokCredential(api_key="990001", api_secret="0" * 40)
    request = project_pb2.ImportProjectRequest(opentok=credential, claims_for=[CENTRIFUGO])

    assert [CENTRIFUGO] == list(api.projects.ImportProject(request).project.claims_for)


def test_other_formats_have_none(api: Api) -> None:
    """Their servers do not read the JWKS."""
    project = create(api, CENTRIFUGO, MEDIAMTX)
    session_id = api.new_session(project.project_id).session_id
    formats = (token_pb2.TOKEN_FORMAT_OPENTOK_JWT, token_pb2.TOKEN_FORMAT_LIVEKIT_JWT)

    tokens = api.batch([wanted(session_id, format=each, role="subscriber") for each in formats])

    assert [set(), set()] == [FURTHER & claims_of(token).keys() for token in tokens]


def test_a_role_that_a_server_cannot_keep_to_is_refused(api: Api) -> None:
    """Only where the project names the server, and the violation names role and server."""
    project = create(api, CENTRIFUGO, MEDIAMTX)
    session_id = api.new_session(project.project_id).session_id

    failed = failure(lambda: api.generate(session_id, role="subscriber"))

    problem = "subscriber does not fit SESSION_JWT: Centrifugo cannot give subscribe without more"
    assert grpc.StatusCode.INVALID_ARGUMENT is failed.code
    assert [("request.role", problem)] == failed.violations
    update(api, project.project_id, MEDIAMTX)
    assert "subscriber" == api.generate(session_id, role="subscriber").role


@pytest.mark.parametrize("servers", [[0], [99], [CENTRIFUGO, 99], [MEDIAMTX] * 101])
def test_unknown_servers_are_refused(api: Api, project_id: str, servers: list[Any]) -> None:
    """In each RPC that takes them."""
    in_create = failure(lambda: create(api, *servers))
    in_update = failure(lambda: update(api, project_id, *servers))

    place = "" if len(servers) > 100 else f"[{len(servers) - 1}]"
    assert ([f"claims_for{place}"], [f"project.claims_for{place}"]) == (in_create.fields, in_update.fields)

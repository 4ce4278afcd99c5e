"""ProjectService: a disabled project makes nothing and verifies nothing; a deleted one is gone with all it has."""

from __future__ import annotations

import secrets

from collections.abc import Iterator

import grpc
import pytest

from google.protobuf.field_mask_pb2 import FieldMask

from tests.service.api import Api, failure, reason_of
from tests.service.conftest import NOW
from tests.service.test_projects import create, fresh_id, get, import_opentok
from tests.support.authority import WAIT, Clock, RunningAuthority
from tests.support.wire import records
from tokenauthority.domain.times import Millis
from tokenauthority.v1 import project_pb2, role_pb2, token_pb2


def set_disabled(api: Api, project_id: str, *, disabled: bool) -> project_pb2.Project:
    """The project after the change."""
    project = project_pb2.Project(project_id=project_id, disabled=disabled)
    request = project_pb2.UpdateProjectRequest(project=project, update_mask=FieldMask(paths=["disabled"]))
    return api.projects.UpdateProject(request).project


def delete(api: Api, project_id: str, *, validate_only: bool = False) -> project_pb2.DeleteProjectResponse:
    """What was deleted, or would be."""
    return api.projects.DeleteProject(
        project_pb2.DeleteProjectRequest(project_id=project_id, validate_only=validate_only)
    )


@pytest.fixture
def filled(api: Api) -> str:
    """A project with two sessions, a role and a revocation."""
    project_id = create(api, project_id=fresh_id()).project.project_id
    session = api.new_session(project_id)
    api.new_session(project_id)
    api.roles.CreateRole(
        role_pb2.CreateRoleRequest(project_id=project_id, name="host", permissions=[role_pb2.PERMISSION_PUBLISH])
    )
    api.tokens.RevokeTokens(token_pb2.RevokeTokensRequest(session_id=session.session_id))
    return project_id


def test_a_disabled_project_gets_no_sessions_and_tokens(api: Api, project_id: str) -> None:
    """Until it is enabled; the reason is one of its own."""
    session = api.new_session(project_id)
    disabled = set_disabled(api, project_id, disabled=True)
    refused = [
        failure(lambda: api.new_session(project_id)),
        failure(lambda: api.generate(session.session_id)),
    ]
    set_disabled(api, project_id, disabled=False)

    assert disabled.disabled
    assert [(grpc.StatusCode.FAILED_PRECONDITION, "PROJECT_DISABLED")] * 2 == [each.outcome for each in refused]
    assert [f"project {project_id} is disabled"] * 2 == [each.message for each in refused]
    assert api.verify(api.generate(session.session_id).token).active


def test_tokens_of_a_disabled_project_are_invalid_until_it_is_enabled(api: Api, project_id: str) -> None:
    """The claims are shown, as the signature is valid."""
    token = api.generate(api.new_session(project_id).session_id).token
    set_disabled(api, project_id, disabled=True)
    refused = api.verify(token)
    set_disabled(api, project_id, disabled=False)

    assert ("PROJECT_DISABLED", project_id) == (reason_of(refused), refused.claims.project_id)
    assert api.verify(token).active


def test_what_a_deletion_would_delete_is_counted_first(api: Api, filled: str) -> None:
    """With validate_only nothing is deleted; a deletion answers the same."""
    counted = delete(api, filled, validate_only=True)
    before = get(api, filled)
    deleted = delete(api, filled)

    assert (2, 1, 1, 1) == (counted.sessions, counted.secrets, counted.roles, counted.revocations)
    assert counted == deleted
    assert filled == before.project_id


def test_a_deleted_project_is_gone(api: Api, filled: str) -> None:
    """With its sessions and tokens; a second deletion finds nothing."""
    session = api.new_session(filled)
    token = api.generate(session.session_id).token
    delete(api, filled)

    assert ["PROJECT_NOT_FOUND"] * 3 == [
        failure(lambda: get(api, filled)).reason,
        failure(lambda: api.generate(session.session_id)).reason,
        failure(lambda: delete(api, filled)).reason,
    ]
    assert "PROJECT_UNKNOWN" == reason_of(api.verify(token))


def test_who_deletes_must_name_the_project(api: Api) -> None:
    """The only project of a caller is deleted by its id alone."""
    assert ["project_id"] == failure(lambda: delete(api, "")).fields


def test_a_second_project_of_the_id_has_nothing_of_the_first(api: Api, filled: str) -> None:
    """No session, no role, and none of its tokens is valid, also where sessions of others are accepted."""
    session = api.new_session(filled)
    token = api.generate(session.session_id).token
    delete(api, filled)

    again = create(api, project_id=filled, external_sessions=True)
    roles = api.roles.ListRoles(role_pb2.ListRolesRequest(project_id=filled)).roles

    assert again.project.create_time.seconds
    assert 1 == len(again.project.secrets)
    assert [] == [role.name for role in roles if not role.built_in]
    assert "REVOKED" == reason_of(api.verify(token))


def test_an_import_that_was_wrong_can_be_deleted_and_made_again(api: Api) -> None:
    """Its id is that of the platform, so it must be free again."""
    api_key, right = fresh_id(), secrets.token_hex(20)
    import_opentok(api, api_key)
    delete(api, api_key)

    assert api_key == import_opentok(api, api_key, right).project_id


def test_the_record_says_which_project_was_deleted(api: Api, shared: RunningAuthority, filled: str) -> None:
    """And that a count was none."""
    delete(api, filled, validate_only=True)
    delete(api, filled)

    found = [
        record.get("changes")
        for record in records(shared.audit_path)
        if str(record.get("method")).endswith("/DeleteProject") and record.get("project_id") == filled
    ]
    assert [["validate_only=True"], None] == found


def test_watchers_receive_a_revocation_of_the_whole_project(api: Api, filled: str) -> None:
    """So that whoever verifies without the authority refuses its tokens, too."""
    delete(api, filled)
    request = token_pb2.WatchRevocationsRequest(project_ids=[filled])

    stream: Iterator[token_pb2.WatchRevocationsResponse] = api.tokens.WatchRevocations(request, timeout=WAIT)
    first = next(stream)

    assert ("whole_project", filled) == (first.revocation.WhichOneof("target"), first.revocation.project_id)
    assert "snapshot_end" == next(stream).WhichOneof("event")


def test_only_tokens_that_are_older_than_the_deletion_are_revoked(api: Api, clock: Clock, filled: str) -> None:
    """To the second: those of the next project of the id are valid from the next second on."""
    delete(api, filled)
    create(api, project_id=filled)
    session = api.new_session(filled)
    early = api.generate(session.session_id).token
    clock.fixed = Millis(NOW + 1000)
    late = api.generate(session.session_id).token

    assert ["REVOKED", "ACTIVE"] == [reason_of(api.verify(token)) for token in (early, late)]

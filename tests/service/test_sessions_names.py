"""Names of sessions: the rooms that people read, and how a token leads back to its session."""

from __future__ import annotations

import uuid

from typing import Any

import grpc
import jwt
import pytest

from google.protobuf.field_mask_pb2 import FieldMask

from tests.service.api import Api, Connect, failure, reason_of
from tests.service.conftest import NOW
from tests.support.authority import Clock, RunningAuthority
from tests.support.wire import V1, records
from tokenauthority.domain.times import Millis
from tokenauthority.v1 import project_pb2, session_pb2, token_pb2


DAY = 86_400_000
LIVEKIT, JITSI = token_pb2.TOKEN_FORMAT_LIVEKIT_JWT, token_pb2.TOKEN_FORMAT_JITSI_JWT


def payload_of(token: token_pb2.Token) -> dict[str, Any]:
    """The payload of a token."""
    found: dict[str, Any] = jwt.decode(token.token, options={"verify_signature": False})
    return found


def test_a_session_shows_its_name(api: Api, project_id: str) -> None:
    """In every answer; one without has none."""
    named, unnamed = api.new_session(project_id, name="standup"), api.new_session(project_id)
    got = api.sessions.GetSession(session_pb2.GetSessionRequest(session_id=named.session_id)).session
    listed = api.sessions.ListSessions(session_pb2.ListSessionsRequest(project_id=project_id)).sessions
    ended = api.end(named.session_id)

    assert ["standup"] * 3 == [named.name, got.name, ended.name]
    assert {("standup", named.session_id), ("", unnamed.session_id)} == {(one.name, one.session_id) for one in listed}


@pytest.mark.parametrize("name", ["Standup", "stand up", "a" * 65, "~.*", "all/rooms", "caf\u00e9", "\x00", "*", "a\n"])
def test_a_name_that_a_server_could_misread_is_refused(api: Api, project_id: str, name: str) -> None:
    """Jitsi reads capital letters as small ones, and MediaMTX a leading ~ as a pattern."""
    failed = failure(lambda: api.new_session(project_id, name=name))

    assert (grpc.StatusCode.INVALID_ARGUMENT, ["name"]) == (failed.code, failed.fields)


def test_a_name_is_unique_in_its_project(api: Api, project_id: str) -> None:
    """Also that of a session that has ended; another project may have it."""
    other = api.projects.CreateProject(project_pb2.CreateProjectRequest()).project.project_id
    first = api.new_session(project_id, name="standup")
    while_active = failure(lambda: api.new_session(project_id, name="standup"))
    api.end(first.session_id)
    once_ended = failure(lambda: api.new_session(project_id, name="standup"))

    assert [(grpc.StatusCode.ALREADY_EXISTS, "SESSION_EXISTS")] * 2 == [while_active.outcome, once_ended.outcome]
    assert ("session", "standup") == while_active.resource
    assert "standup" == api.new_session(other, name="standup").name


def test_a_request_id_makes_a_named_session_safe_to_repeat(api: Api, project_id: str) -> None:
    """The same session, not a refusal; with another name it is another request."""
    request_id = str(uuid.uuid4())
    first, again = (api.new_session(project_id, name="standup", request_id=request_id) for _ in range(2))
    other = failure(lambda: api.new_session(project_id, name="lunch", request_id=request_id))

    assert first == again
    assert "REQUEST_ID_REUSED" == other.reason


def test_the_name_is_the_room_and_leads_back_to_the_session(api: Api, project_id: str) -> None:
    """In each format of a server; VerifyToken says the id."""
    session_id = api.new_session(project_id, name="standup").session_id

    tokens = [api.generate(session_id, format=each) for each in (LIVEKIT, JITSI)]

    assert ["standup", "standup"] == [payload_of(tokens[0])["video"]["room"], payload_of(tokens[1])["room"]]
    verdicts = [api.verify(token.token, session_id=session_id) for token in tokens]
    assert [("ACTIVE", session_id)] * 2 == [(reason_of(each), each.claims.session_id) for each in verdicts]


def test_other_servers_read_the_name_too(api: Api, project_id: str) -> None:
    """A SESSION_JWT says the id as its session, and the name where Centrifugo and MediaMTX look."""
    project = project_pb2.Project(
        project_id=project_id,
        claims_for=[project_pb2.REAL_TIME_SERVER_CENTRIFUGO, project_pb2.REAL_TIME_SERVER_MEDIAMTX],
    )
    mask = FieldMask(paths=["claims_for"])
    api.projects.UpdateProject(project_pb2.UpdateProjectRequest(project=project, update_mask=mask))
    session_id = api.new_session(project_id, name="standup").session_id

    said = payload_of(api.generate(session_id))

    assert (session_id, ["standup"]) == (said["session_id"], said["channels"])
    assert {"standup"} == {each["path"] for each in said["mediamtx_permissions"]}


def test_a_room_that_is_no_name_of_the_project_is_no_session(
    api: Api, created: project_pb2.CreateProjectResponse
) -> None:
    """Also not the name of a session of another project."""
    other = api.projects.CreateProject(project_pb2.CreateProjectRequest()).project.project_id
    api.new_session(other, name="theirs")
    session_id = api.new_session(created.project.project_id, name="ours").session_id
    said = payload_of(api.generate(session_id, format=LIVEKIT))

    tokens = [
        jwt.encode({**said, "video": {**said["video"], "room": room}}, created.secret.secret, algorithm="HS256")
        for room in ("ours", "theirs", "nobodys", session_id)
    ]

    assert ["ACTIVE", "SESSION_MISMATCH", "SESSION_MISMATCH", "ACTIVE"] == [reason_of(api.verify(t)) for t in tokens]


def test_a_name_means_nothing_in_other_formats(api: Api, created: project_pb2.CreateProjectResponse) -> None:
    """An OPENTOK_JWT names sessions by their ids alone."""
    session_id = api.new_session(created.project.project_id, name="standup").session_id
    token = api.generate(session_id, format=token_pb2.TOKEN_FORMAT_OPENTOK_JWT)
    said = payload_of(token)

    forged = jwt.encode({**said, "session_id": "standup"}, created.secret.secret, algorithm="HS256")

    assert (session_id, "SESSION_MISMATCH") == (said["session_id"], reason_of(api.verify(forged)))


def test_an_end_and_a_revocation_reach_tokens_by_name(api: Api, clock: Clock, project_id: str) -> None:
    """Both name the session by its id, and the token by its name."""
    ended, revoked = (api.new_session(project_id, name=name).session_id for name in ("ended", "revoked"))
    tokens = [api.generate(session_id, format=LIVEKIT).token for session_id in (ended, revoked)]
    before = [reason_of(api.verify(token)) for token in tokens]
    api.end(ended)
    api.tokens.RevokeTokens(token_pb2.RevokeTokensRequest(session_id=revoked))

    assert ["ACTIVE", "ACTIVE"] == before
    assert ["SESSION_ENDED", "REVOKED"] == [reason_of(api.verify(token)) for token in tokens]


def test_a_name_that_is_free_again_is_the_new_sessions(api: Api, clock: Clock, project_id: str) -> None:
    """When the last token of the first one has expired."""
    first = api.new_session(project_id, name="standup").session_id
    old = api.generate(first, format=LIVEKIT, ttl=30 * 86_400)
    api.verify(old.token)
    api.end(first)
    clock.fixed = Millis(NOW + 31 * DAY + 1)
    second = api.new_session(project_id, name="standup").session_id
    new = api.generate(second, format=LIVEKIT)

    assert "EXPIRED" == reason_of(api.verify(old.token))
    verdict = api.verify(new.token, session_id=second)
    assert ("ACTIVE", second) == (reason_of(verdict), verdict.claims.session_id)


def test_the_name_is_not_recorded_as_a_role(connect: Connect, shared: RunningAuthority) -> None:
    """The audit log names the session by its id."""
    session = connect("home").new_session("", name="room-on-record")

    method = V1 + "SessionService/CreateSession"
    created = {"method": method, "session_id": session.session_id}
    [record] = [record for record in records(shared.audit_path) if created.items() <= record.items()]
    assert "role" not in record

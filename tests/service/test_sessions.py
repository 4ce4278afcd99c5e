"""SessionService: what a session is, what makes it safe to repeat, and how it ends."""

from __future__ import annotations

import re
import uuid

from functools import partial
from typing import Any

import grpc
import pytest

from tests.authority.world import platform_session
from tests.service.api import Api, Connect, failure, reason_of
from tests.service.conftest import AWAY, HOME, NOW, NOWHERE
from tests.support.authority import Clock
from tokenauthority.domain.ids import project_in_session_id
from tokenauthority.domain.times import Millis
from tokenauthority.v1 import project_pb2, session_pb2


DAY = 24 * 60 * 60 * 1000
ROUTED = {"media_mode": session_pb2.MEDIA_MODE_ROUTED}
ALWAYS = {**ROUTED, "archive_mode": session_pb2.ARCHIVE_MODE_ALWAYS}


def request_id() -> str:
    """A fresh request id."""
    return str(uuid.uuid4())


def get(api: Api, session_id: str) -> session_pb2.Session:
    """A session as it is shown."""
    return api.sessions.GetSession(session_pb2.GetSessionRequest(session_id=session_id)).session


def external_project(api: Api) -> str:
    """A project that takes the platform's sessions."""
    return api.projects.CreateProject(project_pb2.CreateProjectRequest(external_sessions=True)).project.project_id


def test_defaults_are_those_of_the_contract(api: Api, project_id: str, clock: Clock) -> None:
    """Relayed, recorded by nobody, active, and made now to the millisecond."""
    session = api.new_session(project_id)

    assert (
        session_pb2.Session(
            session_id=session.session_id,
            project_id=project_id,
            media_mode=session_pb2.MEDIA_MODE_RELAYED,
            archive_mode=session_pb2.ARCHIVE_MODE_MANUAL,
            state=session_pb2.SESSION_STATE_ACTIVE,
            create_time=session.create_time,
        )
        == session
    )
    assert NOW == session.create_time.ToMilliseconds()
    assert project_id == project_in_session_id(session.session_id)
    assert re.fullmatch(r"2_[A-Za-z0-9_-]{1,253}", session.session_id)


def test_the_only_project_is_the_default(connect: Connect) -> None:
    """A caller with one project need not name it."""
    assert HOME == connect("home").new_session("").project_id


@pytest.mark.parametrize("caller", ["tester", "two-projects"])
def test_a_caller_with_several_projects_names_one(connect: Connect, caller: str) -> None:
    """Nothing is guessed."""
    failed = failure(lambda: connect(caller).new_session(""))

    assert (grpc.StatusCode.INVALID_ARGUMENT, ["project_id"]) == (failed.code, failed.fields)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({**ROUTED, "e2ee": True, "location": "12.34.56.78"}, {}),
        ({**ALWAYS}, {"archive_resolution": "640x480"}),
        ({**ALWAYS, "archive_name": "n" * 80, "archive_resolution": "1080x1920"}, {}),
        ({**ALWAYS, "archive_name": "é~-_:\N{GRINNING FACE}"}, {"archive_resolution": "640x480"}),
    ],
    ids=["encrypted", "recorded", "recorded with options", "named freely"],
)
def test_keeps_what_was_asked_for(api: Api, project_id: str, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """Every option is shown as it was given, or as its default."""
    made = api.new_session(project_id, **fields)

    assert made == get(api, made.session_id)
    for name, value in {**fields, **expected}.items():
        assert value == getattr(made, name)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"archive_mode": session_pb2.ARCHIVE_MODE_ALWAYS}, ["archive_mode"]),
        ({"e2ee": True}, ["e2ee"]),
        ({**ALWAYS, "e2ee": True}, ["e2ee"]),
        ({"archive_name": "x"}, ["archive_name"]),
        ({"archive_resolution": "640x480"}, ["archive_resolution"]),
        ({**ALWAYS, "archive_name": "x" * 81}, ["archive_name"]),
        ({**ALWAYS, "archive_name": "a\x00"}, ["archive_name"]),
        ({**ALWAYS, "archive_resolution": "1x1"}, ["archive_resolution"]),
        ({"location": "::1"}, ["location"]),
        ({"request_id": "17"}, ["request_id"]),
        ({"media_mode": 9}, ["media_mode"]),
        ({"archive_mode": 9}, ["archive_mode"]),
        (
            {"location": "x", "e2ee": True, "archive_name": "x", "request_id": "17"},
            ["location", "e2ee", "archive_name", "request_id"],
        ),
    ],
    ids=repr,
)
def test_refuses_what_opentok_forbids(api: Api, project_id: str, fields: dict[str, Any], expected: list[str]) -> None:
    """Every bad field and forbidden combination is named, all at once."""
    failed = failure(lambda: api.new_session(project_id, **fields))

    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", expected) == (*failed.outcome, failed.fields)


def test_a_bad_project_is_named_with_the_rest(api: Api) -> None:
    """A malformed project id does not hide other mistakes."""
    assert ["project_id", "location"] == failure(lambda: api.new_session("x", location="x")).fields


def test_a_project_that_is_not_here_is_not_found(api: Api) -> None:
    """To a caller that may use every project."""
    failed = failure(lambda: api.new_session(NOWHERE))

    assert (grpc.StatusCode.NOT_FOUND, "PROJECT_NOT_FOUND") == failed.outcome
    assert ("project", NOWHERE) == failed.resource


class TestRequestId:
    """`request_id` makes CreateSession safe to repeat."""

    def test_the_same_request_is_the_same_session(self, api: Api, project_id: str) -> None:
        """In either case of the UUID, and where a default is written out."""
        repeat = request_id()
        made = api.new_session(project_id, request_id=repeat, **ALWAYS)
        again = api.new_session(project_id, request_id=repeat.upper(), archive_resolution="640x480", **ALWAYS)

        assert made == again

    def test_another_body_is_refused(self, api: Api, project_id: str) -> None:
        """ALREADY_EXISTS with the request id."""
        repeat = request_id()
        api.new_session(project_id, request_id=repeat)

        failed = failure(lambda: api.new_session(project_id, request_id=repeat, **ROUTED))

        assert (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED") == failed.outcome
        assert failed.resource is not None
        assert repeat == failed.resource[1]

    def test_another_project_is_another_body(self, api: Api, project_id: str) -> None:
        """The project is part of what was asked for."""
        repeat = request_id()
        api.new_session(project_id, request_id=repeat)

        assert grpc.StatusCode.ALREADY_EXISTS == failure(lambda: api.new_session(HOME, request_id=repeat)).code

    def test_another_caller_has_ids_of_its_own(self, api: Api, connect: Connect, project_id: str) -> None:
        """Two callers that pick the same id do not meet."""
        repeat = request_id()
        ours = api.new_session(project_id, request_id=repeat)
        theirs = connect("colleague").new_session(project_id, request_id=repeat, **ROUTED)

        assert ours.session_id != theirs.session_id

    @pytest.mark.parametrize(("later", "same"), [(DAY, True), (DAY + 1, False)])
    def test_it_holds_for_24_hours(self, api: Api, project_id: str, clock: Clock, later: int, *, same: bool) -> None:
        """Exactly a day later it is the same session still; a millisecond after that, another one."""
        repeat = request_id()
        made = api.new_session(project_id, request_id=repeat)
        clock.fixed = Millis(NOW + later)

        again = api.new_session(project_id, request_id=repeat)

        assert same == (made.session_id == again.session_id)

    def test_without_one_each_call_makes_a_session(self, api: Api, project_id: str) -> None:
        """Two calls are two sessions."""
        assert api.new_session(project_id).session_id != api.new_session(project_id).session_id

    def test_a_repeat_shows_the_session_as_it_is_now(self, api: Api, project_id: str) -> None:
        """One that was ended in between is shown ended."""
        repeat = request_id()
        made = api.new_session(project_id, request_id=repeat)
        api.end(made.session_id)

        assert session_pb2.SESSION_STATE_ENDED == api.new_session(project_id, request_id=repeat).state


class TestEndSession:
    """An ended session is over for good."""

    def test_it_gets_no_more_tokens_and_those_it_has_are_not_good(
        self, api: Api, session_id: str, clock: Clock
    ) -> None:
        """Both at once, in every format."""
        tokens = [api.generate(session_id, format=token_format).token for token_format in (1, 2, 3)]
        clock.fixed = Millis(NOW + 1000)
        ended = api.end(session_id)

        assert session_pb2.SESSION_STATE_ENDED == ended.state
        assert NOW + 1000 == ended.end_time.ToMilliseconds()
        assert ended == get(api, session_id)
        assert ["SESSION_ENDED"] * 3 == [reason_of(api.verify(token)) for token in tokens]
        assert "SESSION_ENDED" == failure(lambda: api.generate(session_id)).reason

    def test_ending_it_again_answers_it_unchanged(self, api: Api, session_id: str, clock: Clock) -> None:
        """The call is safe to repeat, and the end stays when it was."""
        once = api.end(session_id)
        clock.fixed = Millis(NOW + 1000)

        assert once == api.end(session_id)

    def test_another_session_goes_on(self, api: Api, project_id: str, session_id: str) -> None:
        """Nothing else of the project ends."""
        other = api.new_session(project_id).session_id
        api.end(session_id)

        assert "ACTIVE" == reason_of(api.verify(api.generate(other).token))

    def test_a_session_of_the_platform_can_be_ended(self, api: Api) -> None:
        """In a project that takes such sessions, though it was never seen before."""
        session_id = platform_session(external_project(api))
        token = api.generate(session_id).token
        ended = api.end(session_id)

        assert (session_id, session_pb2.SESSION_STATE_ENDED) == (ended.session_id, ended.state)
        assert "SESSION_ENDED" == reason_of(api.verify(token))
        assert "SESSION_ENDED" == failure(lambda: api.generate(session_id)).reason
        assert ended == api.end(session_id) == get(api, session_id)

    def test_elsewhere_one_that_nobody_made_is_not_found(self, api: Api, project_id: str) -> None:
        """A project without `external_sessions` knows only its own."""
        session_id = platform_session(project_id)

        failed = failure(lambda: api.end(session_id))

        assert (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND") == failed.outcome


@pytest.mark.parametrize("rpc", ["GetSession", "EndSession"])
class TestErrors:
    """GetSession and EndSession fail alike."""

    def call(self, api: Api, rpc: str, session_id: str) -> object:
        """One of the two."""
        request = getattr(session_pb2, f"{rpc}Request")(session_id=session_id)
        return getattr(api.sessions, rpc)(request)

    @pytest.mark.parametrize("session_id", ["", "nonsense", "x" * 20_000], ids=len)
    def test_what_is_no_session_id_is_malformed(self, api: Api, rpc: str, session_id: str) -> None:
        """INVALID_ARGUMENT, and the text is not repeated."""
        failed = failure(lambda: self.call(api, rpc, session_id))

        assert (grpc.StatusCode.INVALID_ARGUMENT, ["session_id"]) == (failed.code, failed.fields)
        assert len(failed.message) < 200

    def test_what_nobody_made_is_not_found(self, api: Api, rpc: str, project_id: str) -> None:
        """NOT_FOUND with the session."""
        session_id = platform_session(project_id)

        failed = failure(lambda: self.call(api, rpc, session_id))

        assert (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND") == failed.outcome
        assert ("session", session_id) == failed.resource

    def test_outside_the_grant_is_denied_whether_it_exists_or_not(self, api: Api, connect: Connect, rpc: str) -> None:
        """An existing session, one that nobody made, a project that does not exist and an application: all the same."""
        home = connect("home")
        outside = [
            api.new_session(AWAY).session_id,
            platform_session(AWAY),
            platform_session(NOWHERE),
            platform_session("29f760f8-7ce1-46c9-ade3-f2dedee4ed5f"),
        ]

        failures = [failure(partial(self.call, home, rpc, session_id)) for session_id in outside]

        assert {(grpc.StatusCode.PERMISSION_DENIED, "PROJECT_NOT_GRANTED")} == {failed.outcome for failed in failures}
        assert 1 == len({failed.message for failed in failures})


@pytest.mark.parametrize(
    ("caller", "project", "expected"),
    [
        ("tester", NOWHERE, (grpc.StatusCode.NOT_FOUND, "PROJECT_NOT_FOUND")),
        ("tester", "", (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")),
        ("home", NOWHERE, (grpc.StatusCode.PERMISSION_DENIED, "PROJECT_NOT_GRANTED")),
        ("home", AWAY, (grpc.StatusCode.PERMISSION_DENIED, "PROJECT_NOT_GRANTED")),
    ],
)
def test_making_and_listing_is_about_a_project_of_the_grant(
    connect: Connect, caller: str, project: str, expected: tuple[grpc.StatusCode, str]
) -> None:
    """Outside the grant it makes no difference whether it exists."""
    called = connect(caller)
    listing = partial(called.sessions.ListSessions, session_pb2.ListSessionsRequest(project_id=project))

    assert [expected] * 2 == [failure(call).outcome for call in (partial(called.new_session, project), listing)]


class TestExternalSessions:
    """`external_sessions` decides about sessions that this authority never saw."""

    def test_on_they_get_valid_tokens(self, api: Api) -> None:
        """In every format that the project has a key for."""
        session_id = platform_session(external_project(api))

        tokens = [api.generate(session_id, format=token_format).token for token_format in (1, 2, 3)]

        assert ["ACTIVE"] * 3 == [reason_of(api.verify(token, session_id=session_id)) for token in tokens]

    def test_off_they_get_none(self, api: Api, project_id: str) -> None:
        """NOT_FOUND."""
        failed = failure(lambda: api.generate(platform_session(project_id)))

        assert (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND") == failed.outcome

    def test_switched_off_their_tokens_are_not_good_any_more(self, api: Api) -> None:
        """The session is not one of the project's from then on."""
        project_id = external_project(api)
        token = api.generate(platform_session(project_id)).token
        request = project_pb2.UpdateProjectRequest(project=project_pb2.Project(project_id=project_id))
        request.update_mask.paths.append("external_sessions")
        api.projects.UpdateProject(request)

        assert "SESSION_MISMATCH" == reason_of(api.verify(token))

    def test_another_projects_key_in_another_field_does_not_pass(self, api: Api, project_id: str) -> None:
        """Membership is field 1 alone: an id that names the project as its location is another project's."""
        session_id = platform_session(f"{NOWHERE}~{project_id}")

        assert "PROJECT_NOT_FOUND" == failure(lambda: api.generate(session_id)).reason

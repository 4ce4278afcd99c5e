"""CreateSession in a project whose platform makes the session ids: what callers see, and what is stored."""

from __future__ import annotations

import json

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import attrs
import grpc
import opentok
import pytest

from tests.authority.world import rsa_pem
from tests.service.api import Api, failure, reason_of
from tests.support.authority import WAIT, StartAuthority, eventually
from tests.support.platform import BROKEN, FORBIDDEN, Answer, Platform, running_platform, session_json
from tokenauthority.domain.ids import project_in_session_id
from tokenauthority.interceptors.changes import CHANGES_OF_A_CALLER
from tokenauthority.v1 import project_pb2, session_pb2


API_KEY = "123456"
APPLICATION = "78d335fa-323d-0114-9c3d-d6f0d48968cf"
SECRET = "0123456789abcdef" * 2 + "01234567"
REQUEST_ID = "6f1c0a52-0000-4000-8000-000000000001"
ROUTED = session_pb2.MEDIA_MODE_ROUTED


@attrs.frozen
class World:
    """An authority, the platform of its projects, and a caller."""

    api: Api
    platform: Platform

    def stored(self, project_id: str = API_KEY) -> list[str]:
        """The ids of the sessions that the authority has."""
        answer = self.api.sessions.ListSessions(session_pb2.ListSessionsRequest(project_id=project_id))
        return [session.session_id for session in answer.sessions]

    def recorded(self) -> list[dict[str, object]]:
        """The audit records of CreateSession."""
        lines = map(json.loads, self.api.authority.audit_path.read_text().splitlines())
        return [line for line in lines if line.get("method", "").endswith("/CreateSession")]

    def update(self, project_id: str, platform_url: str) -> project_pb2.Project:
        """Change the platform of a project."""
        project = project_pb2.Project(project_id=project_id, platform_url=platform_url)
        request = project_pb2.UpdateProjectRequest(project=project)
        request.update_mask.paths.append("platform_url")
        return self.api.projects.UpdateProject(request).project


@pytest.fixture
def world(start_authority: StartAuthority) -> Iterator[World]:
    """With one imported project whose sessions the platform makes."""
    with running_platform() as platform:
        authority = start_authority(settings={"platform": {"urls": platform.url, "attempt_timeout": 30}})
        api = Api(authority, authority.api_key)
        credential = project_pb2.OpenTokCredential(api_key=API_KEY, api_secret=SECRET)
        api.projects.ImportProject(project_pb2.ImportProjectRequest(opentok=credential, platform_url=platform.url))
        yield World(api, platform)
        api.close()


def test_answers_the_session_of_the_platform(world: World) -> None:
    """It is stored with its options, gets tokens, and can be ended; the official SDK's tokens for it are valid."""
    session = world.api.new_session(API_KEY, media_mode=ROUTED, location="12.34.56.78")
    (request,) = world.platform.requests
    token = world.api.generate(session.session_id).token
    theirs = opentok.Client(API_KEY, SECRET).generate_token(session.session_id)

    assert API_KEY == project_in_session_id(session.session_id)
    assert {"archiveMode": "manual", "p2p.preference": "disabled", "location": "12.34.56.78"} == request.form
    assert (ROUTED, "12.34.56.78") == (session.media_mode, session.location)
    assert [session.session_id] == world.stored()
    assert ["ACTIVE"] * 2 == [reason_of(world.api.verify(each)) for each in (token, theirs)]
    world.api.end(session.session_id)
    assert "SESSION_ENDED" == reason_of(world.api.verify(token))


def test_a_session_of_an_application_is_of_its_project(world: World) -> None:
    """Vonage's ids name the application."""
    credential = project_pb2.VonageCredential(application_id=APPLICATION, private_key=rsa_pem())
    request = project_pb2.ImportProjectRequest(vonage=credential, project_id="5", platform_url=world.platform.url)
    world.api.projects.ImportProject(request)
    session = world.api.new_session("5")

    assert ("5", APPLICATION) == (session.project_id, project_in_session_id(session.session_id))
    assert "ACTIVE" == reason_of(world.api.verify(world.api.generate(session.session_id).token))


def test_other_projects_are_not_the_platforms_matter(world: World) -> None:
    """The authority makes their sessions, as before."""
    world.api.new_session(world.api.authority.project_id)

    assert [] == world.platform.requests


def test_the_audit_record_says_who_was_asked(world: World) -> None:
    """Also where the platform gave nothing."""
    world.api.new_session(API_KEY)
    world.platform.always = FORBIDDEN
    failure(lambda: world.api.new_session(API_KEY))
    world.api.new_session(world.api.authority.project_id)

    url = world.platform.url
    assert [("OK", url), ("FAILED_PRECONDITION", url), ("OK", None)] == [
        (line["code"], line.get("platform_url")) for line in world.recorded()
    ]


def test_a_failing_platform_is_unavailable(world: World) -> None:
    """With a reason of its own and a time to wait; nothing is stored, and the request id stays free."""
    world.platform.always = BROKEN
    failed = failure(lambda: world.api.new_session(API_KEY, request_id=REQUEST_ID))
    stored = world.stored()
    world.platform.always = None
    session = world.api.new_session(API_KEY, request_id=REQUEST_ID)

    assert (grpc.StatusCode.UNAVAILABLE, "PLATFORM_UNAVAILABLE") == failed.outcome
    assert failed.retry_after == 1.0
    assert ([], [session.session_id]) == (stored, world.stored())


def test_a_refused_secret_is_a_failed_precondition(world: World) -> None:
    """It names the project and shows nothing of the secret."""
    world.platform.always = FORBIDDEN
    failed = failure(lambda: world.api.new_session(API_KEY))

    assert (grpc.StatusCode.FAILED_PRECONDITION, "PLATFORM_REFUSED") == failed.outcome
    assert ("PLATFORM_REFUSED", API_KEY) == failed.precondition
    assert "refuses the credential" in failed.message
    assert SECRET not in repr(failed)
    assert [] == world.stored()


def test_a_repeated_call_asks_nobody(world: World) -> None:
    """The same request id answers the same session, also while the platform is away; another body is refused."""
    session = world.api.new_session(API_KEY, request_id=REQUEST_ID)
    world.platform.always = BROKEN

    assert session == world.api.new_session(API_KEY, request_id=REQUEST_ID)
    reused = failure(lambda: world.api.new_session(API_KEY, request_id=REQUEST_ID, media_mode=ROUTED))
    assert "REQUEST_ID_REUSED" == reused.reason
    assert (1, [session.session_id]) == (len(world.platform.requests), world.stored())


def test_two_calls_at_once_make_one_session(world: World) -> None:
    """Both ask the platform; one of its sessions is stored, and both answer that one."""
    world.platform.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(world.api.new_session, API_KEY, request_id=REQUEST_ID) for _ in range(2)]
        for _ in calls:
            assert world.platform.asked.acquire(timeout=WAIT)
        world.platform.gate.set()
        answers = {call.result(WAIT).session_id for call in calls}

    assert [*answers] == world.stored()


def test_a_slow_platform_holds_up_no_other_change(world: World) -> None:
    """As many calls wait for it as the caller may make changes at once, and one more change is made."""
    session_id = world.api.new_session(world.api.authority.project_id).session_id
    world.platform.gate.clear()
    with ThreadPoolExecutor(CHANGES_OF_A_CALLER) as pool:
        calls = [pool.submit(world.api.new_session, API_KEY) for _ in range(CHANGES_OF_A_CALLER)]
        for _ in calls:
            assert world.platform.asked.acquire(timeout=WAIT)
        ended = world.api.end(session_id)
        world.platform.gate.set()
        created = {call.result(WAIT).session_id for call in calls}

    assert session_pb2.SESSION_STATE_ENDED == ended.state
    assert created == set(world.stored())


def test_an_earlier_session_is_no_new_one(world: World) -> None:
    """A platform that repeats itself must not give an ended session to people who expect another one."""
    session = world.api.new_session(API_KEY)
    world.platform.always = Answer(body=session_json(session.session_id, API_KEY))
    failed = failure(lambda: world.api.new_session(API_KEY, request_id=REQUEST_ID))

    assert (grpc.StatusCode.UNAVAILABLE, "PLATFORM_UNAVAILABLE") == failed.outcome
    assert [session.session_id] == world.stored()


def test_a_caller_that_leaves_early_is_told_by_its_deadline(world: World) -> None:
    """The platform has less time than the caller: no attempt follows when the caller has left."""
    world.platform.gate.clear()
    request = session_pb2.CreateSessionRequest(project_id=API_KEY)
    with pytest.raises(grpc.RpcError):
        world.api.sessions.CreateSession(request, timeout=2.5)
    audit = world.api.authority.audit_path
    eventually(lambda: "CreateSession" in audit.read_text(), "the call goes on")

    assert ["PLATFORM_UNAVAILABLE"] == [line["reason"] for line in world.recorded()]
    assert 1 == len(world.platform.requests)


@pytest.mark.parametrize("url", ["https://elsewhere.example", "http://127.0.0.1:1", "x"])
def test_no_other_url_can_be_set(world: World, url: str) -> None:
    """A caller must not have the server send signed requests to hosts of its choice."""
    credential = project_pb2.OpenTokCredential(api_key="7", api_secret=SECRET)
    requests = [
        project_pb2.ImportProjectRequest(opentok=credential, platform_url=url),
        project_pb2.ImportProjectRequest(platform_url=url),
    ]
    vonage = project_pb2.VonageCredential(application_id=APPLICATION, private_key=rsa_pem())
    requests.append(project_pb2.ImportProjectRequest(vonage=vonage, platform_url=url))

    assert [["platform_url"], ["platform_url", "credential"], ["platform_url"]] == [
        failure(partial(world.api.projects.ImportProject, request)).fields for request in requests
    ]
    assert ["project.platform_url"] == failure(lambda: world.update(API_KEY, url)).fields


def test_the_platform_can_be_changed(world: World) -> None:
    """Empty, the authority makes the sessions again; those that the platform made stay."""
    session = world.api.new_session(API_KEY)
    changed = [world.update(API_KEY, "").platform_url]
    world.api.new_session(API_KEY)
    changed.append(world.update(API_KEY, world.platform.url).platform_url)

    assert ["", world.platform.url] == changed
    assert 1 == len(world.platform.requests)
    assert "ACTIVE" == reason_of(world.api.verify(world.api.generate(session.session_id).token))

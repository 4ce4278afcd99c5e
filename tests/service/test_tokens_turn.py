"""CreateTurnCredentials: defaults, limits, the grant, the session, and what is recorded."""

from __future__ import annotations

import re

from typing import Any

import grpc
import pytest

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from tests.service.api import Api, Connect, Failure, failure
from tests.service.conftest import AWAY, HOME, HOUR, NOW
from tests.support.authority import Clock, RunningAuthority, absent_session
from tests.support.turn import URLS, password_of
from tests.support.wire import V1, records
from tokenauthority.v1 import project_pb2, token_pb2


SECOND = NOW // 1000


def create(api: Api, session_id: str, **fields: Any) -> token_pb2.TurnCredentials:
    """TURN credentials just made; `ttl` may be whole seconds."""
    if isinstance(fields.get("ttl"), int):
        fields["ttl"] = Duration(seconds=fields["ttl"])
    request = token_pb2.CreateTurnCredentialsRequest(session_id=session_id, **fields)
    return api.tokens.CreateTurnCredentials(request).credentials


def refusal(api: Api, session_id: str, **fields: Any) -> Failure:
    """How a request for credentials fails."""
    return failure(lambda: create(api, session_id, **fields))


def update(api: Api, project_id: str, path: str, **values: Any) -> None:
    """Change a project."""
    project = project_pb2.Project(project_id=project_id, **values)
    api.projects.UpdateProject(project_pb2.UpdateProjectRequest(project=project, update_mask=FieldMask(paths=[path])))


def pseudonym(credentials: token_pb2.TurnCredentials) -> str:
    """What a user name says of the person."""
    return credentials.username.partition(":")[2]


def test_credentials_are_those_of_an_ice_server(api: Api, session_id: str, clock: Clock) -> None:
    """For an hour, at all servers of the settings, with the password that these compute from the first secret."""
    made = create(api, session_id)

    assert list(URLS) == list(made.urls)
    assert re.fullmatch(rf"{SECOND + HOUR}:[0-9a-f]{{32}}", made.username)
    assert password_of(made.username) == made.credential
    assert (SECOND + HOUR, 0) == (made.expire_time.seconds, made.expire_time.nanos)


@pytest.mark.parametrize(
    ("ttl", "expected"),
    [(1, 1), (3600, 3600), (Duration(seconds=5, nanos=999_999_999), 5), (Duration(seconds=3600, nanos=1), 3600)],
    ids=repr,
)
def test_gives_the_lifetime_that_was_asked_for(
    api: Api, session_id: str, clock: Clock, ttl: int | Duration, expected: int
) -> None:
    """From a second to an hour; a fraction of a second is cut off."""
    assert SECOND + expected == create(api, session_id, ttl=ttl).expire_time.seconds


def test_an_omitted_lifetime_is_the_projects_where_that_is_shorter(
    api: Api, project_id: str, session_id: str, clock: Clock
) -> None:
    """As for a token."""
    update(api, project_id, "default_ttl", default_ttl=Duration(seconds=60))

    assert SECOND + 60 == create(api, session_id).expire_time.seconds


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"ttl": 0}, ["ttl"]),
        ({"ttl": -1}, ["ttl"]),
        ({"ttl": 3601}, ["ttl"]),
        ({"subject": "é" * 256}, ["subject"]),
        ({"subject": "a\0b", "ttl": 0}, ["subject", "ttl"]),
    ],
    ids=repr,
)
def test_names_what_is_beyond_its_limit(api: Api, session_id: str, fields: dict[str, Any], expected: list[str]) -> None:
    """Each field at once."""
    failed = refusal(api, session_id, **fields)

    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD") == failed.outcome
    assert expected == failed.fields


@pytest.mark.parametrize("session_id", ["", "x", "2_" + "A" * 254])
def test_needs_a_session(api: Api, session_id: str) -> None:
    """By its id."""
    assert ["session_id"] == refusal(api, session_id).fields


def test_the_longest_subject_of_any_characters_is_taken(api: Api, session_id: str) -> None:
    """TURN servers see a pseudonym."""
    made = create(api, session_id, subject="O'Brien; drop table \N{GRINNING FACE} ".ljust(255, "é"))

    assert re.fullmatch(r"\d{10}:[0-9a-f]{32}", made.username)


def test_a_person_has_one_pseudonym_in_a_project(api: Api, session_id: str, project_id: str) -> None:
    """In all sessions; elsewhere another, and without a subject each time another."""
    other_session = api.new_session(project_id).session_id
    elsewhere = api.new_session(AWAY).session_id
    alice, again, bob, other = (
        pseudonym(create(api, where, subject=who))
        for where, who in ((session_id, "alice"), (other_session, "alice"), (session_id, "bob"), (elsewhere, "alice"))
    )
    nobody = {pseudonym(create(api, session_id)) for _ in range(3)}

    assert alice == again
    assert 6 == len({alice, bob, other} | nobody)


def test_the_action_is_not_that_of_tokens(connect: Connect, session_id: str) -> None:
    """A relay costs its operator bandwidth: who may make tokens does not get one with them."""
    failed = refusal(connect("generator"), session_id)

    assert (grpc.StatusCode.PERMISSION_DENIED, "ACTION_NOT_GRANTED") == failed.outcome


def test_needs_no_role(connect: Connect) -> None:
    """TURN has none."""
    relay = connect("relay")

    assert create(relay, connect().new_session(HOME).session_id, ttl=60).credential


def test_refuses_what_the_grant_does_not_allow(connect: Connect, api: Api) -> None:
    """Another project, whether its session exists or not, and a longer life."""
    relay, home = connect("relay"), api.new_session(HOME).session_id
    away = [refusal(relay, each) for each in (api.new_session(AWAY).session_id, absent_session(AWAY))]
    long = refusal(relay, home, ttl=61)

    assert {(grpc.StatusCode.PERMISSION_DENIED, "PROJECT_NOT_GRANTED")} == {failed.outcome for failed in away}
    assert (grpc.StatusCode.PERMISSION_DENIED, "LIFETIME_NOT_GRANTED") == long.outcome
    assert "max_ttl=60s" in long.facts.values()


def test_an_omitted_lifetime_is_cut_to_the_grant(connect: Connect, api: Api, clock: Clock) -> None:
    """And is no refusal."""
    session_id = api.new_session(HOME).session_id

    assert SECOND + 60 == create(connect("relay"), session_id).expire_time.seconds


def test_refuses_more_than_the_project_allows(api: Api, project_id: str, session_id: str) -> None:
    """The lifetime of its tokens bounds that of its credentials."""
    update(api, project_id, "default_ttl", default_ttl=Duration(seconds=60))
    update(api, project_id, "max_ttl", max_ttl=Duration(seconds=60))
    failed = refusal(api, session_id, ttl=61)

    assert (grpc.StatusCode.INVALID_ARGUMENT, ["ttl"]) == (failed.code, failed.fields)


def test_refuses_a_session_that_is_over_or_was_never_made(api: Api, project_id: str, session_id: str) -> None:
    """But for the sessions of another system, where the project accepts them."""
    absent = absent_session(project_id)
    never = refusal(api, absent)
    api.end(session_id)
    over = refusal(api, session_id)
    update(api, project_id, "external_sessions", external_sessions=True)

    assert (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND") == never.outcome
    assert (grpc.StatusCode.FAILED_PRECONDITION, "SESSION_ENDED") == over.outcome
    assert create(api, absent).credential


def test_a_disabled_project_gets_none(api: Api, project_id: str, session_id: str) -> None:
    """As it gets no tokens."""
    update(api, project_id, "disabled", disabled=True)

    assert (grpc.StatusCode.FAILED_PRECONDITION, "PROJECT_DISABLED") == refusal(api, session_id).outcome


def test_counts_against_the_rate(connect: Connect, api: Api) -> None:
    """As a token does."""
    hourly, session_id = connect("hourly"), api.new_session(HOME).session_id
    create(hourly, session_id)
    failed = refusal(hourly, session_id)

    assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMIT") == failed.outcome


def test_is_recorded_without_the_password(
    shared: RunningAuthority, api: Api, connect: Connect, project_id: str, session_id: str
) -> None:
    """The session, the subject and the user name, by which the log of a TURN server leads here; a refusal too."""
    made = create(api, session_id, subject="alice", ttl=60)
    refusal(connect("home"), session_id, subject="bob", ttl=61)
    text = shared.audit_path.read_text()
    done, refused = (
        {name: record.get(name) for name in ("code", "action", "project_id", "subject", "lifetime", "object_id")}
        for record in records(shared.audit_path)
        if record.get("session_id") == session_id and record["method"] == V1 + "TokenService/CreateTurnCredentials"
    )

    assert {
        "code": "OK",
        "action": "turn.create",
        "project_id": project_id,
        "subject": "alice",
        "lifetime": 60,
        "object_id": made.username,
    } == done
    assert {
        "code": "PERMISSION_DENIED",
        "action": "turn.create",
        "project_id": project_id,
        "subject": "bob",
        "lifetime": 61,
        "object_id": None,
    } == refused
    assert made.credential not in text


def test_says_that_the_settings_name_no_turn_server(connect: Connect, running_authority: RunningAuthority) -> None:
    """An operator's matter, which no repeated call changes."""
    api = connect(authority=running_authority)
    failed = refusal(api, api.new_session(running_authority.project_id).session_id)

    assert (grpc.StatusCode.FAILED_PRECONDITION, "TURN_UNAVAILABLE") == failed.outcome
    assert ("TURN_UNAVAILABLE", "turn") == failed.precondition

"""GenerateToken: defaults, limits, roles, formats and every error of the contract."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from tests.service.api import Api, Connect, failure, lifetime, reason_of
from tests.service.conftest import AWAY, HOME, HOUR, NOW, NOWHERE
from tests.support.authority import Clock, absent_session
from tokenauthority.domain.role import BUILT_IN_ROLES
from tokenauthority.v1 import project_pb2, role_pb2, token_pb2


DAY = 86_400
MONTH = 30 * DAY
SECOND = NOW // 1000
EMOJI = "\N{GRINNING FACE}"
FORMATS = [token_pb2.TOKEN_FORMAT_SESSION_JWT, token_pb2.TOKEN_FORMAT_OPENTOK_T1, token_pb2.TOKEN_FORMAT_OPENTOK_JWT]


def update(api: Api, project_id: str, *paths: str, **values: Any) -> None:
    """Change a project."""
    project = project_pb2.Project(project_id=project_id, **values)
    api.projects.UpdateProject(project_pb2.UpdateProjectRequest(project=project, update_mask=FieldMask(paths=paths)))


def test_defaults_are_those_of_the_contract(api: Api, project_id: str, session_id: str, clock: Clock) -> None:
    """Publisher, 24 hours, the project's format, signed by the authority's key, without data or subject."""
    token = api.generate(session_id)
    claims = api.verify(token.token).claims

    assert ("publisher", token_pb2.TOKEN_FORMAT_SESSION_JWT, DAY) == (token.role, token.format, lifetime(token))
    assert (session_id, project_id) == (token.session_id, token.project_id)
    assert (SECOND, 0, 0) == (token.issue_time.seconds, token.issue_time.nanos, token.expire_time.nanos)
    assert ("", "", []) == (claims.data, claims.subject, list(claims.initial_layout_class_list))
    assert (token.token_id, token.key_id) == (claims.token_id, claims.key_id)


def test_the_project_says_the_default_format_and_lifetime(api: Api, project_id: str, session_id: str) -> None:
    """What a request leaves out is what the project says."""
    update(
        api,
        project_id,
        "default_format",
        "default_ttl",
        default_format=token_pb2.TOKEN_FORMAT_OPENTOK_T1,
        default_ttl=Duration(seconds=90),
    )

    token = api.generate(session_id)

    assert (token_pb2.TOKEN_FORMAT_OPENTOK_T1, 90) == (token.format, lifetime(token))
    assert token.token.startswith("T1==")


def test_an_omitted_lifetime_is_cut_to_the_grant(connect: Connect) -> None:
    """A caller that may give an hour gets an hour where it does not say, and not a refusal."""
    limited = connect("limited")
    session = limited.new_session("")

    assert HOUR == lifetime(limited.generate(session.session_id))


def test_an_omitted_lifetime_is_the_projects_where_that_is_shorter(connect: Connect, api: Api) -> None:
    """The grant's cap lengthens nothing."""
    limited = connect("limited")
    session = limited.new_session(HOME)
    update(api, HOME, "default_ttl", default_ttl=Duration(seconds=60))
    token = limited.generate(session.session_id)
    update(api, HOME, "default_ttl", default_ttl=Duration(seconds=DAY))

    assert 60 == lifetime(token)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"ttl": 1}, 1),
        ({"ttl": MONTH}, MONTH),
        ({"ttl": Duration(seconds=5, nanos=999_999_999)}, 5),
        ({"ttl": Duration(seconds=MONTH, nanos=1)}, MONTH),
        ({"expire_time": SECOND + 1}, 1),
        ({"expire_time": SECOND + MONTH}, MONTH),
        ({"expire_time": Timestamp(seconds=SECOND + 5, nanos=999_999_999)}, 5),
    ],
    ids=repr,
)
def test_gives_the_lifetime_that_was_asked_for(
    api: Api, session_id: str, clock: Clock, fields: dict[str, Any], expected: int
) -> None:
    """From a second to exactly 30 days; a fraction of a second is cut off."""
    token = api.generate(session_id, **fields)

    assert (SECOND, expected) == (token.issue_time.seconds, lifetime(token))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"ttl": 0}, "request.ttl"),
        ({"ttl": Duration(nanos=999_999_999)}, "request.ttl"),
        ({"ttl": -1}, "request.ttl"),
        ({"ttl": MONTH + 1}, "request.ttl"),
        ({"expire_time": SECOND}, "request.expire_time"),
        ({"expire_time": 0}, "request.expire_time"),
        ({"expire_time": -1}, "request.expire_time"),
        ({"expire_time": SECOND + MONTH + 1}, "request.expire_time"),
        ({"data": "x" * 1001}, "request.data"),
        ({"data": EMOJI * 1001}, "request.data"),
        ({"subject": EMOJI * 256}, "request.subject"),
        ({"initial_layout_class_list": ["x" * 500, "x" * 500]}, "request.initial_layout_class_list"),
        ({"initial_layout_class_list": ["a", "b c"]}, "request.initial_layout_class_list[1]"),
        ({"format": 99}, "request.format"),
        ({"role": "Not A Role"}, "request.role"),
        ({"role": "x" * 20_000}, "request.role"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_names_what_is_beyond_its_limit(
    api: Api, session_id: str, clock: Clock, fields: dict[str, Any], expected: str
) -> None:
    """One step beyond a limit is INVALID_ARGUMENT with the field."""
    failed = failure(lambda: api.generate(session_id, **fields))

    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD") == failed.outcome
    assert [expected] == failed.fields


@pytest.mark.parametrize(
    "fields",
    [
        {"data": "x" * 1000},
        {"data": EMOJI * 1000},
        {"subject": EMOJI * 255},
        {"initial_layout_class_list": ["x" * 500, "x" * 499]},
        {"initial_layout_class_list": [EMOJI * 1000]},
    ],
    ids=lambda value: repr(value)[:60],
)
def test_carries_what_is_at_its_limit(api: Api, session_id: str, fields: dict[str, Any]) -> None:
    """The longest texts come out of the token as they went in."""
    claims = api.verify(api.generate(session_id, **fields).token).claims

    assert fields == {
        name: value if isinstance(value := getattr(claims, name), str) else list(value) for name in fields
    }


def test_names_every_invalid_field_at_once(api: Api) -> None:
    """Also a format that is not known and fields of the token request that are missing."""
    failed = failure(
        lambda: api.generate(
            "", role="?", data="x" * 1001, subject="x" * 256, ttl=0, format=99, initial_layout_class_list=[""]
        )
    )

    names = ("session_id", "role", "data", "subject", "ttl", "format", "initial_layout_class_list[0]")
    assert sorted(f"request.{name}" for name in names) == sorted(failed.fields)
    assert all(description for _, description in failed.violations)


def test_a_request_without_a_token_request_lacks_its_session(api: Api) -> None:
    """An empty message is an ordinary error."""
    failed = failure(lambda: api.tokens.GenerateToken(token_pb2.GenerateTokenRequest()))

    assert ["request.session_id"] == failed.fields


@pytest.mark.parametrize(
    "session_id", ["nonsense", "2_", "2_AAAA", "T1==", "x" * 256, "\x00"], ids=lambda text: text[:8]
)
def test_a_text_that_is_no_session_id_is_malformed(api: Api, session_id: str) -> None:
    """It is not looked up."""
    failed = failure(lambda: api.generate(session_id))

    assert (grpc.StatusCode.INVALID_ARGUMENT, ["request.session_id"]) == (failed.code, failed.fields)


@pytest.mark.parametrize("role", sorted(BUILT_IN_ROLES))
@pytest.mark.parametrize("token_format", FORMATS, ids=token_pb2.TokenFormat.Name)
def test_every_built_in_role_goes_into_every_format(
    api: Api, session_id: str, role: str, token_format: token_pb2.TokenFormat.ValueType
) -> None:
    """A token permits what its role does, whatever its format."""
    token = api.generate(session_id, role=role, format=token_format)
    verdict = api.verify(token.token)

    permissions = [role_pb2.Permission.Value(f"PERMISSION_{p.name}") for p in BUILT_IN_ROLES[role].permissions]
    assert "ACTIVE" == reason_of(verdict)
    assert (role, token_format) == (verdict.claims.role, verdict.claims.format)
    assert permissions == list(verdict.claims.permissions)


def test_a_subject_needs_the_native_format(api: Api, session_id: str) -> None:
    """It is carried there and refused elsewhere, so that nobody relies on what is not in the token."""
    claims = api.verify(api.generate(session_id, subject="alice").token).claims
    failed = failure(lambda: api.generate(session_id, subject="alice", format=token_pb2.TOKEN_FORMAT_OPENTOK_JWT))

    assert "alice" == claims.subject
    assert (grpc.StatusCode.INVALID_ARGUMENT, ["request.subject"]) == (failed.code, failed.fields)


def test_a_format_without_a_key_is_a_failed_precondition(api: Api, project_id: str, session_id: str) -> None:
    """A project that was not imported from Vonage has no key for its format."""
    failed = failure(lambda: api.generate(session_id, format=token_pb2.TOKEN_FORMAT_VONAGE_JWT))

    assert (grpc.StatusCode.FAILED_PRECONDITION, "FORMAT_UNAVAILABLE") == failed.outcome
    assert ("FORMAT_UNAVAILABLE", project_id) == failed.precondition


def test_a_lifetime_above_the_projects_is_invalid(api: Api, project_id: str, session_id: str) -> None:
    """`max_ttl` is a limit of the request; exactly that long is allowed."""
    update(api, project_id, "max_ttl", "default_ttl", max_ttl=Duration(seconds=60), default_ttl=Duration(seconds=30))

    failed = failure(lambda: api.generate(session_id, ttl=61))

    assert (grpc.StatusCode.INVALID_ARGUMENT, ["request.ttl"]) == (failed.code, failed.fields)
    assert 60 == lifetime(api.generate(session_id, ttl=60))


@pytest.mark.parametrize(
    ("caller", "fields", "expected"),
    [
        ("limited", {"ttl": HOUR + 1}, ("LIFETIME_NOT_GRANTED", "max_ttl=3600s", "ttl")),
        ("limited", {"role": "moderator"}, ("ROLE_NOT_GRANTED", "roles", "role")),
        ("limited", {"role": "absent"}, ("ROLE_NOT_GRANTED", "roles", "role")),
        ("native", {"format": token_pb2.TOKEN_FORMAT_OPENTOK_T1}, ("FORMAT_NOT_GRANTED", "formats", "format")),
    ],
    ids=["lifetime", "role", "role that is absent", "format"],
)
def test_what_the_grant_lacks_is_denied(
    connect: Connect, caller: str, fields: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    """PERMISSION_DENIED names the limit of the grant and the field of the request."""
    called = connect(caller)
    session_id = called.new_session(HOME).session_id

    failed = failure(lambda: called.generate(session_id, **fields))

    assert (grpc.StatusCode.PERMISSION_DENIED, expected[0]) == failed.outcome
    assert expected[1] == failed.facts["limit"]
    assert failed.facts["field"].endswith(expected[2])


def test_what_the_grant_just_allows_is_granted(connect: Connect) -> None:
    """The longest lifetime of the grant, and its roles."""
    limited = connect("limited")
    session_id = limited.new_session(HOME).session_id

    assert HOUR == lifetime(limited.generate(session_id, ttl=HOUR, role="subscriber"))


def test_a_session_that_nobody_made_is_not_found(api: Api, project_id: str) -> None:
    """A well-formed id alone is not enough."""
    session_id = absent_session(project_id)

    failed = failure(lambda: api.generate(session_id))

    assert (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND") == failed.outcome
    assert ("session", session_id) == failed.resource


def test_a_role_that_nobody_defined_is_not_found(api: Api, session_id: str) -> None:
    """The role is named."""
    failed = failure(lambda: api.generate(session_id, role="cameraman"))

    assert (grpc.StatusCode.NOT_FOUND, "ROLE_NOT_FOUND") == failed.outcome
    assert ("role", "cameraman") == failed.resource


def test_the_session_of_a_project_that_is_not_here_is_not_found(api: Api) -> None:
    """To a caller that may use every project."""
    failed = failure(lambda: api.generate(absent_session(NOWHERE)))

    assert (grpc.StatusCode.NOT_FOUND, "PROJECT_NOT_FOUND") == failed.outcome
    assert ("project", NOWHERE) == failed.resource


def test_an_ended_session_gets_no_tokens(api: Api, session_id: str) -> None:
    """FAILED_PRECONDITION, with the session."""
    api.end(session_id)

    failed = failure(lambda: api.generate(session_id))

    assert (grpc.StatusCode.FAILED_PRECONDITION, "SESSION_ENDED") == failed.outcome
    assert ("SESSION_ENDED", session_id) == failed.precondition


@pytest.mark.parametrize("project", [AWAY, NOWHERE])
def test_a_session_outside_the_grant_is_denied_whether_it_exists_or_not(
    connect: Connect, api: Api, project: str
) -> None:
    """The two answers are the same, word for word."""
    session_id = api.new_session(AWAY).session_id if project == AWAY else absent_session(NOWHERE)

    failed = failure(lambda: connect("home").generate(session_id))

    assert (grpc.StatusCode.PERMISSION_DENIED, "PROJECT_NOT_GRANTED") == failed.outcome
    assert "the caller's grant does not name this project" == failed.message
    assert {"limit", "field", "request_id"} == set(failed.facts)


def test_each_token_has_an_id_of_its_own(api: Api, session_id: str) -> None:
    """Two tokens of one request are two tokens."""
    made = [api.generate(session_id, format=token_format) for token_format in FORMATS for _ in range(3)]

    assert len(made) == len({token.token_id for token in made}) == len({token.token for token in made})

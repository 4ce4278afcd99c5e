"""BatchGenerateTokens: all or none, in order, up to the largest that is legal."""

from __future__ import annotations

import base64

import grpc
import pytest

from tests.service.api import Api, Connect, failure, reason_of, wanted
from tests.service.conftest import AWAY, HOME
from tests.support.authority import absent_session
from tokenauthority.v1 import project_pb2, role_pb2, token_pb2


EMOJI = "\N{GRINNING FACE}"


@pytest.mark.parametrize("count", [1, 1000])
def test_makes_1_to_1000_tokens_in_the_order_asked_for(api: Api, session_id: str, count: int) -> None:
    """Each token is that of its request."""
    tokens = api.batch([wanted(session_id, ttl=60 + i, data=str(i), format=1 + i % 3) for i in range(count)])

    assert [(60 + i, 1 + i % 3) for i in range(count)] == [
        (token.expire_time.seconds - token.issue_time.seconds, token.format) for token in tokens
    ]
    for i in (0, count // 2, count - 1):
        assert str(i) == api.verify(tokens[i].token).claims.data
    assert count == len({token.token_id for token in tokens})


@pytest.mark.parametrize("count", [0, 1001])
def test_refuses_no_request_and_more_than_1000(api: Api, session_id: str, count: int) -> None:
    """The whole batch is INVALID_ARGUMENT."""
    failed = failure(lambda: api.batch([wanted(session_id)] * count))

    assert (grpc.StatusCode.INVALID_ARGUMENT, ["requests"]) == (failed.code, failed.fields)


def test_names_every_invalid_item_and_makes_none(api: Api, session_id: str) -> None:
    """Whatever is wrong with an item, its field is named with its place in the batch."""
    project_id = api.verify(api.generate(session_id).token).claims.project_id
    ended = api.new_session(project_id).session_id
    api.end(ended)
    good = wanted(session_id)
    requests = [
        good,
        wanted(session_id, data="x" * 1001, ttl=0),
        wanted(""),
        wanted("nonsense"),
        wanted(session_id, role="cameraman"),
        wanted(session_id, format=99, subject="x" * 256),
        wanted(session_id, format=token_pb2.TOKEN_FORMAT_VONAGE_JWT),
        wanted(ended),
        wanted(absent_session(project_id)),
        wanted(session_id, subject="alice", format=token_pb2.TOKEN_FORMAT_OPENTOK_T1),
        good,
    ]

    failed = failure(lambda: api.batch(requests))

    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD") == failed.outcome
    assert [
        "requests[1].data",
        "requests[1].ttl",
        "requests[2].session_id",
        "requests[3].session_id",
        "requests[4].role",
        "requests[5].format",
        "requests[5].subject",
        "requests[6].format",
        "requests[7].session_id",
        "requests[8].session_id",
        "requests[9].subject",
    ] == sorted(failed.fields)


def test_one_invalid_item_among_many_is_named(api: Api, session_id: str) -> None:
    """The example of the contract."""
    requests = [wanted(session_id, role="cameraman" if i == 17 else "publisher") for i in range(100)]

    assert ["requests[17].role"] == failure(lambda: api.batch(requests)).fields


def test_1000_invalid_items_are_all_named(api: Api, session_id: str) -> None:
    """As many as every gRPC client takes in its trailers one by one, and the rest in one violation."""
    failed = failure(lambda: api.batch([wanted(session_id, role="cameraman", data="x" * 1001)] * 1000))

    *one_by_one, last = failed.violations
    named = {field.partition(".")[0] for field, _ in one_by_one}
    assert {f"requests[{i}]" for i in range(len(named))} == named
    assert len(named) > 10
    assert ("requests", f"{2000 - len(one_by_one)} more violations, of the items {len(one_by_one) // 2}-999") == last


def test_an_item_outside_the_grant_is_denied(connect: Connect, api: Api) -> None:
    """PERMISSION_DENIED names the item, and no token is made."""
    home = connect("home")
    inside, outside = home.new_session(HOME).session_id, api.new_session(AWAY).session_id

    failed = failure(lambda: home.batch([wanted(inside), wanted(inside), wanted(outside)]))

    assert (grpc.StatusCode.PERMISSION_DENIED, "PROJECT_NOT_GRANTED") == failed.outcome
    assert ("projects", "requests[2].session_id") == (failed.facts["limit"], failed.facts["field"])


def test_a_batch_may_be_of_several_projects(api: Api, session_id: str) -> None:
    """Each token is of its own session's project, in that project's format."""
    secret = "0123456789abcdef0123456789abcdef01234567"
    credential = project_pb2.OpenTokCredential(api_key="40000001", api_secret=secret)
    api.projects.ImportProject(project_pb2.ImportProjectRequest(opentok=credential))
    imported = api.new_session("40000001").session_id

    tokens = api.batch([wanted(session_id), wanted(imported)])

    formats = [token_pb2.TOKEN_FORMAT_SESSION_JWT, token_pb2.TOKEN_FORMAT_OPENTOK_JWT]
    assert formats == [token.format for token in tokens]
    assert "40000001" == tokens[1].project_id


@pytest.mark.parametrize(
    "token_format",
    [token_pb2.TOKEN_FORMAT_SESSION_JWT, token_pb2.TOKEN_FORMAT_OPENTOK_T1],
    ids=token_pb2.TokenFormat.Name,
)
def test_the_largest_legal_batch_passes(api: Api, token_format: token_pb2.TokenFormat.ValueType) -> None:
    """A thousand requests that are each as long as can be, in the native format and in the one that grows most."""
    native = token_format == token_pb2.TOKEN_FORMAT_SESSION_JWT
    project = api.projects.CreateProject(project_pb2.CreateProjectRequest(external_sessions=True)).project
    head = f"1~{project.project_id}~~1726462588647~"
    fields = head + "r" * (189 - len(head) - 3) + "~~~"
    session_id = "2_" + base64.urlsafe_b64encode(fields.encode()).decode()
    role = "r" * 63
    api.roles.CreateRole(
        role_pb2.CreateRoleRequest(project_id=project.project_id, name=role, permissions=[role_pb2.PERMISSION_PUBLISH])
    )
    request = wanted(
        session_id,
        role=role if native else "publisheronly",
        data=EMOJI * 1000,
        ttl=30 * 86_400,
        format=token_format,
        initial_layout_class_list=[EMOJI * 1000],
        subject=EMOJI * 255 if native else "",
    )

    tokens = api.batch([request] * 1000)

    verdict = api.verify(tokens[-1].token)
    assert 254 == len(session_id)
    assert 1000 == len(tokens)
    assert "ACTIVE" == reason_of(verdict)
    assert (request.data, request.subject) == (verdict.claims.data, verdict.claims.subject)

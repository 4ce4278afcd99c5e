"""Envoy asks over gRPC, in its own words, whether to let the bearer of a token in."""

from __future__ import annotations

import asyncio

from collections.abc import Mapping
from typing import Any

import grpc
import pytest

from hypothesis import given
from hypothesis import strategies as st

from tests.service.api import Api, Connect
from tests.support.authority import RunningAuthority
from tests.support.wire import Outcome, Wire, records
from tokenauthority.domain.errors import InvalidRequestError
from tokenauthority.service.ext_authz import CHECK, CheckRequest, CheckResponse, Entry, EnvoyCoding
from tokenauthority.v1 import token_pb2
from tokenauthority.v1.token_pb2 import VerifyTokenRequest


LIVE = {"permission": "subscribe", "path_prefix": "/live/"}


def asked(path: str, authorization: str | None = None, route: Mapping[str, str] = LIVE) -> bytes:
    """What Envoy sends for a request to *path*, by the field numbers of its API."""
    request: Any = CheckRequest()
    attributes = request.attributes
    attributes.request.http.path = path
    headers = {":path": path} if authorization is None else {":path": path, "authorization": authorization}
    attributes.request.http.headers.extend(Entry(key=key, value=value) for key, value in headers.items())
    attributes.context_extensions.extend(Entry(key=key, value=value) for key, value in route.items())
    return bytes(request.SerializeToString())


def question(path: str, authorization: str | None = None, route: Mapping[str, str] = LIVE) -> VerifyTokenRequest:
    """What is asked of VerifyToken."""
    return VerifyTokenRequest.FromString(asyncio.run(EnvoyCoding().decode(asked(path, authorization, route))))


def answered(outcome: Outcome) -> tuple[int, int, dict[str, str]]:
    """The code, the HTTP status and the headers with which Envoy answers; zeros where it lets the request pass."""
    assert grpc.StatusCode.OK.name == outcome.code
    response: Any = CheckResponse.FromString(outcome.body)
    denied = response.denied_response
    return response.status.code, denied.status.code, {each.header.key: each.header.value for each in denied.headers}


@pytest.fixture
def api(running_authority: RunningAuthority, connect: Connect) -> Api:
    """The stubs, to make sessions and tokens."""
    return connect(authority=running_authority)


@pytest.fixture
def wire(api: Api) -> Wire:
    """Calls as Envoy makes them."""
    return Wire(channel=api.channel, api_key=api.authority.api_key)


def test_passes_a_valid_token_and_says_why_not_otherwise(
    api: Api, running_authority: RunningAuthority, wire: Wire
) -> None:
    """By the path, on the listener of gRPC; after a revocation no more. It is recorded as VerifyToken."""
    session_id = api.new_session(running_authority.project_id).session_id
    subscriber = api.generate(session_id, role="subscriber").token
    bearer, path = f"Bearer {subscriber}", f"/live/{session_id}/index.m3u8?x=/../"
    publish = {"permission": "publish", "session_id": session_id}

    passes = wire.call(CHECK, asked(path, bearer))
    without, may_not = wire.call(CHECK, asked(path)), wire.call(CHECK, asked("/", bearer, publish))
    elsewhere = wire.call(CHECK, asked("/live/other/index.m3u8", bearer))
    api.tokens.RevokeTokens(token_pb2.RevokeTokensRequest(token=subscriber))
    revoked = wire.call(CHECK, asked(path, bearer))

    unauthenticated = (16, 401, {"www-authenticate": 'Bearer error="invalid_token"'})
    assert (0, 0, {}) == answered(passes)
    assert [unauthenticated] * 2 == [answered(without), answered(revoked)]
    assert [(7, 403, {})] * 2 == [answered(may_not), answered(elsewhere)]
    checks = [each for each in records(running_authority.audit_path) if each.get("transport") == "envoy"]
    assert ["", "MALFORMED", "PERMISSION_MISSING", "SESSION_MISMATCH", "REVOKED"] == [
        each.get("reason", "") for each in checks
    ]
    assert {("/tokenauthority.v1.TokenService/VerifyToken", "tokens.verify")} == {
        (each["method"], each["action"]) for each in checks
    }
    assert subscriber not in running_authority.audit_path.read_text()


def test_the_asker_is_a_caller_as_others_are(wire: Wire) -> None:
    """An error, at which Envoy lets nobody in."""
    assert "UNAUTHENTICATED" == wire.call(CHECK, asked("/live/x/", "Bearer x"), api_key="").code
    assert "INVALID_ARGUMENT" == wire.call(CHECK, b"\xff").code
    assert "INVALID_ARGUMENT" == wire.call(CHECK, asked("/live/x/" + "x" * 40_000)).code
    assert "UNIMPLEMENTED" == wire.call(CHECK + "s", b"").code


@pytest.mark.parametrize(
    ("path", "session"),
    [
        ("/live/standup/index.m3u8", "standup"),
        ("/live/standup", "standup"),
        ("/live/standup?token=/live/other/", "standup"),
        ("/live/standup/a%20b/.c/..d/e..", "standup"),
        ("/live/standup%26/x", "standup%26"),
        ("/live/", "/"),
        ("/live", "/"),
        ("/", "/"),
        ("", "/"),
        ("/Live/standup/", "/"),
        ("/live//standup/", "/"),
        ("/live/standup/../other/x", "/"),
        ("/live/standup/..", "/"),
        ("/live/standup/..;/other/x", "/"),
        ("/live/standup/.;a=b/x", "/"),
        ("/live/./standup/x", "/"),
        ("/live/standup/%2e%2E/other/x", "/"),
        ("/live/standup%2f..%2Fother/x", "/"),
        ("/live/standup/..\\other/x", "/"),
        ("/live/standup/%5c../x", "/"),
        ("/live/" + "x" * 300 + "/", "/"),
    ],
)
def test_reads_the_session_in_the_path_unless_it_is_in_doubt(path: str, session: str) -> None:
    """What the server behind Envoy could read as another path names no session, and is denied as that."""
    assert session == question(path).session_id


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer T1==abc", "T1==abc"), (None, "-"), ("Basic x", "-"), ("Bearer a,Bearer b", "a,Bearer b")],
)
def test_the_token_is_the_bearer_of_the_end_users_request(header: str | None, token: str) -> None:
    """None is as one that is not valid; so are two, which Envoy joins."""
    assert token == question("/live/standup/", header).token


@pytest.mark.parametrize(
    "route",
    [
        {},
        {"permission": "subscribe"},
        {"path_prefix": "/live/"},
        {"permission": "read", "path_prefix": "/live/"},
        {"permission": "subscribe", "path_prefix": "/live/", "session_id": "standup"},
        {"permission": "subscribe", "session_id": "standup", "prefix": "/live/"},
    ],
)
def test_a_mistake_in_the_route_is_an_error(route: dict[str, str]) -> None:
    """Of the asker: nobody gets in."""
    with pytest.raises(InvalidRequestError):
        question("/live/standup/", "Bearer x", route)


@given(st.binary() | st.text().map(lambda path: asked("/live/" + path, "Bearer " + path)))
def test_any_other_bytes_are_a_question_or_a_mistake(message: bytes) -> None:
    """Never an error of ours."""
    try:
        request = VerifyTokenRequest.FromString(asyncio.run(EnvoyCoding().decode(message)))
    except InvalidRequestError:
        return
    assert request.token
    assert request.session_id
    assert request.required_permissions

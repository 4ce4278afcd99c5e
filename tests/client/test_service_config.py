"""Which calls are repeated, and that answers of every legal size arrive."""

from __future__ import annotations

import json

import grpc
import pytest

from tests.client.conftest import ScriptedServer, failing, giving
from tokenauthority.client import (
    SERVICE_CONFIG,
    Authority,
    AuthorityError,
    TokenRequest,
    Unavailable,
    translated_errors,
)
from tokenauthority.client.service_config import MAX_RECEIVE_BYTES
from tokenauthority.contract import METHODS
from tokenauthority.domain.token import MAX_BATCH, MAX_TOKEN
from tokenauthority.v1 import key_pb2, project_pb2, session_pb2, token_pb2


def test_retries_every_idempotent_rpc_and_no_other() -> None:
    """A second secret or project must never come from a retry."""
    retried = [
        f"/{name['service']}/{name['method']}"
        for config in json.loads(SERVICE_CONFIG)["methodConfig"]
        for name in config["name"]
    ]
    idempotent = [path for path, method in METHODS.items() if method.is_idempotent]

    assert sorted([*idempotent, "/grpc.health.v1.Health/Check"]) == sorted(retried)


def test_receives_the_largest_legal_batch() -> None:
    """The limit is above a full batch of the longest tokens, in the server's own numbers."""
    token = token_pb2.Token(
        token="x" * MAX_TOKEN,
        token_id="x" * 64,
        session_id="x" * 255,
        project_id="2147483647",
        role="x" * 63,
        key_id="x" * 64,
    )

    assert MAX_RECEIVE_BYTES > MAX_BATCH * (token.ByteSize() + 64)


def test_answers_above_grpcs_own_limit_arrive(authority: Authority) -> None:
    """By itself gRPC refuses more than 4 MiB."""
    session = authority.create_session()
    wanted = TokenRequest(session.session_id, data="😀" * 1000, format="opentok_t1")

    tokens = authority.generate_tokens([wanted] * 300)

    assert 300 == len({token.token for token in tokens})
    assert 4 * 1024 * 1024 < sum(len(token.token) for token in tokens)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
def test_repeats_the_same_request_until_it_is_answered(
    scripted_server: ScriptedServer, scripted: Authority, code: grpc.StatusCode
) -> None:
    """CreateSession is repeated with its request id, so that one session is made."""
    answer = session_pb2.CreateSessionResponse(session=session_pb2.Session(session_id="2_abc"))
    scripted_server.answers = [failing(code), failing(code), giving(answer)]

    session = scripted.create_session()

    assert "2_abc" == session.session_id
    sent = [session_pb2.CreateSessionRequest.FromString(request) for request in scripted_server.requests]
    assert 3 == len(sent)
    assert 1 == len({request.request_id for request in sent})
    assert sent[0].request_id


def test_gives_up_after_five_attempts(scripted_server: ScriptedServer, scripted: Authority) -> None:
    """An authority that is down is not called for ever."""
    scripted_server.answers = [failing(grpc.StatusCode.UNAVAILABLE)]

    with pytest.raises(Unavailable):
        scripted.get_session("2_abc")

    assert 5 == len(scripted_server.requests)


def test_does_not_repeat_what_makes_something_new(scripted_server: ScriptedServer, scripted: Authority) -> None:
    """CreateProject without an answer may have made a project."""
    scripted_server.answers = [failing(grpc.StatusCode.UNAVAILABLE)]

    with pytest.raises(Unavailable), translated_errors():
        scripted.projects.CreateProject(project_pb2.CreateProjectRequest())

    assert 1 == len(scripted_server.requests)


def test_does_not_repeat_a_refusal(scripted_server: ScriptedServer, scripted: Authority) -> None:
    """What the authority has decided stays decided."""
    scripted_server.answers = [failing(grpc.StatusCode.PERMISSION_DENIED)]

    with pytest.raises(AuthorityError):
        scripted.get_session("2_abc")

    assert 1 == len(scripted_server.requests)


def test_no_policy_bounds_a_stream() -> None:
    """WatchRevocations stays open; the deadline of other calls is the client's to set."""
    assert not [config for config in json.loads(SERVICE_CONFIG)["methodConfig"] if "timeout" in config]


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
def test_tokens_are_revoked_however_often_it_takes(
    scripted_server: ScriptedServer, scripted: Authority, code: grpc.StatusCode
) -> None:
    """Done twice, they are revoked once."""
    answer = token_pb2.RevokeTokensResponse(revocation=token_pb2.Revocation(token_id="abc"))
    scripted_server.answers = [failing(code), giving(answer)]

    assert "abc" == scripted.revoke_tokens(token_id="abc").token_id
    assert 2 == len(scripted_server.requests)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
def test_a_key_is_prepared_once(scripted_server: ScriptedServer, scripted: Authority, code: grpc.StatusCode) -> None:
    """Each attempt could make another one."""
    scripted_server.answers = [failing(code)]

    with pytest.raises(AuthorityError), translated_errors():
        scripted.keys.PrepareSigningKey(key_pb2.PrepareSigningKeyRequest())

    assert 1 == len(scripted_server.requests)

"""RevokeTokens: what was revoked is invalid from the answer on, and the audit log says who did it to whom."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from google.protobuf.timestamp_pb2 import Timestamp

from tests.authority.world import platform_session
from tests.service.api import Api, Connect, failure, reason_of
from tests.service.conftest import AWAY, HOME, NOW, NOWHERE
from tests.support.authority import Clock, RunningAuthority, StartAuthority, eventually
from tests.support.faulty_store import FaultyStore
from tests.support.memory_store import MemoryStore
from tests.support.wire import V1, records
from tokenauthority.domain.times import Millis
from tokenauthority.signing.sealing import MasterKey, Sealer
from tokenauthority.v1 import token_pb2


SECOND = NOW // 1000
DAY = 86_400
METHOD = V1 + "TokenService/RevokeTokens"
FORMATS = [token_pb2.TOKEN_FORMAT_SESSION_JWT, token_pb2.TOKEN_FORMAT_OPENTOK_T1, token_pb2.TOKEN_FORMAT_OPENTOK_JWT]
TARGETS = pytest.mark.parametrize("target", ["token", "token_id", "session_id", "subject"])


def revoke(api: Api, **fields: Any) -> token_pb2.Revocation:
    """Take tokens back."""
    return api.tokens.RevokeTokens(token_pb2.RevokeTokensRequest(**fields)).revocation


def fields_of(target: str, token: token_pb2.Token) -> dict[str, str]:
    """A request that means *token* by *target*."""
    values = {"token": token.token, "token_id": token.token_id, "session_id": token.session_id, "subject": "alice"}
    named = {"project_id": token.project_id} if target in {"token_id", "subject"} else {}
    return {target: values[target], **named}


def last_record(authority: RunningAuthority) -> dict[str, object]:
    """The newest audit record of the method, without what differs from call to call."""
    record = [record for record in records(authority.audit_path) if record["method"] == METHOD][-1]
    return {name: value for name, value in record.items() if name not in {"time", "request_id", "peer", "user_agent"}}


@pytest.fixture
def token(api: Api, clock: Clock, session_id: str) -> token_pb2.Token:
    """A native token of alice's, made at NOW."""
    return api.generate(session_id, subject="alice")


@TARGETS
def test_the_next_verdict_is_revoked_and_says_what_the_token_said(
    api: Api, token: token_pb2.Token, target: str
) -> None:
    """The reason, a sentence for a person, and the claims, for the signature holds."""
    before = api.verify(token.token)
    revoke(api, **fields_of(target, token))
    verdict = api.verify(token.token)
    what = {"session_id": "the tokens of the session are", "subject": "the tokens of the subject are"}

    assert ("ACTIVE", "REVOKED") == (reason_of(before), reason_of(verdict))
    assert f"{what.get(target, 'the token is')} revoked" == verdict.reason_detail
    assert before.claims == verdict.claims


@pytest.mark.parametrize("token_format", FORMATS, ids=token_pb2.TokenFormat.Name)
def test_tokens_of_every_format_are_revoked(
    api: Api, session_id: str, token_format: token_pb2.TokenFormat.ValueType
) -> None:
    """Each by itself; another one of the same session stays valid."""
    gone, kept = (api.generate(session_id, format=token_format) for _ in range(2))
    revocation = revoke(api, token=gone.token)

    assert gone.token_id == revocation.token_id
    assert ["REVOKED", "ACTIVE"] == [reason_of(api.verify(one.token)) for one in (gone, kept)]


@TARGETS
def test_answers_the_revocation_as_it_is_stored(api: Api, token: token_pb2.Token, target: str) -> None:
    """With what it covers, until when, by whom it was explained, and when it is deleted."""
    revocation = revoke(api, **fields_of(target, token), comment="läuft aus")
    single = target in {"token", "token_id"}
    moment = SECOND + (300 if single else 0)
    meant = {"session_id": token.session_id, "subject": "alice"}.get(target, token.token_id)
    oneof = "token_id" if single else target

    assert oneof == revocation.WhichOneof("target")
    assert meant == getattr(revocation, oneof)
    assert (token.project_id, "läuft aus") == (revocation.project_id, revocation.comment)
    assert (moment, 0) == (revocation.issued_before.seconds, revocation.issued_before.nanos)
    assert NOW == revocation.create_time.ToMilliseconds()
    assert moment + 30 * DAY + 300 == revocation.expire_time.seconds
    assert 10 <= len(revocation.revocation_id)


def test_a_fraction_of_the_moment_is_cut_off(api: Api, token: token_pb2.Token) -> None:
    """The present second counts as not in the future."""
    moment = Timestamp(seconds=SECOND, nanos=999_999_999)
    revocation = revoke(api, session_id=token.session_id, issued_before=moment)

    assert Timestamp(seconds=SECOND) == revocation.issued_before


def test_tokens_issued_after_the_moment_stay_valid(api: Api, clock: Clock, session_id: str) -> None:
    """To the second, also of those that are made after the answer."""
    tokens = []
    for second in (0, 1):
        clock.fixed = Millis(NOW + second * 1000)
        tokens.append(api.generate(session_id).token)
    revoke(api, session_id=session_id, issued_before=Timestamp(seconds=SECOND))
    tokens.append(api.generate(session_id).token)

    assert ["REVOKED", "ACTIVE", "ACTIVE"] == [reason_of(api.verify(token)) for token in tokens]


def test_revoked_comes_after_expired_and_before_the_session(api: Api, clock: Clock, session_id: str) -> None:
    """One reason of several, in the order of the contract."""
    token = api.generate(session_id, ttl=60).token
    revoke(api, token=token)
    other = api.verify(token, session_id="2_other")
    api.end(session_id)
    ended = api.verify(token)
    clock.fixed = Millis(NOW + 90_000)

    assert ["REVOKED", "REVOKED", "EXPIRED"] == [reason_of(verdict) for verdict in (other, ended, api.verify(token))]


def test_every_server_of_the_store_knows_it(start_authority: StartAuthority, connect: Connect) -> None:
    """One that follows the store, and one that starts later."""
    store, sealer = MemoryStore(), Sealer(MasterKey.generate())
    first, second = (start_authority(store=store, sealer=sealer) for _ in range(2))
    ours, theirs = connect(authority=first), connect(authority=second)
    token = ours.generate(ours.new_session(first.project_id).session_id)
    revoke(ours, token=token.token)
    at_once = reason_of(ours.verify(token.token))
    eventually(lambda: reason_of(theirs.verify(token.token)) == "REVOKED", "the other server does not know it")
    third = connect(authority=start_authority(store=store, sealer=sealer))

    assert "REVOKED" == at_once
    assert "REVOKED" == reason_of(third.verify(token.token))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ["target"]),
        ({"token": ""}, ["target"]),
        ({"token": "x"}, ["token"]),
        ({"session_id": "x", "project_id": HOME}, ["project_id", "session_id"]),
        ({"token_id": "x"}, ["project_id"]),
        ({"subject": "x" * 256, "project_id": "x"}, ["subject", "project_id"]),
        ({"token_id": "x" * 256, "project_id": HOME, "comment": "x" * 257}, ["token_id", "comment"]),
        ({"subject": "x", "project_id": HOME, "issued_before": Timestamp(seconds=SECOND + 1)}, ["issued_before"]),
        ({"subject": "x", "project_id": HOME, "issued_before": Timestamp(seconds=1)}, ["issued_before"]),
        ({"subject": "x", "project_id": HOME, "issued_before": Timestamp(seconds=-(2**62))}, ["issued_before"]),
    ],
)
@pytest.mark.usefixtures("clock")
def test_names_every_invalid_field(api: Api, fields: dict[str, Any], expected: list[str]) -> None:
    """INVALID_ARGUMENT with a violation for each."""
    refused = failure(lambda: revoke(api, **fields))

    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD") == refused.outcome
    assert expected == refused.fields


@pytest.mark.parametrize("project_id", [AWAY, NOWHERE])
@pytest.mark.parametrize("target", ["token_id", "subject", "session_id"])
def test_a_project_outside_the_grant_is_denied_whether_it_exists_or_not(
    connect: Connect, target: str, project_id: str
) -> None:
    """The detail names the limit."""
    by_session = target == "session_id"
    fields = {target: platform_session(project_id)} if by_session else {target: "x", "project_id": project_id}
    refused = failure(lambda: revoke(connect("home"), **fields))

    assert (grpc.StatusCode.PERMISSION_DENIED, "PROJECT_NOT_GRANTED") == refused.outcome
    assert "projects" == refused.facts["limit"]
    assert ("session_id" if by_session else "project_id") == refused.facts["field"]


def test_a_token_outside_the_grant_reveals_nothing_about_its_project(
    api: Api, connect: Connect, token: token_pb2.Token
) -> None:
    """The same as for a token of a project that is not there."""
    home = connect("home")
    refused = failure(lambda: revoke(home, token=token.token))

    assert (grpc.StatusCode.INVALID_ARGUMENT, ["token"]) == (refused.code, refused.fields)
    assert token.project_id not in refused.message
    assert "ACTIVE" == reason_of(api.verify(token.token))


@pytest.mark.parametrize(
    ("fields", "reason", "resource"),
    [
        ({"token_id": "x", "project_id": NOWHERE}, "PROJECT_NOT_FOUND", ("project", NOWHERE)),
        ({"session_id": platform_session(NOWHERE)}, "PROJECT_NOT_FOUND", ("project", NOWHERE)),
    ],
)
def test_what_is_not_there_is_not_found(
    api: Api, fields: dict[str, str], reason: str, resource: tuple[str, str]
) -> None:
    """ResourceInfo names it."""
    refused = failure(lambda: revoke(api, **fields))

    assert (grpc.StatusCode.NOT_FOUND, reason) == refused.outcome
    assert resource == refused.resource


def test_there_is_no_room_beyond_the_limit(start_authority: StartAuthority, connect: Connect) -> None:
    """RESOURCE_EXHAUSTED, before anything is stored."""
    authority = start_authority(settings={"limits": {"max_revocations": 1}})
    api = connect(authority=authority)
    revoke(api, subject="a", project_id=authority.project_id)
    refused = failure(lambda: revoke(api, subject="b", project_id=authority.project_id))

    assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "REVOCATION_LIMIT") == refused.outcome
    assert "limits.max_revocations" in refused.message
    assert ("RESOURCE_EXHAUSTED", "REVOCATION_LIMIT") == tuple(last_record(authority)[n] for n in ("code", "reason"))


def test_what_could_not_be_stored_is_not_answered(start_authority: StartAuthority, connect: Connect) -> None:
    """UNAVAILABLE with a time to wait; the token stays valid, for nobody was answered otherwise."""
    store = FaultyStore()
    store.fail("create_revocation")
    authority = start_authority(store=store)
    api = connect(authority=authority)
    token = api.generate(api.new_session(authority.project_id).session_id)
    refused = failure(lambda: revoke(api, token=token.token))

    assert (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE") == refused.outcome
    assert refused.retry_after is not None
    assert "ACTIVE" == reason_of(api.verify(token.token))


@TARGETS
def test_the_record_says_whom_it_hit_and_up_to_when(
    shared: RunningAuthority, api: Api, token: token_pb2.Token, target: str
) -> None:
    """Enough to do it once more after a backup had to be restored; never the token."""
    revocation = revoke(api, **fields_of(target, token), comment="läuft aus")
    record = last_record(shared)
    hits: dict[str, dict[str, object]] = {
        "token": {"token_ids": [token.token_id]},
        "token_id": {"token_ids": [token.token_id]},
        "session_id": {"session_id": token.session_id},
        "subject": {"subject": "alice"},
    }

    assert record.pop("duration_us")
    assert {
        "method": METHOD,
        "action": "tokens.revoke",
        "caller": "tester",
        "caller_kind": "api_key",
        "caller_identity": "sha256:test",
        "project_id": token.project_id,
        "object_id": revocation.revocation_id,
        "comment": "läuft aus",
        "changes": [f"issued_before={revocation.issued_before.seconds}"],
        "code": "OK",
        **hits[target],
    } == record


def test_the_record_has_the_callers_own_comment(shared: RunningAuthority, api: Api, token: token_pb2.Token) -> None:
    """Also where an earlier revocation is answered that covers as much."""
    revoke(api, session_id=token.session_id, comment="the first one's")
    answered = revoke(api, session_id=token.session_id, comment="the second one's")

    assert "the first one's" == answered.comment
    assert "the second one's" == last_record(shared)["comment"]


def test_the_record_of_a_refusal_says_what_was_asked(shared: RunningAuthority, api: Api, connect: Connect) -> None:
    """Project and session, where they have the shape of one; no text that could be a secret in the wrong field."""
    failure(lambda: revoke(connect("home"), token_id="t" * 50, project_id=AWAY, comment="why"))
    denied = last_record(shared)
    failure(lambda: revoke(api, session_id="tak_" + "k" * 43))
    malformed = last_record(shared)

    assert ("PERMISSION_DENIED", "PROJECT_NOT_GRANTED", AWAY) == tuple(
        denied[name] for name in ("code", "reason", "project_id")
    )
    assert {"token_ids", "comment", "object_id"}.isdisjoint(denied)
    assert {"project_id", "session_id"}.isdisjoint(malformed)

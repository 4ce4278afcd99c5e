"""Prepare, activate and revoke signing keys by hand: states, refusals, what verifies after, and what is recorded."""

from __future__ import annotations

import re

from functools import partial
from typing import Any

import attrs
import grpc
import httpx
import pytest

from google.protobuf.timestamp_pb2 import Timestamp

from tests.service.api import Api, Connect, failure, reason_of
from tests.service.conftest import NOW
from tests.support.authority import NO_TRUST, RunningAuthority
from tests.support.wire import V1, records
from tokenauthority.domain.times import Millis
from tokenauthority.v1 import key_pb2, token_pb2


DAY = 86_400_000
PERIOD = 30 * DAY
PUBLICATION = 330_100
"""Milliseconds: how long the key set may be cached, and how far servers and clocks may be behind."""

ABSENT = "x" * 43
PREPARED, ACTIVE, RETIRED, REVOKED = (
    key_pb2.SIGNING_KEY_STATE_PREPARED,
    key_pb2.SIGNING_KEY_STATE_ACTIVE,
    key_pb2.SIGNING_KEY_STATE_RETIRED,
    key_pb2.SIGNING_KEY_STATE_REVOKED,
)


@attrs.frozen
class Place:
    """An authority of the test's own, whose clock stands, and its stubs."""

    authority: RunningAuthority
    api: Api
    session_id: str

    def ring(self) -> dict[str, key_pb2.SigningKey]:
        """Every key by its id, newest first."""
        answer = self.api.keys.ListSigningKeys(key_pb2.ListSigningKeysRequest())
        return {key.key_id: key for key in answer.keys}

    def in_state(self, state: key_pb2.SigningKeyState.ValueType) -> str:
        """The one key in that state."""
        [key_id] = [key.key_id for key in self.ring().values() if key.state == state]
        return key_id

    def published(self) -> list[str]:
        """The keys of the key set."""
        return [key.kid for key in self.key_set().keys]

    def key_set(self) -> key_pb2.GetJsonWebKeySetResponse:
        """The key set."""
        return self.api.keys.GetJsonWebKeySet(key_pb2.GetJsonWebKeySetRequest())

    def token(self) -> token_pb2.Token:
        """A token just made."""
        return self.api.generate(self.session_id)

    def prepare(self, **fields: Any) -> key_pb2.SigningKey:
        """A key just made."""
        return self.api.keys.PrepareSigningKey(key_pb2.PrepareSigningKeyRequest(**fields)).key

    def activate(self, key_id: str) -> key_pb2.SigningKey:
        """A key, ACTIVE."""
        return self.api.keys.ActivateSigningKey(key_pb2.ActivateSigningKeyRequest(key_id=key_id)).key

    def revoke(self, key_id: str, comment: str = "") -> key_pb2.SigningKey:
        """A key, REVOKED."""
        return self.api.keys.RevokeSigningKey(key_pb2.RevokeSigningKeyRequest(key_id=key_id, comment=comment)).key

    def wait(self, milliseconds: int) -> None:
        """Let the clock stand so much later."""
        self.authority.clock.fixed = Millis((self.authority.clock.fixed or NOW) + milliseconds)

    def last_record(self, method: str) -> dict[str, object]:
        """The newest audit record of the method, without what differs from call to call."""
        found = [record for record in records(self.authority.audit_path) if record["method"].endswith(f"/{method}")]  # type: ignore[attr-defined]  # a str in every line
        varying = {"time", "request_id", "peer", "user_agent", "duration_us"}
        return {name: value for name, value in found[-1].items() if name not in varying}


@pytest.fixture
def place(running_authority: RunningAuthority, connect: Connect) -> Place:
    """A place whose ring was made at NOW."""
    running_authority.clock.fixed = NOW
    running_authority.do(running_authority.app.keys.maintain(NOW))
    api = connect(authority=running_authority)
    place = Place(running_authority, api, api.new_session(running_authority.project_id).session_id)
    # The ring of the start is weeks older, since the clock was the machine's: begin with keys of NOW.
    while place.ring()[place.in_state(ACTIVE)].create_time.ToMilliseconds() != NOW:
        place.revoke(place.in_state(ACTIVE))
        running_authority.do(running_authority.app.keys.maintain(NOW))
    return place


def recorded(method: str, code: str, **more: object) -> dict[str, object]:
    """What the audit line of a call holds."""
    return {
        "method": f"{V1}KeyService/{method}",
        "action": "keys.manage",
        "caller": "tester",
        "caller_kind": "api_key",
        "caller_identity": "sha256:test",
        "code": code,
        **more,
    }


def test_a_prepared_key_is_published_and_does_not_sign(place: Place) -> None:
    """The answer is the key as it is listed; the record names it."""
    signing = place.in_state(ACTIVE)
    key = place.prepare()

    assert (PREPARED, key_pb2.SIGNING_ALGORITHM_ES256) == (key.state, key.algorithm)
    assert NOW == key.create_time.ToMilliseconds()
    assert {"key_id", "algorithm", "state", "create_time"} == {field.name for field, _ in key.ListFields()}
    assert key == place.ring()[key.key_id]
    assert key.key_id in place.published()
    assert signing == place.token().key_id
    assert recorded("PrepareSigningKey", "OK", key_id=key.key_id) == place.last_record("PrepareSigningKey")


@pytest.mark.parametrize(
    "algorithm",
    [
        key_pb2.SIGNING_ALGORITHM_ES256,
        key_pb2.SIGNING_ALGORITHM_EDDSA,
        key_pb2.SIGNING_ALGORITHM_RS256,
    ],
)
def test_a_key_of_any_algorithm_can_be_prepared_and_signs(
    place: Place, algorithm: key_pb2.SigningAlgorithm.ValueType
) -> None:
    """Its tokens verify, beside those of the key before."""
    before = place.token()
    key = place.prepare(algorithm=algorithm)
    place.wait(PUBLICATION)
    place.activate(key.key_id)
    after = place.token()

    assert algorithm == key.algorithm
    assert key.key_id == after.key_id
    assert ["ACTIVE", "ACTIVE"] == [reason_of(place.api.verify(token.token)) for token in (before, after)]


def test_refuses_an_unknown_algorithm(place: Place) -> None:
    """One that a later contract may have."""
    refused = failure(lambda: place.prepare(algorithm=99))

    assert (grpc.StatusCode.INVALID_ARGUMENT, ["algorithm"]) == (refused.code, refused.fields)


def test_refuses_a_fifth_prepared_key(place: Place) -> None:
    """FAILED_PRECONDITION with the type of the state; nothing was made."""
    for _ in range(3):
        place.prepare()
    before = place.ring()
    refused = failure(place.prepare)

    assert (grpc.StatusCode.FAILED_PRECONDITION, "KEY_STATE") == refused.outcome
    assert refused.precondition is not None
    assert "KEY_STATE" == refused.precondition[0]
    assert "4 keys are PREPARED already" in refused.message
    assert before == place.ring()
    record = recorded("PrepareSigningKey", "FAILED_PRECONDITION", reason="KEY_STATE")
    assert record == place.last_record("PrepareSigningKey")


def test_activating_retires_the_key_before_until_its_last_token_is_out_of_force(place: Place) -> None:
    """All times are those of the contract, and both keys stay in the key set."""
    old, new = place.in_state(ACTIVE), place.in_state(PREPARED)
    place.wait(PUBLICATION)
    key = place.activate(new)
    retired = place.ring()[old]

    assert (new, ACTIVE) == (key.key_id, key.state)
    assert NOW + PUBLICATION == key.activate_time.ToMilliseconds()
    assert key == place.ring()[new]
    assert RETIRED == retired.state
    assert NOW + PUBLICATION == retired.retire_time.ToMilliseconds()
    # A server without the store signs with it until its end, and the longest token lives 30 days more.
    assert NOW + PERIOD + PERIOD // 4 + 30 * DAY == retired.expire_time.ToMilliseconds()
    assert {old, new} <= set(place.published())
    assert recorded("ActivateSigningKey", "OK", key_id=new) == place.last_record("ActivateSigningKey")


def test_refuses_to_activate_a_key_before_verifiers_can_have_it(place: Place) -> None:
    """A millisecond too early is; the message says how long it takes."""
    new = place.in_state(PREPARED)
    place.wait(PUBLICATION - 1)
    refused = failure(lambda: place.activate(new))

    assert (grpc.StatusCode.FAILED_PRECONDITION, "KEY_STATE") == refused.outcome
    assert ("KEY_STATE", new) == refused.precondition
    assert re.search(r"can sign in 1s, once it has been published for \d+s", refused.message)
    record = recorded("ActivateSigningKey", "FAILED_PRECONDITION", reason="KEY_STATE", key_id=new)
    assert record == place.last_record("ActivateSigningKey")


@pytest.mark.parametrize("state", [ACTIVE, RETIRED, REVOKED], ids=key_pb2.SigningKeyState.Name)
def test_only_a_prepared_key_can_be_activated(place: Place, state: key_pb2.SigningKeyState.ValueType) -> None:
    """Whatever else it is, it is KEY_STATE."""
    old, new = place.in_state(ACTIVE), place.in_state(PREPARED)
    place.wait(PUBLICATION)
    place.activate(new)
    if state == REVOKED:
        place.revoke(old)
    refused = failure(lambda: place.activate(new if state == ACTIVE else old))

    assert (grpc.StatusCode.FAILED_PRECONDITION, "KEY_STATE") == refused.outcome


@pytest.mark.parametrize("method", ["activate", "revoke"])
def test_an_absent_key_is_not_found_and_a_malformed_id_is_named(place: Place, method: str) -> None:
    """ResourceInfo names the key; the record has the id only where it is one."""
    call = getattr(place, method)
    name = f"{method.capitalize()}SigningKey"
    absent = failure(lambda: call(ABSENT))
    record = place.last_record(name)
    malformed = [failure(partial(call, key_id)) for key_id in ("", "x", "x" * 44, "é" * 43)]

    assert (grpc.StatusCode.NOT_FOUND, "KEY_NOT_FOUND") == absent.outcome
    assert ("signing key", ABSENT) == absent.resource
    assert recorded(name, "NOT_FOUND", reason="KEY_NOT_FOUND", key_id=ABSENT) == record
    assert [["key_id"]] * 4 == [refused.fields for refused in malformed]
    assert "key_id" not in place.last_record(name)


def test_a_revoked_key_is_out_of_the_key_set_and_its_tokens_are_unknown(place: Place) -> None:
    """The detail says that the key was revoked; there are no claims, for nothing vouches for them any more."""
    key_id = place.in_state(ACTIVE)
    token = place.token()
    key = place.revoke(key_id, comment="läuft aus")
    verdict = place.api.verify(token.token)
    after = place.token()

    assert (REVOKED, key_id) == (key.state, key.key_id)
    assert key.HasField("retire_time")
    assert key.HasField("expire_time")
    assert key == place.ring()[key_id]
    assert key_id not in place.published()
    assert ("KEY_UNKNOWN", "the signing key is revoked") == (reason_of(verdict), verdict.reason_detail)
    assert not verdict.HasField("claims")
    assert key_id != after.key_id
    assert "ACTIVE" == reason_of(place.api.verify(after.token))
    record = recorded("RevokeSigningKey", "OK", key_id=key_id, comment="läuft aus")
    assert record == place.last_record("RevokeSigningKey")


def test_a_token_of_a_revoked_key_cannot_be_revoked(place: Place) -> None:
    """There is nothing to revoke."""
    token = place.token()
    place.revoke(token.key_id)
    refused = failure(lambda: place.api.tokens.RevokeTokens(token_pb2.RevokeTokensRequest(token=token.token)))

    assert (grpc.StatusCode.INVALID_ARGUMENT, ["token"]) == (refused.code, refused.fields)


def test_revoking_twice_answers_the_same(place: Place) -> None:
    """A call that is made again after a lost answer does no harm."""
    key_id = place.in_state(ACTIVE)
    first = place.revoke(key_id)
    place.wait(1000)

    assert first == place.revoke(key_id)


def test_names_an_invalid_key_id_and_a_long_comment_at_once(place: Place) -> None:
    """256 characters are allowed."""
    refused = failure(lambda: place.revoke("x", comment="x" * 257))
    place.revoke(place.in_state(ACTIVE), comment="é" * 256)

    assert (grpc.StatusCode.INVALID_ARGUMENT, ["key_id", "comment"]) == (refused.code, refused.fields)


def test_the_key_set_may_be_cached_until_its_next_change_and_no_longer(place: Place) -> None:
    """Over gRPC and HTTP alike, whatever the setting allows."""
    ages = []
    for milliseconds in (0, PERIOD - 300_001, 1, 1001, 297_999, 999):
        place.wait(milliseconds)
        cache = httpx.get(f"{place.authority.http_url}/.well-known/jwks.json", verify=NO_TRUST).headers["cache-control"]
        ages.append((place.key_set().max_age.seconds, cache))

    assert [*((age, f"public, max-age={age}") for age in (300, 300, 300, 298, 1)), (0, "no-cache")] == ages


def test_a_key_that_takes_over_was_in_the_key_set_of_all_who_cached_it(place: Place) -> None:
    """The planned rotation changes nothing that a verifier would have had to know before."""
    place.wait(PERIOD)
    before = place.published()
    place.authority.do(place.authority.app.keys.maintain(Millis(NOW + PERIOD)))
    token = place.token()

    assert token.key_id in before
    assert Timestamp(seconds=(NOW + PERIOD) // 1000) == token.issue_time

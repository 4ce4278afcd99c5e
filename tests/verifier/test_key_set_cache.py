"""The authority's keys are followed: new ones, revoked ones, unknown ones, and an authority that does not answer."""

from __future__ import annotations

import json
import queue

import grpc
import pytest

from google.protobuf.duration_pb2 import Duration

from tests.signing.builders import ISSUER, NOW, PROJECT, make_claims, make_token, signing_key
from tests.support.authority import WAIT, StartAuthority, eventually
from tests.verifier.conftest import StartVerifier, becomes, soon
from tests.verifier.scripted import Asked, Hours, ScriptedAuthority, follow, heartbeat
from tokenauthority.client import Authority, FailedPrecondition, translated_errors
from tokenauthority.domain.key import Algorithm
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.v1 import key_pb2, key_pb2_grpc
from tokenauthority.verifier import STALE, key_set_cache
from tokenauthority.verifier.settings import LONGEST_PAUSE
from tokenauthority.verifier.state import VerifierState


TOKEN = make_token(TokenFormat.SESSION_JWT).token
UNKNOWN = make_token(TokenFormat.SESSION_JWT, key=signing_key(Algorithm.ES256, 7)).token


def test_rotation_is_followed_and_a_revoked_key_disappears(
    start_authority: StartAuthority, start_verifier: StartVerifier
) -> None:
    """A new key's first token is valid at once; those of a revoked key are not, from the next refresh on."""
    running = start_authority(settings={"issuance": {"jwks_max_age": 1, "leeway": 0}})
    verifier = start_verifier(running)
    with Authority.from_environment(running.environment) as client:
        session = client.create_session()
        before = session.generate_token()
        key_id = client.keys.PrepareSigningKey(key_pb2.PrepareSigningKeyRequest()).key.key_id
        soon(lambda: key_id in verifier.status().keys, verifier)

        def activated() -> bool:
            try:
                with translated_errors():
                    client.keys.ActivateSigningKey(key_pb2.ActivateSigningKeyRequest(key_id=key_id))
            except FailedPrecondition:
                return False
            return True

        eventually(activated, "the key never becomes ready")
        after = session.generate_token()
        assert (before.key_id, key_id) == (verifier.verify(before).claims.key_id, after.key_id)  # type: ignore[union-attr]  # it is there where the token is valid
        assert verifier.verify(after).active

        client.keys.RevokeSigningKey(key_pb2.RevokeSigningKeyRequest(key_id=before.key_id))

        becomes(verifier, before, "KEY_UNKNOWN")
        assert verifier.verify(after).active


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_every_algorithm_of_the_authority_verifies(
    start_authority: StartAuthority, start_verifier: StartVerifier, algorithm: Algorithm
) -> None:
    """ES256, EdDSA and RS256."""
    running = start_authority(settings={"keys": {"algorithm": algorithm.value}})
    verifier = start_verifier(running)
    with Authority.from_environment(running.environment) as client:
        token = client.create_session().generate_token()

    assert verifier.verify(token).active


def test_unknown_keys_cause_one_fetch_however_many_there_are(scripted: ScriptedAuthority) -> None:
    """The first is asked for in the background; all further ones wait until some seconds have passed."""
    hours = Hours()
    with follow(scripted, monotonic=hours, max_staleness=None) as verifier:
        scripted.fetches.get(timeout=WAIT)
        hours.passed += key_set_cache.MISS_PAUSE
        verdicts = {verifier.verify(UNKNOWN).reason for _ in range(50)}
        scripted.fetches.get(timeout=WAIT)
        verdicts |= {verifier.verify(UNKNOWN).reason for _ in range(50)}
        with pytest.raises(queue.Empty):
            scripted.fetches.get(timeout=2 * 1.0)
        hours.passed += key_set_cache.MISS_PAUSE
        scripted.fetches.get(timeout=WAIT)

    assert {"KEY_UNKNOWN"} == verdicts


def test_an_unknown_key_that_is_new_is_known_soon(scripted: ScriptedAuthority) -> None:
    """Long before the keys would be fetched by themselves."""
    hours, whole = Hours(), scripted.keys.json
    scripted.keys.json = '{"keys":[]}'
    with follow(scripted, monotonic=hours, max_staleness=None) as verifier:
        assert "KEY_UNKNOWN" == verifier.verify(TOKEN).reason
        scripted.keys.json = whole
        hours.passed += key_set_cache.MISS_PAUSE
        verifier.verify(TOKEN)

        becomes(verifier, TOKEN, "")


def test_the_keys_are_fetched_before_their_age_and_used_beyond_it(scripted: ScriptedAuthority) -> None:
    """While they cannot be had they serve on; beyond their `max_age` they make the verifier old."""
    hours = Hours()
    with follow(scripted, monotonic=hours, max_staleness=1000) as verifier:
        stream = scripted.next_stream()
        scripted.fetches.get(timeout=WAIT)
        scripted.failure = grpc.StatusCode.PERMISSION_DENIED
        hours.passed = 299
        stream.tell(heartbeat(second=NOW + 299))
        soon(lambda: verifier.age() == 0, verifier)
        scripted.fetches.get(timeout=WAIT)
        hours.passed = 310
        stream.tell(heartbeat(second=NOW + 310))
        soon(lambda: verifier.age() == 10, verifier)
        serves = verifier.verify(TOKEN)
        hours.passed = 1301
        stream.tell(heartbeat(second=NOW + 1301))
        soon(lambda: verifier.age() == 1001, verifier)
        over = verifier.verify(TOKEN)
        error = verifier.status().last_error
        scripted.failure = None
        hours.passed = 1400
        stream.tell(heartbeat(second=NOW + 1400))
        becomes(verifier, TOKEN, "")

    assert (True, 10) == (serves.active, serves.age)
    assert (STALE, 1001) == (over.reason, over.age)
    assert "GetJsonWebKeySet: PERMISSION_DENIED: scripted" == error


def test_the_keys_are_not_asked_for_before_the_authority_wants_it(scripted: ScriptedAuthority) -> None:
    """Where it says when to come back, that is when."""
    hours = Hours()
    with follow(scripted, monotonic=hours, max_staleness=None) as verifier:
        verifier._keys._backoff = asked = Asked()
        scripted.failure, scripted.asks_for = grpc.StatusCode.RESOURCE_EXHAUSTED, 7
        hours.passed = 299
        pause = asked.pauses.get(timeout=WAIT)

    assert (1, 7) == pause


def test_another_issuers_token_is_invalid(scripted: ScriptedAuthority) -> None:
    """Though the key is known and the signature holds, `iss` counts to the letter."""
    foreign = make_token(TokenFormat.SESSION_JWT, make_claims(TokenFormat.SESSION_JWT, issuer=f"{ISSUER}/")).token
    with follow(scripted, issuer=ISSUER) as verifier:
        reasons = verifier.verify(TOKEN).reason, verifier.verify(foreign).reason

    assert ("", "KEY_UNKNOWN") == reasons


BAD = {
    "no JSON": key_pb2.GetJsonWebKeySetResponse(json="{", issuer=ISSUER),
    "no issuer": key_pb2.GetJsonWebKeySetResponse(json='{"keys":[]}'),
    "too long": key_pb2.GetJsonWebKeySetResponse(json='{"keys":[]}' + " " * 262_144, issuer=ISSUER),
}


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD)
def test_an_answer_that_cannot_be_used_changes_nothing(
    scripted: ScriptedAuthority, answer: key_pb2.GetJsonWebKeySetResponse
) -> None:
    """The keys that were good before stay."""
    hours = Hours()
    with follow(scripted, monotonic=hours, max_staleness=None) as verifier:
        scripted.keys = answer
        scripted.keys.max_age.CopyFrom(Duration(seconds=300))
        hours.passed = 299
        soon(lambda: "GetJsonWebKeySet" in verifier.status().last_error, verifier)

        assert verifier.verify(TOKEN).active
        assert PROJECT == verifier.verify(TOKEN).claims.project_id  # type: ignore[union-attr]  # the token is valid


class LateStub:
    """Asks the authority, and is so many seconds about it."""

    def __init__(self, channel: grpc.Channel, hours: Hours) -> None:
        self._stub = key_pb2_grpc.KeyServiceStub(channel)
        self._hours = hours
        self.seconds = 0

    def GetJsonWebKeySet(self, request: key_pb2.GetJsonWebKeySetRequest) -> key_pb2.GetJsonWebKeySetResponse:
        """See the contract."""
        self._hours.passed += self.seconds
        return self._stub.GetJsonWebKeySet(request)


def test_keys_are_as_old_as_the_question(scripted: ScriptedAuthority) -> None:
    """An answer that was long on its way is replaced the sooner, and not when it is too old already."""
    hours = Hours()
    with grpc.insecure_channel(scripted.address) as channel:
        stub = LateStub(channel, hours)
        stub.seconds = 200
        pause = key_set_cache.KeySetCache(stub, VerifierState(hours), issuer="", monotonic=hours).refresh_if_due()  # type: ignore[arg-type]  # the one call that it makes

    assert 300 * 0.75 - 200 <= pause <= 300 * 0.95 - 200


def test_a_fetch_that_works_makes_the_next_pause_short_again(scripted: ScriptedAuthority) -> None:
    """The next failure has nothing to do with those before."""
    hours = Hours()
    with grpc.insecure_channel(scripted.address) as channel:
        kept = key_set_cache.KeySetCache(LateStub(channel, hours), VerifierState(hours), issuer="", monotonic=hours)  # type: ignore[arg-type]  # likewise
        kept._backoff = asked = Asked()
        for failure in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE, None, grpc.StatusCode.UNAVAILABLE):
            scripted.failure = failure
            kept.refresh_if_due()
            hours.passed += 300
        in_a_row = [asked.pauses.get_nowait()[0] for _ in range(3)]

    assert [1, 2, 1] == in_a_row


def test_no_pause_is_longer_than_what_a_verifier_may_miss(scripted: ScriptedAuthority) -> None:
    """Of the keys and of what was revoked: clients that need not know so soon wait for longer."""
    with follow(scripted) as verifier:
        backoffs = verifier._keys._backoff, verifier._follower._watch._backoff

    assert LONGEST_PAUSE >= max(backoff.pause() for backoff in backoffs for _ in range(100))


def test_keys_are_not_cached_for_ever(scripted: ScriptedAuthority) -> None:
    """Whatever the authority says: a key that it revokes must disappear some day."""
    scripted.keys.max_age.CopyFrom(Duration(seconds=10**11))
    with grpc.insecure_channel(scripted.address) as channel:
        state = VerifierState(Hours())
        cache = key_set_cache.KeySetCache(key_pb2_grpc.KeyServiceStub(channel), state, issuer="", monotonic=Hours())

        assert cache.refresh_if_due() <= 86_400
        assert 86_400 == state.keys.max_age


def test_a_key_that_cannot_be_used_takes_no_other_with_it(
    scripted: ScriptedAuthority, caplog: pytest.LogCaptureFixture
) -> None:
    """As an authority of a later version may show; the log names the key."""
    keys = json.loads(scripted.keys.json)["keys"]
    odd = [{**keys[0], "kid": "later", "alg": "ML-DSA-44", "kty": "AKP"}, None, {**keys[0], "kid": 7}]
    scripted.keys.json = json.dumps({"keys": [*odd, *keys, *keys]})
    with caplog.at_level("WARNING"), follow(scripted) as verifier:
        reason = verifier.verify(TOKEN).reason

    assert "" == reason
    assert 'cannot be used: kid "later" has a kty or crv that is not supported, key 2 is no JSON object' in caplog.text

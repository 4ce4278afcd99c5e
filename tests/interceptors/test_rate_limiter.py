"""Callers get what their grant says, by item and to the millisecond, and are told when to come back."""

from __future__ import annotations

import json

from collections.abc import Mapping
from typing import Any

import attrs
import grpc
import httpx
import pytest

from google.rpc.error_details_pb2 import QuotaFailure, RetryInfo

from tests.support.authority import (
    EVERYTHING,
    NO_TRUST,
    WAIT,
    RunningAuthority,
    StartAuthority,
    eventually,
    make_caller,
)
from tests.support.wire import GENERATE, LIST_PROJECTS, V1, Connect, Outcome, Wire, records
from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.callers.identity import ApiKeyIdentity
from tokenauthority.callers.registry import CallerEntry, CallerRegistry
from tokenauthority.domain.caller import Action, Caller, Rate
from tokenauthority.domain.times import Millis
from tokenauthority.server.wiring import system_clock
from tokenauthority.v1 import session_pb2, token_pb2
from tokenauthority.v1.token_pb2_grpc import TokenServiceStub


BATCH = V1 + "TokenService/BatchGenerateTokens"
DAY = 86_400_000
KEY = new_api_key()


def limited(rate: Rate | None = None, quota: int | None = None, name: str = "limited") -> Caller:
    """A caller who may do everything, but only so often."""
    return make_caller(name, attrs.evolve(EVERYTHING, rate=rate, daily_quota=quota))


@attrs.frozen
class Limited:
    """An authority whose clock stands still, and the wire of a caller with limits."""

    authority: RunningAuthority
    wire: Wire

    def after(self, millis: int) -> None:
        """Let time pass."""
        now = self.authority.clock.fixed
        assert now is not None
        self.authority.clock.fixed = Millis(now + millis)

    def passing(self, at_most: int = 20) -> int:
        """How many calls pass until one is refused."""
        for number in range(at_most):
            if self.wire.call(LIST_PROJECTS).code != "OK":
                return number
        return at_most

    def batch(self, items: int) -> Outcome:
        """Ask for a batch; its items name no session, which only those learn who are let so far."""
        wanted = [token_pb2.TokenRequest(session_id="no session")] * items
        return self.wire.call(BATCH, token_pb2.BatchGenerateTokensRequest(requests=wanted))

    def replace(self, *callers: tuple[str, Caller]) -> None:
        """Reload the callers file: put these in force, by API key."""
        book = CallerRegistry(CallerEntry(caller, ApiKeyIdentity(digest(key))) for key, caller in callers)

        async def replaced() -> None:
            self.authority.app.rate_limiter._callers.replace(book)

        self.authority.do(replaced())


@pytest.fixture
def limit(start_authority: StartAuthority, connect: Connect) -> Limit:
    """Starts an authority for a caller with limits."""
    return Limit(start_authority, connect)


@attrs.frozen
class Limit:
    """A factory of `Limited`."""

    start: StartAuthority
    connect: Connect

    def __call__(
        self,
        rate: Rate | None = None,
        quota: int | None = None,
        *,
        others: Mapping[str, Caller] | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> Limited:
        """One whose caller has *rate* and *quota*."""
        callers = {KEY: limited(rate, quota), **(others or {})}
        authority = self.start(callers=callers, settings=settings)
        authority.clock.fixed = system_clock()
        return Limited(authority, attrs.evolve(self.connect(authority), api_key=KEY))


def told(refused: Outcome) -> tuple[str, str, str, int, str | bytes]:
    """Code, reason, limit, and the two ways in which the wait is told."""
    return (
        refused.code,
        refused.reason,
        refused.error_info.metadata["limit"],
        refused.detail(RetryInfo).retry_delay.ToMilliseconds(),
        refused.trailers["grpc-retry-pushback-ms"],
    )


def test_lets_exactly_the_burst_pass(limit: Limit) -> None:
    """The next call is refused in every way that clients understand, and recorded."""
    subject = limit(Rate(10, 5))
    passed = subject.passing()
    refused = subject.wire.call(LIST_PROJECTS)

    assert 5 == passed
    assert ("RESOURCE_EXHAUSTED", "RATE_LIMIT", "rate", 100, "100") == told(refused)
    assert ["ErrorInfo", "QuotaFailure", "RetryInfo"] == refused.detail_names
    assert [("caller:limited", refused.message)] == [
        (violation.subject, violation.description) for violation in refused.detail(QuotaFailure).violations
    ]
    assert "limited has used up its rate of 10/s" in refused.message
    last = records(subject.authority.audit_path)[-1]
    assert ("RESOURCE_EXHAUSTED", "RATE_LIMIT", "limited") == (last["code"], last["reason"], last["caller"])


def test_refills_to_the_millisecond(limit: Limit) -> None:
    """The wait that is told is exact, and what comes back is one item, not the burst."""
    subject = limit(Rate(10, 5))
    subject.passing()
    subject.after(99)
    early = subject.wire.call(LIST_PROJECTS)
    subject.after(1)
    passed = subject.passing()
    subject.after(1_000_000)

    assert ("RESOURCE_EXHAUSTED", "RATE_LIMIT", "rate", 1, "1") == told(early)
    assert 1 == passed
    assert 5 == subject.passing()


def test_a_batch_costs_its_items(limit: Limit) -> None:
    """One of 7 leaves 3 of 10, whatever becomes of its items."""
    subject = limit(Rate(10, 10))
    answer = subject.batch(7)

    assert "INVALID_ARGUMENT" == answer.code
    assert 3 == subject.passing()


def test_a_batch_that_is_given_out_costs_as_much(limit: Limit) -> None:
    """Three real tokens are three items."""
    subject = limit(Rate(10, 10))
    made = subject.wire.call(
        V1 + "SessionService/CreateSession",
        session_pb2.CreateSessionRequest(project_id=subject.authority.project_id),
    )
    session = session_pb2.CreateSessionResponse.FromString(made.body).session.session_id
    wanted = [token_pb2.TokenRequest(session_id=session)] * 3
    answer = subject.wire.call(BATCH, token_pb2.BatchGenerateTokensRequest(requests=wanted))

    assert 3 == len(token_pb2.BatchGenerateTokensResponse.FromString(answer.body).tokens)
    assert 10 - 1 - 3 == subject.passing()


def test_a_refused_batch_costs_one_item_and_passes_after_the_told_wait(limit: Limit) -> None:
    """Its decoding was work; none of its items was looked at; and the wait is that of the whole batch anew."""
    subject = limit(Rate(10, 10))
    subject.wire.call(LIST_PROJECTS)
    refused = subject.batch(10)
    subject.after(199)
    early = subject.batch(10)
    subject.after(101)
    late = subject.batch(10)

    assert ("RESOURCE_EXHAUSTED", "RATE_LIMIT", "rate", 200, "200") == told(refused)
    assert ("RESOURCE_EXHAUSTED", "RATE_LIMIT", "rate", 101, "101") == told(early)
    assert "INVALID_ARGUMENT" == late.code
    assert 0 == subject.passing()


def test_a_refused_batch_leaves_the_rest(limit: Limit) -> None:
    """All or none: of 9 items, one is gone."""
    subject = limit(Rate(10, 10))
    subject.wire.call(LIST_PROJECTS)
    subject.batch(10)

    assert 8 == subject.passing()


@pytest.mark.parametrize(
    ("rate", "quota", "name"), [(Rate(10, 10), None, "burst of 10"), (Rate(10, 50), 10, "daily quota of 10")]
)
def test_says_of_a_batch_that_can_never_pass_that_it_cannot(
    limit: Limit, rate: Rate, quota: int | None, name: str
) -> None:
    """No wait is told, a client's own retry is called off, and the message has both numbers."""
    subject = limit(rate, quota)
    refused = subject.batch(11)

    assert ("RESOURCE_EXHAUSTED", "RATE_LIMIT") == (refused.code, refused.reason)
    assert name.split(" of ", maxsplit=1)[0].replace(" ", "_") == refused.error_info.metadata["limit"]
    assert ["ErrorInfo", "QuotaFailure"] == refused.detail_names
    assert "-1" == refused.trailers["grpc-retry-pushback-ms"]
    assert "11 items" in refused.message
    assert name in refused.message


def test_charges_before_anything_is_looked_at(limit: Limit) -> None:
    """Bytes that are no message cost an item, as does an action that the grant lacks and an oversized batch."""
    grant = attrs.evolve(EVERYTHING, rate=Rate(10, 5), actions=frozenset({Action.TOKENS_GENERATE}))
    narrow = new_api_key()
    subject = limit(others={narrow: make_caller("narrow", grant)})
    wire = attrs.evolve(subject.wire, api_key=narrow)
    too_many = token_pb2.BatchGenerateTokensRequest(requests=[token_pb2.TokenRequest()] * 1001)
    codes = [
        wire.call(GENERATE, b"\xff").code,
        wire.call(LIST_PROJECTS).code,
        wire.call("/a/B").code,
        wire.call(BATCH, too_many).code,
        wire.call(BATCH, b"").code,
        wire.call(GENERATE, b"\xff").code,
        wire.call("/a/B").code,
    ]

    assert [
        "INVALID_ARGUMENT",
        "PERMISSION_DENIED",
        "UNIMPLEMENTED",
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
        "RESOURCE_EXHAUSTED",
        "RESOURCE_EXHAUSTED",
    ] == codes


def test_a_quota_begins_anew_at_midnight(limit: Limit) -> None:
    """UTC, to the millisecond. A wait beyond the call's deadline is told, but no client is made to sit it out."""
    subject = limit(quota=3)
    tomorrow = (system_clock() // DAY + 1) * DAY
    subject.authority.clock.fixed = Millis(tomorrow - 3_600_000)
    passed = subject.passing()
    hour = subject.wire.call(LIST_PROJECTS)
    subject.after(3_599_999)
    early = subject.wire.call(LIST_PROJECTS)
    subject.after(1)

    assert 3 == passed
    assert ("RESOURCE_EXHAUSTED", "RATE_LIMIT", "daily_quota", 3_600_000, "-1") == told(hour)
    assert ("RESOURCE_EXHAUSTED", "RATE_LIMIT", "daily_quota", 1, "1") == told(early)
    assert 3 == subject.passing()


def test_what_one_limit_refuses_costs_nothing_of_the_other(limit: Limit) -> None:
    """A batch that the quota has no room for leaves the rate as it was, and the other way round."""
    subject = limit(Rate(10, 20), quota=10)
    refused = [subject.batch(10) for _ in range(5)]
    subject.replace((KEY, limited(Rate(10, 20))))
    by_rate = limit(Rate(1, 2), quota=10)
    by_rate.passing()
    for _ in range(5):
        by_rate.wire.call(LIST_PROJECTS)
    by_rate.after(3_600)

    assert "INVALID_ARGUMENT" == refused[0].code
    assert ["daily_quota"] * 4 == [answer.error_info.metadata["limit"] for answer in refused[1:]]
    assert 10 == subject.passing()
    assert 2 == by_rate.passing()
    assert 10 - 4 == _left_of_quota(by_rate)


def _left_of_quota(subject: Limited) -> int:
    left = 0
    for _ in range(20):
        subject.after(1000)
        left += subject.wire.call(LIST_PROJECTS).code == "OK"
    return left


def test_callers_do_not_use_up_each_others_rate(limit: Limit) -> None:
    """By name: two keys of one caller share, two callers do not."""
    second, other = new_api_key(), new_api_key()
    subject = limit(Rate(10, 4), others={second: limited(Rate(10, 4)), other: limited(Rate(10, 4), name="other")})
    subject.wire.call(LIST_PROJECTS)
    same = Limited(subject.authority, attrs.evolve(subject.wire, api_key=second))
    another = Limited(subject.authority, attrs.evolve(subject.wire, api_key=other))

    assert (3, 0, 4) == (same.passing(), subject.passing(), another.passing())


def test_a_reload_counts_what_was_used(limit: Limit) -> None:
    """Else whoever can have the file read again has no limit. A higher burst adds what it is higher by."""
    subject = limit(Rate(10, 5), quota=20)
    used = subject.passing()
    subject.replace((KEY, limited(Rate(10, 5), quota=20)))
    after_reload = subject.passing()
    subject.replace((KEY, limited(Rate(10, 8), quota=20)))
    after_change = subject.passing()

    assert (5, 0, 3) == (used, after_reload, after_change)


def test_drops_the_buckets_of_removed_callers(limit: Limit) -> None:
    """Their names do not pile up over reloads, nor in the metrics; who comes back begins anew."""
    other = new_api_key()
    subject = limit(Rate(10, 5), others={other: limited(Rate(10, 5), name="other")})
    subject.passing()
    subject.replace((other, limited(Rate(10, 5), name="other")))
    subject.wire.call(LIST_PROJECTS, api_key=other)
    left = set(subject.authority.app.rate_limiter._buckets)
    metrics = httpx.get(subject.authority.ops_url + "/metrics", verify=NO_TRUST).text
    subject.replace((KEY, limited(Rate(10, 5))))

    assert {"other"} == left
    assert 'caller="limited"' not in metrics
    assert 5 == subject.passing()


def test_a_client_with_a_retry_policy_waits_as_long_as_it_is_told(
    start_authority: StartAuthority, connect: Connect
) -> None:
    """GRPC's own retry passes; by its policy's backoff it would come too late."""
    authority = start_authority(callers={KEY: limited(Rate(10, 1))})
    wire = attrs.evolve(_retrying(authority, connect), api_key=KEY)
    first = wire.call(LIST_PROJECTS)
    second = wire.call(LIST_PROJECTS, timeout=10)
    codes = [record["code"] for record in records(authority.audit_path)]

    assert ("OK", "OK") == (first.code, second.code)
    assert "RESOURCE_EXHAUSTED" in codes
    assert "OK" == codes[-1]


def test_a_client_with_a_retry_policy_does_not_repeat_what_can_never_pass(
    start_authority: StartAuthority, connect: Connect
) -> None:
    """It asks once."""
    authority = start_authority(callers={KEY: limited(Rate(10, 5))})
    wire = attrs.evolve(_retrying(authority, connect), api_key=KEY)
    batch = token_pb2.BatchGenerateTokensRequest(requests=[token_pb2.TokenRequest()] * 6)
    refused = wire.call(BATCH, batch, timeout=10)

    assert "RESOURCE_EXHAUSTED" == refused.code
    assert 1 == len(records(authority.audit_path))


def _retrying(authority: RunningAuthority, connect: Connect) -> Wire:
    policy = {
        "maxAttempts": 5,
        "initialBackoff": "60s",
        "maxBackoff": "60s",
        "backoffMultiplier": 1,
        "retryableStatusCodes": [grpc.StatusCode.RESOURCE_EXHAUSTED.name],
    }
    config = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": policy}]})
    return connect(authority, **{"grpc.service_config": config})


def test_counts_what_it_refuses(limit: Limit) -> None:
    """The metrics say how many, by caller and limit."""
    subject = limit(Rate(10, 3))
    subject.passing()
    subject.batch(9)
    metrics = httpx.get(subject.authority.ops_url + "/metrics", verify=NO_TRUST).text

    assert 'tokenauthority_rate_limited_total{caller="limited",limit="rate"} 2.0' in metrics


def test_a_caller_cannot_hold_all_streams(start_authority: StartAuthority) -> None:
    """Whoever has one key of an edge server shuts out no other; a stream that ends makes room for the next."""
    other = new_api_key()
    authority = start_authority(
        callers={KEY: limited(), other: limited(name="other")},
        settings={"limits": {"max_streams_per_caller": 2, "max_streams": 3}},
    )
    with grpc.insecure_channel(authority.address) as channel:
        held = [_watched(channel, KEY) for _ in range(2)]
        refused = _refusal(channel, KEY)
        _watched(channel, other)
        held[0].cancel()
        eventually(lambda: _refusal(channel, KEY) is None, "there is no room for the next")

    assert refused is not None
    assert grpc.StatusCode.RESOURCE_EXHAUSTED is refused.code()
    assert "caller limited has 2 streams open, as many as limits.max_streams_per_caller lets" == refused.details()


def _watched(channel: grpc.Channel, api_key: str) -> Any:
    """A stream that has begun."""
    metadata = (("authorization", f"Bearer {api_key}"),)
    stream = TokenServiceStub(channel).WatchRevocations(token_pb2.WatchRevocationsRequest(), WAIT, metadata)
    assert "snapshot_end" == next(stream).WhichOneof("event")
    return stream


def _refusal(channel: grpc.Channel, api_key: str) -> Any:
    """What keeps a stream from beginning; None where it begins, and ends at once."""
    try:
        _watched(channel, api_key).cancel()
    except grpc.RpcError as error:
        return error
    return None


def test_a_caller_without_limits_has_none(limit: Limit) -> None:
    """And nothing is kept of it."""
    subject = limit()

    assert 20 == subject.passing()
    assert {} == subject.authority.app.rate_limiter._buckets

"""A flood of invalid credentials costs little and shuts nobody out who has a valid one."""

from __future__ import annotations

import json

from collections import Counter, deque

import attrs
import grpc
import httpx
import pytest

from google.rpc.error_details_pb2 import QuotaFailure, RetryInfo
from prometheus_client import CollectorRegistry

from tests.support.authority import NO_TRUST, RunningAuthority, StartAuthority, make_caller
from tests.support.production import Production
from tests.support.wire import LIST_PROJECTS, Connect, Outcome, Wire, outcome
from tokenauthority.callers.api_keys import new_api_key
from tokenauthority.domain.caller import Rate
from tokenauthority.domain.errors import RateLimitError, UnauthenticatedError
from tokenauthority.domain.times import Millis
from tokenauthority.interceptors.auth_failures import AuthAttempt, AuthFailureLimiter
from tokenauthority.server.wiring import system_clock


FLOOD = 2_000
KNOWN, FRESH = new_api_key(), new_api_key()


def lines(authority: RunningAuthority, kind: str) -> list[dict[str, object]]:
    """The lines of the audit log that are of *kind*."""
    every = [json.loads(line) for line in authority.audit_path.read_bytes().splitlines()]
    return [line for line in every if line["type"] == kind]


def flood(wire: Wire, calls: int) -> Counter[tuple[str, str]]:
    """Make calls with keys that nobody has, some at a time; how they ended, by code and reason."""
    ended: Counter[tuple[str, str]] = Counter()
    pending = deque(wire.start(LIST_PROJECTS, api_key=new_api_key()) for _ in range(min(50, calls)))
    for number in range(calls):
        refused = outcome(pending.popleft())
        ended[refused.code, refused.reason] += 1
        if number + 50 < calls:
            pending.append(wire.start(LIST_PROJECTS, api_key=new_api_key()))
    return ended


@pytest.fixture
def flooded(start_authority: StartAuthority, connect: Connect) -> Flooded:
    """An authority whose clock stands still, in which a credential is cached before a flood from its address."""
    authority = start_authority(
        callers={KNOWN: make_caller("known"), FRESH: make_caller("fresh")},
        settings={"limits": {"failed_auth_rate": 1.0, "failed_auth_burst": 20, "suspect_rate": 100}},
    )
    authority.clock.fixed = system_clock()
    wire = connect(authority)
    assert "OK" == wire.call(LIST_PROJECTS, api_key=KNOWN).code
    return Flooded(authority, wire)


@attrs.frozen
class Flooded:
    """The authority, and a wire from the address that the flood comes from."""

    authority: RunningAuthority
    wire: Wire

    def after(self, millis: int) -> None:
        """Let time pass."""
        now = self.authority.clock.fixed
        assert now is not None
        self.authority.clock.fixed = Millis(now + millis)

    def summaries(self) -> list[dict[str, object]]:
        """Have the summaries written; all that there are."""
        self.authority.do(self.authority.app.refusal_summarizer.flush())
        return lines(self.authority, "summary")


def test_a_flood_leaves_few_records_and_one_exact_summary(flooded: Flooded) -> None:
    """Every call is either a line or one in the count; thousands of them are the burst and one line more."""
    ended = flood(flooded.wire, FLOOD)
    (summary,) = flooded.summaries()
    recorded = [line for line in lines(flooded.authority, "rpc") if line["code"] != "OK"]
    metrics = httpx.get(flooded.authority.ops_url + "/metrics", verify=NO_TRUST).text

    assert {
        ("UNAUTHENTICATED", "CREDENTIAL_INVALID"): 20 + 100,
        ("RESOURCE_EXHAUSTED", "ADDRESS_THROTTLED"): FLOOD - 120,
    } == ended
    assert 20 == len(recorded)
    assert ("127.0.0.1", FLOOD - 20) == (summary["peer"], summary["count"])
    assert {"UNAUTHENTICATED": 100, "RESOURCE_EXHAUSTED": FLOOD - 120} == summary["codes"]
    assert 'tokenauthority_failed_authentications_total{examined="yes"} 120.0' in metrics
    assert f'tokenauthority_failed_authentications_total{{examined="no"}} {FLOOD - 120}.0' in metrics
    assert f"tokenauthority_summarised_calls_total {FLOOD - 20}.0" in metrics


def test_a_summary_is_written_once(flooded: Flooded) -> None:
    """What is in one is not in the next, and nothing leaves no line."""
    flood(flooded.wire, 30)
    first = flooded.summaries()
    again = flooded.summaries()
    flood(flooded.wire, 7)

    assert [10] == [summary["count"] for summary in first]
    assert first == again
    assert [10, 7] == [summary["count"] for summary in flooded.summaries()]


def test_a_caller_with_a_cached_credential_is_served_in_a_flood(flooded: Flooded) -> None:
    """From the same address, at every moment of it, and it has its own record each time."""
    codes = []
    for _ in range(5):
        flood(flooded.wire, 200)
        codes.append(flooded.wire.call(LIST_PROJECTS, api_key=KNOWN).code)
    known = [line["code"] for line in lines(flooded.authority, "rpc") if line.get("caller") == "known"]

    assert ["OK"] * 5 == codes
    assert ["OK"] * 6 == known


def test_a_caller_that_is_new_gets_in_behind_an_address_that_failed_too_often(flooded: Flooded) -> None:
    """Behind a load balancer all have one address (SPIRE issue 6678). It is verified as any throttled one is."""
    ended = flood(flooded.wire, 60)
    fresh = flooded.wire.call(LIST_PROJECTS, api_key=FRESH)

    assert {("UNAUTHENTICATED", "CREDENTIAL_INVALID"): 60} == ended
    assert "OK" == fresh.code


def test_a_caller_that_is_new_gets_in_after_the_stated_wait_when_the_flood_is_large(flooded: Flooded) -> None:
    """The refusal says that it is none of the credential, and when to retry; then the credential is cached."""
    flood(flooded.wire, 500)
    refused = flooded.wire.call(LIST_PROJECTS, api_key=FRESH)
    flooded.after(10)
    served = flooded.wire.call(LIST_PROJECTS, api_key=FRESH)
    flood(flooded.wire, 100)
    cached = flooded.wire.call(LIST_PROJECTS, api_key=FRESH)

    assert ("RESOURCE_EXHAUSTED", "ADDRESS_THROTTLED", "failed_auth_rate") == _told(refused)
    assert ["address:127.0.0.1"] == [violation.subject for violation in refused.detail(QuotaFailure).violations]
    assert 10 == refused.detail(RetryInfo).retry_delay.ToMilliseconds()
    assert "10" == refused.trailers["grpc-retry-pushback-ms"]
    assert ("OK", "OK") == (served.code, cached.code)


def _told(refused: Outcome) -> tuple[str, str, str]:
    return refused.code, refused.reason, refused.error_info.metadata["limit"]


def test_valid_calls_do_not_use_up_what_an_address_may_fail(flooded: Flooded) -> None:
    """Only failures count: after many valid calls an invalid one is still answered and recorded as the first."""
    for _ in range(50):
        flooded.wire.call(LIST_PROJECTS, api_key=FRESH)
    flood(flooded.wire, 20)

    assert [] == flooded.summaries()


def test_an_address_may_fail_again_after_a_while(flooded: Flooded) -> None:
    """One more a second."""
    flood(flooded.wire, 30)
    flooded.after(3000)
    flood(flooded.wire, 5)

    assert [10 + 2] == [summary["count"] for summary in flooded.summaries()]


def test_a_missing_credential_is_a_failure_too(flooded: Flooded) -> None:
    """It costs nothing to find out, so it is always UNAUTHENTICATED; but it fills the log no more than others do."""
    codes = Counter(flooded.wire.call(LIST_PROJECTS, api_key="").code for _ in range(150))

    assert {"UNAUTHENTICATED": 150} == codes
    assert [130] == [summary["count"] for summary in flooded.summaries()]


def test_counts_are_written_when_the_server_stops(production: Production) -> None:
    """A real server under SIGTERM loses none of them."""
    server = production.start(LIMITS__FAILED_AUTH_BURST="3", LIMITS__FAILED_AUTH_RATE="0.001")
    trust = grpc.ssl_channel_credentials(production.root_certificates)
    with grpc.secure_channel(server.address, trust) as channel:
        wire = Wire(channel=channel, api_key=production.api_key)
        flood(wire, 10)
        served = wire.call(LIST_PROJECTS)
    assert 0 == server.stop()
    every = [json.loads(line) for line in server.audit_path.read_bytes().splitlines()]

    assert "OK" == served.code
    assert 3 == len([line for line in every if line.get("code") == "UNAUTHENTICATED"])
    assert [7] == [line["count"] for line in every if line["type"] == "summary"]


@pytest.fixture
def limiter() -> AuthFailureLimiter:
    """Failures of addresses that may fail once, with two verifications a second for all throttled ones."""
    return AuthFailureLimiter(
        CollectorRegistry(), lambda: Millis(1_700_000_000_000), each=Rate(0.001, 1), throttled=Rate(2, 2)
    )


def test_addresses_fail_each_for_itself(limiter: AuthFailureLimiter) -> None:
    """One that failed too often is no burden to others; the ports and the host part of IPv6 make no other address."""
    AuthAttempt(limiter, "ipv4:192.0.2.1:1").fail()
    AuthAttempt(limiter, "ipv6:[2001:db8::1]:1").fail()
    for _ in range(2):
        assert AuthAttempt(limiter, "ipv4:192.0.2.1:2").may_verify()
    may = {
        peer: AuthAttempt(limiter, peer).may_verify()
        for peer in (
            "ipv4:192.0.2.1:3",
            "ipv6:[2001:db8::2]:1",
            "ipv4:192.0.2.2:1",
            "ipv6:[2001:db8:0:1::1]:1",
            "unix:",
        )
    }

    assert {
        "ipv4:192.0.2.1:3": False,
        "ipv6:[2001:db8::2]:1": False,
        "ipv4:192.0.2.2:1": True,
        "ipv6:[2001:db8:0:1::1]:1": True,
        "unix:": True,
    } == may


def test_a_credential_that_was_not_verified_is_not_called_invalid(limiter: AuthFailureLimiter) -> None:
    """The two refusals differ in what the server did, never in what the credential is."""
    AuthAttempt(limiter, "unix:").fail()
    attempts = [AuthAttempt(limiter, "unix:") for _ in range(3)]
    looked_at = [attempt.may_verify() for attempt in attempts]

    assert [True, True, False] == looked_at
    assert [UnauthenticatedError, UnauthenticatedError, RateLimitError] == [
        type(attempt.fail()) for attempt in attempts
    ]

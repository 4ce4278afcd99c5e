"""Only so many RPCs are answered at once; the others are told when to come back."""

from __future__ import annotations

import pytest

from google.rpc.error_details_pb2 import QuotaFailure, RetryInfo

from tests.authority import RunningAuthority, StartAuthority, eventually
from tests.faults import FaultyStore
from tests.wire import LIST_PROJECTS, Connect, Wire, outcome, records, wait_for_record


HEALTH = "/grpc.health.v1.Health/Check"


@pytest.fixture
def store() -> FaultyStore:
    """The store of `one_at_a_time`."""
    return FaultyStore()


@pytest.fixture
def one_at_a_time(start_authority: StartAuthority, store: FaultyStore) -> RunningAuthority:
    """An authority that answers one RPC at once."""
    return start_authority(store=store, settings={"limits": {"max_concurrent_rpcs": 1}})


@pytest.fixture
def wire_of_one(one_at_a_time: RunningAuthority, connect: Connect) -> Wire:
    """A wire to it."""
    return connect(one_at_a_time)


def test_refuses_a_call_above_the_limit(one_at_a_time: RunningAuthority, wire_of_one: Wire, store: FaultyStore) -> None:
    """It is told so in every way that clients understand, and it is recorded; the call inside still ends well."""
    store.shut()
    inside = wire_of_one.start(LIST_PROJECTS)
    store.wait_until_held()
    refused = wire_of_one.call(LIST_PROJECTS)
    store.release(one_at_a_time)

    assert ("RESOURCE_EXHAUSTED", "CONCURRENCY_LIMIT") == (refused.code, refused.reason)
    assert ["ErrorInfo", "QuotaFailure", "RetryInfo"] == refused.detail_names
    assert ["server"] == [violation.subject for violation in refused.detail(QuotaFailure).violations]
    assert 200 == refused.detail(RetryInfo).retry_delay.ToMilliseconds()
    assert "200" == refused.trailers["grpc-retry-pushback-ms"]
    assert "OK" == outcome(inside).code
    assert ["RESOURCE_EXHAUSTED", "OK"] == [record["code"] for record in records(one_at_a_time.audit_path)]


def test_refuses_before_it_looks_at_the_credential(
    one_at_a_time: RunningAuthority, wire_of_one: Wire, store: FaultyStore
) -> None:
    """Strangers, too, cost a full server next to nothing."""
    store.shut()
    inside = wire_of_one.start(LIST_PROJECTS)
    store.wait_until_held()
    refused = wire_of_one.call(LIST_PROJECTS, api_key="")
    store.release(one_at_a_time)

    assert ("RESOURCE_EXHAUSTED", "OK") == (refused.code, outcome(inside).code)


def test_answers_health_checks_when_it_is_full(
    one_at_a_time: RunningAuthority, wire_of_one: Wire, store: FaultyStore
) -> None:
    """A busy server is not a sick one."""
    store.shut()
    inside = wire_of_one.start(LIST_PROJECTS)
    store.wait_until_held()
    health = wire_of_one.call(HEALTH, api_key="")
    store.release(one_at_a_time)

    assert ("OK", b"\x08\x01", "OK") == (health.code, health.body, outcome(inside).code)


@pytest.mark.parametrize("ending", ["answered", "failed", "cancelled"])
def test_gives_the_place_back_however_a_call_ends(
    one_at_a_time: RunningAuthority, wire_of_one: Wire, store: FaultyStore, ending: str
) -> None:
    """There is room again after an answer, after an error and after a client that went away."""
    store.shut()
    inside = wire_of_one.start(LIST_PROJECTS)
    store.wait_until_held()
    if ending == "failed":
        store.failure = RuntimeError()
    if ending == "cancelled":
        inside.cancel()
        wait_for_record(one_at_a_time, "CANCELLED")
    store.release(one_at_a_time)
    if ending != "cancelled":
        outcome(inside)
    store.failure = None

    assert "OK" == wire_of_one.call(LIST_PROJECTS).code


def test_takes_no_call_while_it_drains(running_authority: RunningAuthority, wire: Wire) -> None:
    """A caller is sent elsewhere by an error that it may retry, and health still answers."""
    running_authority.loop.call_soon_threadsafe(running_authority.app.admission.drain)
    eventually(lambda: "OK" != wire.call(LIST_PROJECTS).code, "the server does not drain")
    refused, health = wire.call(LIST_PROJECTS), wire.call(HEALTH)

    assert ("UNAVAILABLE", "DRAINING", ["ErrorInfo", "RetryInfo"]) == (
        refused.code,
        refused.reason,
        refused.detail_names,
    )
    assert "DRAINING" == records(running_authority.audit_path)[-1]["reason"]
    assert "OK" == health.code
